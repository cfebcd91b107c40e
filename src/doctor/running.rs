//! The daemon that runs, as it tells of itself.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::finding::{Code, Finding};
use crate::admin::{FULL_NOTICED_PERCENT, LAG_NOTICED_SECONDS, PartState, PartStatus, Status, TokenTold};
use crate::client::exchange;
use crate::config::Config;
use crate::journal::counted;
use crate::polar::Reply;

const PATIENCE: Duration = Duration::from_secs(5);
const SEE_LOG: &str = "see the log of sledge";
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// What Polar allows where nothing else is known: its least ordinary limit, of the sandbox.
const LIMIT_PER_MINUTE: f64 = 100.0;

/// What a daemon tells of itself.
#[derive(Clone, Debug)]
pub(super) struct Running {
    /// Its status.
    pub(super) status: Status,
    /// Requests of applications with another token than its own.
    foreign_tokens: f64,
    /// Its requests to Polar, in all.
    requests: f64,
    /// What it tells of its token, where that can be asked.
    token: Option<TokenTold>,
}

impl Running {
    /// Asks at the admin socket, which lies in the data folder and so is of this very daemon; `None` where none runs.
    ///
    /// # Errors
    /// Why it can't be asked.
    pub(super) async fn look(config: &Config) -> Result<Option<Self>, String> {
        let socket = &config.admin_socket;
        let unanswered =
            |problem: String| format!("{}: {problem}; run it as the user sledge runs as", socket.display());
        match UnixStream::connect(socket).await {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(unanswered(error.to_string())),
        }
        let told = Self::told(async |path| on_socket(socket, path).await).await;
        let told = told.ok_or_else(|| unanswered("no status came from there".to_owned()))?;
        let token = on_socket(socket, "/token").await.and_then(|told| serde_json::from_slice(&told).ok());
        Ok(Some(Self { token, ..told }))
    }

    /// What the daemon at the admin address tells; `None` where nobody answers, or the port was left to the system.
    pub(super) async fn at_admin_address(config: &Config) -> Option<Self> {
        let address = config.admin.address.as_str();
        if address.ends_with(":0") {
            return None;
        }
        Self::told(async |path| at_address(address, path).await).await
    }

    /// What any door of a daemon tells.
    async fn told(ask: impl AsyncFn(&'static str) -> Option<Bytes>) -> Option<Self> {
        let status = serde_json::from_slice(&ask("/status").await?).ok()?;
        let metrics = ask("/metrics").await.unwrap_or_default();
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        Some(Self {
            status,
            foreign_tokens: sum(&metrics, "sledge_foreign_token_requests_total"),
            requests: sum(&metrics, "sledge_polar_request_seconds_count"),
            token: None,
        })
    }

    /// Whether it has a token, as far as it tells.
    pub(super) fn has_token(&self) -> bool {
        let is_held = self.status.held.iter().any(|reason| reason == "no_token");
        self.token.map_or(!is_held, |told| told.mark.is_some())
    }

    /// What it tells of its token; `None` where it can't be asked.
    pub(super) fn token(&self) -> Option<TokenTold> {
        self.token
    }
}

async fn on_socket(socket: &Path, path: &str) -> Option<Bytes> {
    let connect = async { UnixStream::connect(socket).await.ok() };
    timeout(PATIENCE, async { body_of(connect.await?, "localhost", path).await }).await.ok()?
}

async fn at_address(address: &str, path: &str) -> Option<Bytes> {
    let connect = async { TcpStream::connect(address).await.ok() };
    timeout(PATIENCE, async { body_of(connect.await?, address, path).await }).await.ok()?
}

async fn body_of(stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, path: &str) -> Option<Bytes> {
    let request = Request::get(path).header(HOST, host).body(Full::default()).ok()?;
    let (status, body) = exchange(stream, request, ANSWER_BYTES_MAX).await.ok()?;
    (status == StatusCode::OK).then_some(body)
}

/// The sum over all labels of a metric, in the text of a scrape.
fn sum(scrape: &str, name: &str) -> f64 {
    let is_of_it =
        |sample: &str| sample.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
    let samples = scrape.lines().filter_map(|line| line.rsplit_once(' '));
    samples.filter(|(sample, _)| is_of_it(sample)).filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

pub(super) fn judge(Running { status, foreign_tokens, .. }: &Running) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |code, seen: String, fix: String| findings.push(Finding::new(code, seen, fix));
    if !status.held.is_empty() {
        let delivery = status.parts.iter().find(|part| part.part == "delivery");
        let fix = delivery.and_then(|part| part.reason.clone()).unwrap_or_else(|| SEE_LOG.to_owned());
        found(Code::DeliveryHeld, format!("delivery is held: {}", status.held.join(", ")), fix);
    }
    for part in status.parts.iter().filter(|part| part.state != PartState::Ready) {
        // A held delivery has been told.
        if part.part != "delivery" || status.held.is_empty() {
            let (seen, fix) = in_trouble(part);
            found(code_of(part), seen, fix);
        }
    }
    if let Some(lag) = status.lag_seconds.filter(|lag| *lag > LAG_NOTICED_SECONDS && status.held.is_empty()) {
        found(
            Code::Lagging,
            format!("the oldest of {} has waited {lag:.0} s", counted(status.pending.events, "event")),
            "see what keeps Polar from taking them: sledge status, and the log of sledge".to_owned(),
        );
    }
    if let Some(percent) = status.journal_percent().filter(|percent| *percent >= FULL_NOTICED_PERCENT) {
        found(
            Code::JournalNearlyFull,
            format!("the journal is {percent} % full"),
            "let it deliver, or raise journal.bytes_max".to_owned(),
        );
    }
    let letters = status.dead_letters.delivery + status.dead_letters.intake;
    if letters > 0 {
        found(Code::DeadLettersWaiting, format!("{} kept", counted(letters, "dead letter")), letters_fix());
    }
    if *foreign_tokens > 0.0 {
        found(
            Code::ForeignTokenInUse,
            format!("requests that came with a token of Polar that is not the daemon's: {foreign_tokens:.0}"),
            "give applications no token for sledge, or the daemon's; with theirs in POLAR_ACCESS_TOKEN and the daemon's by --token-file, doctor compares their organizations".to_owned(),
        );
    }
    findings
}

/// The parts that are about one thing have a code of their own.
fn code_of(part: &PartStatus) -> Code {
    match (part.state, part.part.as_str()) {
        (PartState::Degraded, "descriptors") => Code::TooFewDescriptors,
        (PartState::Degraded, "space") => Code::JournalFull,
        (PartState::Degraded | PartState::NotReady | PartState::Ready, _) => Code::PartInTrouble,
    }
}

/// What a part that is not simply ready says, and what to do about it.
fn in_trouble(part: &PartStatus) -> (String, String) {
    let name = &part.part;
    let reason = part.reason.as_deref().unwrap_or("it does not say why");
    let (reason, fix) = match (part.state, name.as_str()) {
        (PartState::Ready | PartState::NotReady, _) => {
            (reason, "wait until it is, and look again; if it stays so, see the log of sledge")
        }
        (PartState::Degraded, "delivery") => (
            reason,
            "mend what is found of Polar here; where it answers again, wait: sledge goes on by itself",
        ),
        (PartState::Degraded, "journal") => (
            reason,
            "check the disk (dmesg, smartctl), and have applications send again what was lost, with the same ids",
        ),
        // The others end in what to do.
        (PartState::Degraded, _) => reason.rsplit_once("; ").unwrap_or((reason, SEE_LOG)),
    };
    let state = if part.state == PartState::Degraded { "degraded" } else { "not ready" };
    (format!("{name} is {state}: {reason}"), fix.to_owned())
}

pub(super) fn letters_fix() -> String {
    "see them with `sledge dead-letters list`; mend what is wrong, then retry or drop them".to_owned()
}

/// Polar refused a question for the number of requests, and this daemon has not sent them.
pub(super) fn judge_budget(
    reply: &Reply,
    running: Option<&Running>,
    limit_per_minute: Option<u32>,
) -> Vec<Finding> {
    if !matches!(reply, Reply::RateLimited { .. }) {
        return Vec::new();
    }
    let limit = limit_per_minute.map_or(LIMIT_PER_MINUTE, f64::from);
    let own = running.map(|it| it.requests / (it.status.uptime_seconds / 60.0).max(1.0));
    if own.is_some_and(|own| own >= limit / 2.0) {
        return Vec::new();
    }
    let sends = own.map_or_else(
        || "no daemon runs here".to_owned(),
        |own| format!("this daemon sends {own:.0} a minute"),
    );
    let fix = "find what else calls Polar with your organization's tokens, and have its events come through sledge; ask Polar for a higher limit";
    vec![Finding::new(Code::BudgetUsedByOthers, format!("Polar answers 429, and {sends}"), fix)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_nothing_else() {
        let scrape = "# HELP a b\na_count{x=\"1\"} 2\na_count{x=\"2\"} 3\na_count_more 7\nb 1\n";
        assert!((sum(scrape, "a_count") - 5.0).abs() < 1e-9);
        assert!(sum(scrape, "missing").abs() < 1e-9);
    }

    fn well() -> Running {
        let status = serde_json::json!({
            "version": "0.1.0", "uptime_seconds": 600.0, "polar": "https://api.polar.sh",
            "lag_seconds": 1.5, "last_delivery_age_seconds": 0.5, "held": [], "ready": true, "listeners": [],
            "pending": {
                "events": 7, "bytes": 900,
                "grants": {"events": 0, "oldest_age_seconds": null},
                "usage": {"events": 7, "oldest_age_seconds": 1.5},
            },
            "accounts": {
                "pending_at_start": 0, "accepted": 7, "restored": 0, "inserted": 0, "duplicates": 0,
                "dead_lettered": 0, "pending": 7,
            },
            "dead_letters": {"delivery": 0, "intake": 0},
            "journal": {"bytes": 10, "limit_bytes": 100},
            "parts": [{"part": "journal", "state": "ready"}, {"part": "delivery", "state": "ready"}],
        });
        Running {
            status: serde_json::from_value(status).unwrap(),
            foreign_tokens: 0.0,
            requests: 5.0,
            token: None,
        }
    }

    fn degraded(part: &str) -> PartStatus {
        PartStatus { part: part.to_owned(), state: PartState::Degraded, reason: Some("seen; fix".to_owned()) }
    }

    #[test]
    fn a_daemon_that_is_well_is_silent_and_each_trouble_of_one_is_found() {
        assert!(judge(&well()).is_empty());
        type Trouble = fn(&mut Running);
        let troubles: [(Trouble, Code); 8] = [
            (|it| it.status.held.push("unauthorized".to_owned()), Code::DeliveryHeld),
            (|it| it.status.parts[0].state = PartState::Degraded, Code::PartInTrouble),
            (|it| it.status.parts = vec![degraded("descriptors")], Code::TooFewDescriptors),
            (|it| it.status.parts = vec![degraded("space")], Code::JournalFull),
            (|it| it.status.lag_seconds = Some(301.0), Code::Lagging),
            (|it| it.status.journal.bytes = 80, Code::JournalNearlyFull),
            (|it| it.status.dead_letters.intake = 1, Code::DeadLettersWaiting),
            (|it| it.foreign_tokens = 2.0, Code::ForeignTokenInUse),
        ];
        for (trouble, code) in troubles {
            let mut running = well();
            trouble(&mut running);
            let findings = judge(&running);
            assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [code]);
        }
    }

    #[test]
    fn a_part_in_trouble_is_told_with_its_reason_and_something_to_do() {
        let told = |part: &str, state, reason: &str| {
            in_trouble(&PartStatus { part: part.to_owned(), state, reason: Some(reason.to_owned()) })
        };
        let failing =
            "Polar does not take events: status 503 (4 in a row); they are kept, and sent once it does";
        let (seen, fix) = told("delivery", PartState::Degraded, failing);
        assert_eq!(seen, format!("delivery is degraded: {failing}"));
        assert!(fix.starts_with("mend what is found of Polar here"), "{fix}");
        let full = "they hold 9 of 9 bytes: refused events are only counted, not kept; retry, or export and drop, with `sledge dead-letters`";
        let (seen, fix) = told("dead letters", PartState::Degraded, full);
        assert!(seen.ends_with("not kept"), "{seen}");
        assert_eq!(fix, "retry, or export and drop, with `sledge dead-letters`");
        assert!(told("journal", PartState::Degraded, "the disk lost 3").1.starts_with("check the disk"));
        assert!(told("listener", PartState::NotReady, "starting").1.starts_with("wait until it is"));
    }

    #[test]
    fn a_429_is_only_others_doing_when_this_daemon_is_quiet() {
        let limited = Reply::RateLimited { retry_after: None };
        assert_eq!(judge_budget(&limited, None, Some(500))[0].code, Code::BudgetUsedByOthers);
        assert!(judge_budget(&Reply::Unauthorized { in_polars_words: true }, None, Some(500)).is_empty());
        let quiet = well();
        assert_eq!(judge_budget(&limited, Some(&quiet), Some(500)).len(), 1);
        let busy = Running { requests: 4_000.0, ..well() };
        assert!(judge_budget(&limited, Some(&busy), Some(500)).is_empty(), "400 a minute are its own doing");
    }
}
