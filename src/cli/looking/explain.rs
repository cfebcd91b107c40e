//! `sledge explain`: what became of an event.

use clap::Args;

use super::place::{Place, PlaceArgs};
use super::recall_box::RecallBox;
use crate::cli::dead_letters::letters;
use crate::cli::voice::{Exit, Failure, Tone, Voice, counted, events, moment, visible};
use crate::journal::{Answer, EventState, ExplainedEvent, ExplainedLetter, Explanation, Searched};

/// Tells everything that is known of an event: when it came and by which listener, every request that carried it and
/// how Polar answered, and what became of it.
///
/// Delivered events are known for as long as they are kept (`retention_seconds`). Works whether sledge runs (through its admin
/// socket) or not (by opening its journal). Run it as the user sledge runs as.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge explain call-81
  sledge explain call-81 --json | jq '.events[].answers'

It reads all that is kept, beside the daemon's work. An event that came more than once is told of each time.
Exit codes: 0 found, 1 not found, 69 no sledge and no journal, 74 the disk failed, 75 try again, \
78 a setting can't be used.")]
pub(in crate::cli) struct ExplainArgs {
    /// The event's external_id
    #[arg(value_name = "EXTERNAL_ID")]
    external_id: String,
    /// Print what is known as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(in crate::cli) async fn explain(
    args: ExplainArgs,
    no_color: bool,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let recall = RecallBox::of(Place::open(&args.place, no_color).await?);
    let explained = recall.explain(args.external_id).await;
    let closed = recall.close().await;
    let explanation = explained?;
    closed?;
    let is_found = !explanation.events.is_empty() || !explanation.letters.is_empty();
    if args.json {
        voice.say_json(&explanation)?;
    } else {
        for line in explanation.events.iter().flat_map(event_lines) {
            voice.say(&line)?;
        }
        for line in explanation.letters.iter().flat_map(letter_lines) {
            voice.say(&line)?;
        }
        if !is_found {
            let unknown = format!("nothing is known of {}", visible(&explanation.external_id));
            let unknown = voice.toned(Tone::Bad, &unknown);
            voice.say(&unknown)?;
        }
        for line in searched_lines(&explanation) {
            voice.note(&line);
        }
    }
    Ok(if is_found { Exit::Ok } else { Exit::Finding })
}

fn event_lines(event: &ExplainedEvent) -> Vec<String> {
    let ExplainedEvent { lane, seq, block, block_events, .. } = event;
    let road = event.source.map_or_else(String::new, |source| format!(" by {}", source.as_str()));
    let mut lines = vec![format!(
        "accepted   {}{road}, as event {seq} in the lane of {}, in block {block} of {}",
        moment(event.accepted),
        lane.as_str(),
        events(u64::from(*block_events))
    )];
    lines.extend(event.answers.iter().map(answer_line));
    let forgotten = (event.attempts as usize).saturating_sub(event.answers.len());
    if forgotten > 0 {
        lines.push(format!(
            "           {} for its block: not answered yet, with other events of it, or no longer remembered one by one",
            counted(forgotten as u64, "more request")
        ));
    }
    let at = event.at.or(event.settled_at).map(moment).unwrap_or_default();
    lines.push(match event.state {
        EventState::Pending => "pending    it is owed to Polar".to_owned(),
        EventState::Delivered => format!("delivered  {at}"),
        EventState::Dead => {
            format!("dead       {at}; its letter tells why, unless it was retried or dropped")
        }
        EventState::Unknown => {
            "settled    its volume is damaged: whether it was delivered can't be read".to_owned()
        }
    });
    lines
}

fn answer_line(answer: &Answer) -> String {
    let Answer { at, status, events: carried } = answer;
    let said = match status {
        0 => "no answer".to_owned(),
        status => format!("{status}"),
    };
    let with = match carried {
        0 => String::new(),
        carried => format!(", in a request of {}", events(u64::from(*carried))),
    };
    format!("sent       {} answered {said}{with}", moment(*at)).replace("answered no answer", "got no answer")
}

fn letter_lines(letter: &ExplainedLetter) -> Vec<String> {
    let road = letter.source.map_or_else(String::new, |source| format!(", came by {}", source.as_str()));
    let field = letter.field.as_ref().map_or_else(String::new, |field| format!("{}: ", visible(field)));
    vec![
        format!(
            "dead letter {}: given up {} by {}, {}, {}{road}",
            letter.number,
            moment(letter.at),
            letter.origin.as_str(),
            letter.reason.as_str(),
            visible(&letter.code)
        ),
        format!("           {field}{}", visible(&letter.message)),
    ]
}

/// What was searched and how far back, in sentences.
fn searched_lines(explanation: &Explanation) -> Vec<String> {
    let Explanation { grants, usage, dead, .. } = explanation;
    let since = |searched: &Searched| {
        searched.oldest_accepted.map_or_else(String::new, |oldest| format!(" since {}", moment(oldest)))
    };
    let mut lines = vec![format!(
        "searched {} of the lane of grants{}, {} of the lane of usage{}, {}{}",
        events(grants.events),
        since(grants),
        events(usage.events),
        since(usage),
        letters(dead.events),
        since(dead)
    )];
    for (lane, searched) in [("grants", grants), ("usage", usage)] {
        lines.extend(reach(lane, searched));
    }
    let unreadable = grants.unreadable + usage.unreadable;
    if unreadable > 0 {
        lines.push(format!("{} can't be read: their volume is damaged; check the disk", events(unreadable)));
    }
    lines
}

fn reach(lane: &str, searched: &Searched) -> Option<String> {
    let forgotten = searched.forgotten;
    (forgotten > 0).then(|| {
        format!(
            "{} of the lane of {lane} that came before {} no longer known (journal.retention_seconds)",
            events(forgotten),
            if forgotten == 1 { "is" } else { "are" }
        )
    })
}
