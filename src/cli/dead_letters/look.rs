//! `sledge dead-letters list` and `show`.

use clap::Args;
use serde::Serialize;

use super::dead_letters::{letters, none_is_meant};
use super::filter::{FilterArgs, event_name};
use super::letter_box::LetterBox;
use crate::cli::looking::PlaceArgs;
use crate::cli::voice::{Exit, Failure, Tone, Voice, figures, moment, visible};
use crate::event::UnixMillis;
use crate::journal::{DeadLetter, KeptLetter, LetterNumber};

/// Characters of a message in a list; all of it is shown by `show`.
const MESSAGE_CHARS_MAX: usize = 100;

/// Lists dead letters, oldest first, without the events' own text.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge dead-letters list
  sledge dead-letters list --reason refused_by_polar --since 24h
  sledge dead-letters list --json | jq -r .code | sort | uniq -c

Exit codes: 0 ok, 1 there are none, or none matches.")]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print JSON, one object on each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

/// Shows one dead letter with the event's own text, which may hold a customer's data.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge dead-letters show 7
  sledge dead-letters show 7 --json | jq -r .event | jq .

Exit codes: 0 ok, 1 there is no such letter.")]
pub(super) struct ShowArgs {
    /// Its number
    #[arg(value_name = "N")]
    number: LetterNumber,
    /// Print JSON: the line that an export holds
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

/// A letter without its event's text.
#[derive(Serialize)]
struct Listed<'a> {
    number: LetterNumber,
    origin: &'static str,
    reason: &'static str,
    code: &'a str,
    field: Option<&'a str>,
    message: &'a str,
    at: UnixMillis,
    lane: Option<&'static str>,
    attempts: u32,
    event_name: Option<String>,
    event_bytes: usize,
}

pub(super) async fn list(
    args: &ListArgs,
    letter_box: &mut LetterBox,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let limit = args.limit.unwrap_or(u64::MAX);
    let (mut listed, mut next) = (0, Some(0));
    while let Some(from) = next {
        let page = letter_box.page(from).await?;
        next = page.next;
        for kept in page.letters.iter().filter(|kept| args.filter.matches(&kept.letter)) {
            if listed == limit {
                if !args.json {
                    voice.note(&format!("{}, and there are more", letters(listed)));
                }
                return Ok(Exit::Ok);
            }
            if args.json {
                voice.say(&listed_json(kept)?)?;
            } else {
                if listed == 0 {
                    let heading = line("number", "given up", "reason", "code", "event", "what was said");
                    let heading = voice.toned(Tone::Quiet, &heading);
                    voice.say(&heading)?;
                }
                voice.say(&listed_line(kept))?;
            }
            listed += 1;
        }
    }
    if listed == 0 {
        return Ok(none_is_meant(&args.filter, voice));
    }
    if !args.json {
        voice.note(&letters(listed));
    }
    Ok(Exit::Ok)
}

pub(super) async fn show(
    args: &ShowArgs,
    letter_box: &mut LetterBox,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let Some(kept) = letter_box.get(args.number).await? else {
        voice.note(&format!("there is no dead letter {}", args.number));
        return Ok(Exit::Finding);
    };
    if args.json {
        voice.say(&whole_json(&kept)?)?;
    } else {
        for line in shown_lines(&kept) {
            voice.say(&line)?;
        }
    }
    Ok(Exit::Ok)
}

/// The whole letter on one line, as an export holds it.
pub(super) fn whole_json(kept: &KeptLetter) -> Result<String, Failure> {
    serde_json::to_string(kept).map_err(|error| Failure::of(Exit::Io, &error))
}

fn listed_json(kept: &KeptLetter) -> Result<String, Failure> {
    let KeptLetter { number, letter } = kept;
    let listed = Listed {
        number: *number,
        origin: letter.origin.as_str(),
        reason: letter.reason.as_str(),
        code: &letter.code,
        field: letter.field.as_deref(),
        message: &letter.message,
        at: letter.at,
        lane: letter.lane.map(crate::event::Lane::as_str),
        attempts: letter.attempts,
        event_name: event_name(letter),
        event_bytes: letter.event.len(),
    };
    serde_json::to_string(&listed).map_err(|error| Failure::of(Exit::Io, &error))
}

fn listed_line(kept: &KeptLetter) -> String {
    let KeptLetter { number, letter } = kept;
    let name = event_name(letter).map_or_else(|| "?".to_owned(), |name| visible(&name));
    let mut said = what_was_said(letter);
    if let Some((cut, _)) = said.char_indices().nth(MESSAGE_CHARS_MAX) {
        said.truncate(cut);
        said.push('…');
    }
    line(
        &number.to_string(),
        &moment(letter.at),
        letter.reason.as_str(),
        &visible(&letter.code),
        &name,
        &said,
    )
}

fn line(number: &str, at: &str, reason: &str, code: &str, name: &str, said: &str) -> String {
    format!("{number:>7}  {at:<20}  {reason:<17}  {code:<18}  {name:<16}  {said}").trim_end().to_owned()
}

fn what_was_said(letter: &DeadLetter) -> String {
    match &letter.field {
        Some(field) => visible(&format!("{field}: {}", letter.message)),
        None => visible(&letter.message),
    }
}

fn shown_lines(kept: &KeptLetter) -> Vec<String> {
    let KeptLetter { number, letter } = kept;
    let mut lines = vec![
        format!("number    {number}"),
        format!("given up  {} by {}", moment(letter.at), letter.origin.as_str()),
        format!("reason    {}, {}", letter.reason.as_str(), visible(&letter.code)),
        format!("said      {}", what_was_said(letter)),
    ];
    if let Some(accepted) = letter.accepted {
        let lane = letter.lane.map_or("?", crate::event::Lane::as_str);
        lines.push(format!("accepted  {} in the lane of {lane}", moment(accepted)));
        lines.push(format!("sent      in {}", figures::counted(u64::from(letter.attempts), "request")));
    }
    if letter.altered {
        lines.push("text      not all that came: too long to be kept whole, or not UTF-8".to_owned());
    }
    lines.push(format!("event     {}", figures::bytes(letter.event.len() as u64)));
    lines.push(visible(&letter.event));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{DeadReason, Origin};

    fn kept() -> KeptLetter {
        let letter = DeadLetter {
            origin: Origin::Delivery,
            reason: DeadReason::RefusedByPolar,
            code: "missing".to_owned(),
            field: Some("name".to_owned()),
            message: "Field required".to_owned(),
            at: 1_700_000_000_250,
            lane: Some(crate::event::Lane::Usage),
            seq: Some(1),
            accepted: Some(1_700_000_000_000),
            attempts: 2,
            altered: false,
            spare_id: None,
            source: None,
            event: "{\"name\":\"api_usage\",\"external_customer_id\":\"ada\"}".to_owned(),
        };
        KeptLetter { number: 7, letter }
    }

    #[test]
    fn a_list_names_the_event_and_shows_nothing_of_the_customer() {
        let line = listed_line(&kept());
        assert_eq!(
            line,
            "      7  2023-11-14T22:13:20Z  refused_by_polar   missing             api_usage         name: Field required"
        );
        assert!(!listed_json(&kept()).unwrap().contains("ada"));
    }

    #[test]
    fn a_letter_can_not_steer_the_terminal() {
        let mut kept = kept();
        kept.letter.event = "\u{1b}[2J\r\nx".to_owned();
        kept.letter.message = "\u{7}".to_owned();
        let shown = shown_lines(&kept).join("\n");
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
        assert!(shown.contains("[2J  x"), "{shown:?}");
    }

    #[test]
    fn the_json_of_a_whole_letter_is_read_back_as_it_was() {
        let kept = kept();
        let json = whole_json(&kept).unwrap();
        assert!(json.starts_with("{\"number\":7,\"origin\":\"delivery\""), "{json}");
        assert_eq!(serde_json::from_str::<KeptLetter>(&json).unwrap(), kept);
        assert_eq!(serde_json::from_str::<DeadLetter>(&json).unwrap(), kept.letter);
    }
}
