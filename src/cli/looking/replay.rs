//! `sledge replay`: sending again what was delivered.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::place::{Place, PlaceArgs};
use super::recall_box::RecallBox;
use crate::cli::voice::{Exit, Failure, Tone, Voice, bytes, count, events, moment, read_moment};
use crate::clock::Clock;
use crate::event::UnixMillis;
use crate::journal::{Replayed, Span};

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Sends again what was delivered in a span of time: for the day on which Polar has lost what it had confirmed.
///
/// Events keep their external_id, so those that Polar still has count once. What Polar refused, and what was dropped, is
/// never sent again. Delivered events are kept for `retention_seconds`; what is no longer kept is told. Works whether sledge runs
/// (through its admin socket) or not (by opening its journal). Run it as the user sledge runs as.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge replay --since 2h --dry-run
  sledge replay --since 2026-06-12T09:00:00Z --until 2026-06-12T11:30:00Z
  sledge replay --since 90m --json | jq .events

Times are compared with when Polar confirmed the events, by this machine's clock. Choose the span generously: what is \
sent twice counts once. Cut short, simply run it again.
Exit codes: 0 all of it is pending again, 1 nothing was delivered then, or something can't be sent again, 64 usage, \
69 no sledge and no journal, 74 the disk failed, 75 try again, 78 a setting can't be used.")]
pub(in crate::cli) struct ReplayArgs {
    /// Delivered at this time or later: RFC 3339, or an age such as 90s, 30m, 12h, 7d
    #[arg(long, value_name = "TIME", value_parser = read_moment)]
    since: UnixMillis,
    /// Delivered before this time: RFC 3339, or an age [default: now]
    #[arg(long, value_name = "TIME", value_parser = read_moment)]
    until: Option<UnixMillis>,
    /// Only count what would be sent again
    #[arg(long)]
    dry_run: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(in crate::cli) async fn replay(
    args: ReplayArgs,
    no_color: bool,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let now = Clock::system().now();
    // What this very replay delivers is not to be sent again.
    let span = Span { since: args.since, until: args.until.unwrap_or(now).min(now) };
    if span.since >= span.until {
        return Err(Failure::new(
            Exit::Usage,
            "the span is empty: --since must lie before --until, and in the past",
        ));
    }
    let recall = RecallBox::of(Place::open(&args.place, no_color).await?);
    let replayed = watched(&recall, span, args.dry_run, voice).await;
    let closed = recall.close().await;
    let replayed = replayed?;
    closed?;
    let findings = findings(&replayed);
    if args.json {
        voice.say_json(&Told { replayed: &replayed, findings: &findings })?;
    } else {
        voice.say(&result(&replayed))?;
        for finding in &findings {
            let finding = voice.toned(Tone::Bad, finding);
            voice.say(&finding)?;
        }
    }
    Ok(exit(&replayed, &findings))
}

/// What was done, and what a person must know of it.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    replayed: &'a Replayed,
    findings: &'a [String],
}

/// Replays, and shows meanwhile how far it is.
async fn watched(
    recall: &RecallBox,
    span: Span,
    dry_run: bool,
    voice: &mut Voice,
) -> Result<Replayed, Failure> {
    let replaying = recall.replay(span, dry_run);
    tokio::pin!(replaying);
    loop {
        tokio::select! {
            replayed = &mut replaying => return replayed,
            () = tokio::time::sleep(LOOK_EVERY) => {
                if let Some(progress) = recall.progress().await {
                    voice.progress(&format!("{} of {}", count(progress.restored), events(progress.of)));
                }
            }
        }
    }
}

fn exit(replayed: &Replayed, findings: &[String]) -> Exit {
    match (&replayed.stopped, findings) {
        (Some(_), _) => Exit::Temporary,
        (None, []) => Exit::Ok,
        (None, _) => Exit::Finding,
    }
}

fn result(replayed: &Replayed) -> String {
    let Replayed { dry_run, pending_again, pending, dead, .. } = replayed;
    let done = if *dry_run { "would be sent again" } else { "are pending again" };
    let mut line = format!("{} ({}) {done}", events(replayed.events), bytes(replayed.bytes));
    if *pending_again > 0 {
        line.push_str(&format!("; {} already were", count(*pending_again)));
    }
    let left_out = [(*pending, "not delivered yet"), (*dead, "dead letters or dropped")];
    let left_out: Vec<String> = left_out
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(*number)))
        .collect();
    if !left_out.is_empty() {
        line.push_str(&format!("; left out: {}", left_out.join(", ")));
    }
    line
}

/// What a person must know of what could not be sent again.
fn findings(replayed: &Replayed) -> Vec<String> {
    let mut findings = Vec::new();
    if replayed.events + replayed.pending_again == 0 {
        findings.push(format!(
            "nothing that is still kept was delivered between {} and {}",
            moment(replayed.since),
            moment(replayed.until)
        ));
    }
    if let Some(why) = &replayed.stopped {
        findings.push(format!(
            "it stopped before it was through: {why}. Run it again once that has passed; what is pending already is not sent twice"
        ));
    }
    let is_reached = replayed.kept_since.is_some_and(|kept| kept <= replayed.since);
    if replayed.forgotten > 0 && !is_reached {
        let kept = match replayed.kept_since {
            Some(kept) => format!("the oldest delivery that is was at {}", moment(kept)),
            None => "of what was delivered nothing is".to_owned(),
        };
        findings.push(format!(
            "{} that came earlier are no longer kept, and {kept}: what was delivered before has to come from the applications again (journal.retention_seconds and journal.retention_bytes_max say how long sledge keeps it)",
            events(replayed.forgotten)
        ));
    }
    if replayed.unreadable > 0 {
        findings.push(format!(
            "{} can't be read, or not whether they were delivered: their volume is damaged. Check the disk; the applications can send them again with the same ids",
            events(replayed.unreadable)
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_tells_what_was_left_out_and_why() {
        let replayed = Replayed { events: 1_200, bytes: 2_048, dead: 3, pending: 1, ..Replayed::default() };
        let line = "1,200 events (2.0 KiB) are pending again; left out: 1 not delivered yet, 3 dead letters or dropped";
        assert_eq!(result(&replayed), line);
        assert_eq!(exit(&replayed, &findings(&replayed)), Exit::Ok);
        let dry = Replayed { dry_run: true, pending_again: 2, events: 1, ..Replayed::default() };
        assert_eq!(result(&dry), "1 event (0 B) would be sent again; 2 already were");
    }

    #[test]
    fn what_is_forgotten_is_told_only_where_the_span_reaches_back_to_it() {
        let since = 1_700_000_000_000;
        let replayed =
            Replayed { since, events: 1, forgotten: 9, kept_since: Some(since - 1), ..Replayed::default() };
        assert_eq!(findings(&replayed), Vec::<String>::new());
        let reaching = Replayed { kept_since: Some(since + 60_000), ..replayed.clone() };
        assert!(findings(&reaching)[0].contains("the oldest delivery that is was at 2023-11-14T22:14:20Z"));
        assert_eq!(exit(&reaching, &findings(&reaching)), Exit::Finding);
        let nothing = Replayed { kept_since: None, ..replayed };
        assert!(findings(&nothing)[0].contains("nothing is"), "{:?}", findings(&nothing));
    }

    #[test]
    fn nothing_to_send_again_is_a_finding_that_names_the_span_and_a_stop_is_for_later() {
        let span = Replayed { since: 1_700_000_000_000, until: 1_700_000_060_000, ..Replayed::default() };
        let nothing =
            "nothing that is still kept was delivered between 2023-11-14T22:13:20Z and 2023-11-14T22:14:20Z";
        assert_eq!(findings(&span), [nothing]);
        assert_eq!(exit(&span, &findings(&span)), Exit::Finding);
        let stopped = Replayed { events: 5, stopped: Some("full".to_owned()), ..Replayed::default() };
        assert_eq!(exit(&stopped, &findings(&stopped)), Exit::Temporary);
        assert!(findings(&stopped)[0].contains("Run it again"));
    }
}
