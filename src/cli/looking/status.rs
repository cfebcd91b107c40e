//! `sledge status`: one look at the daemon, the lag first.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::admin::{DeadLettersStatus, FULL_NOTICED_PERCENT, LAG_NOTICED_SECONDS, PartState, Status};
use crate::cli::voice::{Exit, Failure, Tone, Voice, bytes, count, counted, duration, events};
use crate::client::exchange;
use crate::config;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const STATUS_BYTES_MAX: usize = 1 << 20;

/// Shows what the daemon owes to Polar, how old it is, and what a person should look at.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge status
  sledge status --json | jq .lag_seconds

A finding is: a part that is not ready or degraded, held deliveries, a lag over 5 minutes, \
a journal over 80 % full, or dead letters, whichever side gave them up.
Exit codes: 0 nothing to look at, 1 a finding, 69 not running.")]
pub(in crate::cli) struct StatusArgs {
    /// The daemon's admin address [default: 127.0.0.1:9464]
    #[arg(long, value_name = "HOST:PORT", env = "SLEDGE_ADMIN", hide_env_values = true)]
    admin: Option<String>,
    /// Print the daemon's own answer (the JSON of /status)
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn status(args: StatusArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let address = args.admin.filter(|given| !given.is_empty()).unwrap_or_else(|| config::ADMIN.to_owned());
    let answered = timeout(ANSWER_TIMEOUT, ask(&address)).await;
    let body = answered.unwrap_or_else(|_| Err("no answer within 5 s".to_owned())).map_err(|problem| {
        let message = format!(
            "no status from {address}: {problem}; start sledge with `sledge run`, name its admin address with --admin, or see what `sledge doctor` finds"
        );
        Failure::new(Exit::Unavailable, message)
    })?;
    let status: Status = serde_json::from_slice(&body).map_err(|_| {
        let message = format!("what answers at {address} is not sledge; name its admin address with --admin");
        Failure::new(Exit::Unavailable, message)
    })?;
    let findings = findings(&status);
    if args.json {
        voice.say(String::from_utf8_lossy(&body).trim_end())?;
    } else {
        for line in lines(&status, voice) {
            voice.say(&line)?;
        }
        for finding in &findings {
            let line = voice.toned(Tone::Bad, &format!("finding: {finding}"));
            voice.say(&line)?;
        }
    }
    Ok(if findings.is_empty() { Exit::Ok } else { Exit::Finding })
}

async fn ask(address: &str) -> Result<Bytes, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let request = Request::get("/status").header(HOST, address).body(Full::default());
    let request = request.map_err(|error| error.to_string())?;
    match exchange(stream, request, STATUS_BYTES_MAX).await? {
        (StatusCode::OK, body) => Ok(body),
        (status, body) => Err(format!("{status}, {}", String::from_utf8_lossy(&body).trim_end())),
    }
}

/// What a person should look at.
fn findings(status: &Status) -> Vec<String> {
    let mut findings = Vec::new();
    for part in &status.parts {
        let reason = part.reason.as_deref().unwrap_or("no reason given");
        match part.state {
            PartState::Ready => {}
            PartState::Degraded => findings.push(format!("{} is degraded: {reason}", part.part)),
            PartState::NotReady => findings.push(format!("{} is not ready: {reason}", part.part)),
        }
    }
    findings.extend(status.held.iter().map(|reason| format!("delivery is held: {reason}")));
    if let Some(lag) = status.lag_seconds.filter(|lag| *lag > LAG_NOTICED_SECONDS) {
        findings.push(format!("the oldest event has waited {}", duration(lag)));
    }
    if let Some(percent) = status.journal_percent().filter(|percent| *percent >= FULL_NOTICED_PERCENT) {
        findings.push(format!("the journal is {percent} % full; at its limit new events are refused"));
    }
    let letters = status.dead_letters.delivery + status.dead_letters.intake;
    if letters > 0 {
        findings.push(format!(
            "{} will not reach Polar by {}; see `sledge dead-letters list`",
            events(letters),
            if letters == 1 { "itself" } else { "themselves" }
        ));
    }
    findings
}

fn lines(status: &Status, voice: &Voice) -> Vec<String> {
    let lag = match status.lag_seconds {
        None => voice.toned(Tone::Good, "none, nothing is owed to Polar"),
        Some(lag) if lag > LAG_NOTICED_SECONDS => voice.toned(Tone::Bad, &duration(lag)),
        Some(lag) => duration(lag),
    };
    let pending = &status.pending;
    let last = match status.last_delivery_age_seconds {
        None => "nothing yet since the start".to_owned(),
        Some(age) => format!("last {} ago", duration(age)),
    };
    let accounts = &status.accounts;
    let ready = if status.ready { voice.toned(Tone::Good, "yes") } else { voice.toned(Tone::Bad, "no") };
    let mut lines = vec![
        format!("lag        {lag}"),
        format!(
            "pending    {} ({}, {} usage), {}",
            events(pending.events),
            counted(pending.grants.events, "grant"),
            count(pending.usage.events),
            bytes(pending.bytes)
        ),
        format!(
            "delivered  {} ({} known to Polar already), {last}",
            events(accounts.inserted + accounts.duplicates),
            count(accounts.duplicates)
        ),
        dead_letters(&status.dead_letters),
        format!("journal    {} of {}", bytes(status.journal.bytes), bytes(status.journal.limit_bytes)),
        format!("ready      {ready}"),
    ];
    let about =
        format!("sledge {}, up {}, to {}", status.version, duration(status.uptime_seconds), status.polar);
    lines.push(voice.toned(Tone::Quiet, &about));
    lines
}

fn dead_letters(letters: &DeadLettersStatus) -> String {
    let mut line = format!(
        "dead       {} given up by delivery, {} refused without an ack and kept",
        count(letters.delivery),
        count(letters.intake)
    );
    if letters.not_kept > 0 {
        line.push_str(&format!(", {} more for which there was no room", count(letters.not_kept)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{AccountsStatus, JournalStatus, LaneStatus, PartStatus, PendingStatus};

    fn well() -> Status {
        let lane = |events| LaneStatus { events, oldest_age_seconds: None };
        Status {
            version: "0.1.0".to_owned(),
            uptime_seconds: 7_260.0,
            polar: "https://api.polar.sh".to_owned(),
            lag_seconds: Some(1.5),
            last_delivery_age_seconds: Some(0.5),
            pending: PendingStatus { events: 1_200, bytes: 2_048, grants: lane(0), usage: lane(1_200) },
            held: Vec::new(),
            accounts: AccountsStatus {
                pending_at_start: 0,
                accepted: 5_000,
                restored: 0,
                inserted: 3_797,
                duplicates: 3,
                dead_lettered: 0,
                pending: 1_200,
            },
            dead_letters: DeadLettersStatus {
                delivery: 0,
                intake: 0,
                not_kept: 0,
                bytes: 0,
                limit_bytes: 1 << 26,
            },
            journal: JournalStatus { bytes: 1 << 20, limit_bytes: 1 << 30 },
            ready: true,
            parts: vec![PartStatus { part: "journal".to_owned(), state: PartState::Ready, reason: None }],
            listeners: Vec::new(),
            data_dir: "/var/lib/sledge".to_owned(),
            trial: false,
        }
    }

    #[test]
    fn a_daemon_that_is_well_has_no_findings() {
        assert!(findings(&well()).is_empty());
    }

    #[test]
    fn each_thing_to_look_at_is_a_finding() {
        type Change = fn(&mut Status);
        let cases: [(Change, &str); 7] = [
            (|status| status.held.push("unauthorized".to_owned()), "delivery is held: unauthorized"),
            (|status| status.lag_seconds = Some(600.0), "the oldest event has waited 10 min 0 s"),
            (
                |status| status.journal.bytes = 900 << 20,
                "the journal is 87 % full; at its limit new events are refused",
            ),
            (
                |status| status.dead_letters.delivery = 1,
                "1 event will not reach Polar by itself; see `sledge dead-letters list`",
            ),
            (
                |status| status.dead_letters.intake = 2,
                "2 events will not reach Polar by themselves; see `sledge dead-letters list`",
            ),
            (|status| status.parts[0].state = PartState::NotReady, "journal is not ready: no reason given"),
            (|status| status.parts[0].state = PartState::Degraded, "journal is degraded: no reason given"),
        ];
        for (change, finding) in cases {
            let mut status = well();
            change(&mut status);
            assert_eq!(findings(&status), [finding]);
        }
    }

    #[test]
    fn the_lag_is_the_first_line() {
        let lines = lines(&well(), &Voice::new(true));
        assert_eq!(lines[0], "lag        1.5 s");
        assert_eq!(lines[1], "pending    1,200 events (0 grants, 1,200 usage), 2.0 KiB");
        assert_eq!(lines[2], "delivered  3,800 events (3 known to Polar already), last 0.5 s ago");
        assert!(lines.last().unwrap().contains("sledge 0.1.0, up 2 h 1 min, to https://api.polar.sh"));
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_told_apart_from_one_in_trouble() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let args = StatusArgs { admin: Some(address.clone()), json: false };
        let failure = status(args, &mut Voice::new(true)).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(
            failure.message.contains(&address) && failure.message.contains("--admin"),
            "{}",
            failure.message
        );
    }
}
