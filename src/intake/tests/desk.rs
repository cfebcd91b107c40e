//! A listener on a socket in a folder of its own, with a writer by hand behind it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus::TextEncoder;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::event::Rules;
use crate::intake::{Admission, Onward, Settings, StreamListener};
use crate::journal::{Append, Appender, WriterByHand};
use crate::metrics::Metrics;

/// The time of day in these tests: 2026-09-13T12:26:40Z.
pub(super) const NOW: u64 = 1_789_302_400_000;
/// Longer than anything here may take, far shorter than a test run may hang.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Desk {
    pub(super) writer: WriterByHand,
    pub(super) metrics: Metrics,
    pub(super) admission: Admission,
    pub(super) clock: Clock,
    /// What the machine's clock shows.
    pub(super) wall: Arc<AtomicU64>,
    socket: PathBuf,
    drain: watch::Sender<bool>,
    listener: JoinSet<()>,
    _folder: TempDir,
}

impl Desk {
    pub(super) fn open() -> Self {
        Self::with(Settings::default(), 16 << 20)
    }

    pub(super) fn with(settings: Settings, intake_bytes_max: usize) -> Self {
        let writer = WriterByHand::new(intake_bytes_max);
        Self::over(writer.appender(), writer, settings)
    }

    /// With a way to Polar for what is not intake.
    pub(super) fn handing(onward: Onward) -> Self {
        let writer = WriterByHand::new(16 << 20);
        Self::built(writer.appender(), writer, Settings::default(), Some(onward))
    }

    pub(super) fn over(appender: Appender, writer: WriterByHand, settings: Settings) -> Self {
        Self::built(appender, writer, settings, None)
    }

    fn built(appender: Appender, writer: WriterByHand, settings: Settings, onward: Option<Onward>) -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("sledge.sock");
        let metrics = Metrics::new().unwrap();
        let (wall, steady) = (Arc::new(AtomicU64::new(NOW)), Arc::new(AtomicU64::new(NOW)));
        let clock = Clock::by_hands(Arc::clone(&wall), steady);
        let admission = Admission::new(appender, metrics.clone(), clock.clone(), Rules::default(), &settings);
        let bound = UnixListener::bind(&socket).unwrap();
        let (drain, drained) = watch::channel(false);
        let mut listener = JoinSet::new();
        listener.spawn(StreamListener::new(bound, admission.clone()).handing(onward).run(drained));
        Self { writer, metrics, admission, clock, wall, socket, drain, listener, _folder: folder }
    }

    pub(super) async fn connect(&self) -> Sender {
        Sender { stream: BufReader::new(UnixStream::connect(&self.socket).await.unwrap()) }
    }

    /// Tells the listener to drain.
    pub(super) fn drain(&self) {
        self.drain.send(true).unwrap();
    }

    /// Waits for the listener's end.
    pub(super) async fn ended(mut self) {
        tokio::time::timeout(PATIENCE, self.listener.join_next()).await.unwrap().unwrap().unwrap();
    }

    /// How many events were counted as refused.
    pub(super) fn refused(&self, listener: &str, reason: &str) -> u64 {
        refused(&self.metrics, listener, reason)
    }
}

/// How many events were counted as refused.
pub(super) fn refused(metrics: &Metrics, listener: &str, reason: &str) -> u64 {
    let start = format!("sledge_events_refused_total{{listener=\"{listener}\",reason=\"{reason}\"}} ");
    let scrape = TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap();
    scrape.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |count| count.parse().unwrap())
}

/// Lets every task that can go on go on, until nothing moves any more.
pub(super) async fn settle_down() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// The other end of a connection.
pub(super) struct Sender {
    stream: BufReader<UnixStream>,
}

impl Sender {
    pub(super) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.try_send(text).await.unwrap();
    }

    pub(super) async fn try_send(&mut self, text: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.get_mut().write_all(text.as_ref()).await
    }

    pub(super) async fn end_writing(&mut self) {
        self.stream.get_mut().shutdown().await.unwrap();
    }

    /// The next line that comes back; empty at the end.
    pub(super) async fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await.unwrap().unwrap();
        line
    }

    /// Whether the other side closed, with nothing more to read.
    pub(super) async fn is_closed(&mut self) -> bool {
        tokio::time::timeout(PATIENCE, self.stream.read_u8()).await.is_ok_and(|read| read.is_err())
    }

    /// Whether nothing has come back.
    pub(super) async fn hears_nothing(&mut self) -> bool {
        settle_down().await;
        let mut byte = [0];
        self.stream.buffer().is_empty()
            && matches!(
                self.stream.get_ref().try_read(&mut byte),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock
            )
    }

    /// The next HTTP response: status, head in lower case, body.
    pub(super) async fn response(&mut self) -> (u16, String, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let line = self.line().await;
            assert!(!line.is_empty(), "the connection was closed after {head:?}");
            head.push_str(&line);
        }
        let head = head.to_ascii_lowercase();
        let status = head[9..12].parse().unwrap();
        let length = head
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        tokio::time::timeout(PATIENCE, self.stream.read_exact(&mut body)).await.unwrap().unwrap();
        (status, head, String::from_utf8(body).unwrap())
    }
}

/// A usage event with this id, complete but for its timestamp.
pub(super) fn event(id: &str) -> String {
    format!(
        r#"{{"name":"api_usage","external_customer_id":"c","external_id":"{id}","metadata":{{"units":3}}}}"#
    )
}

/// An event that is refused.
pub(super) const BAD: &str = r#"{"name":"api_usage"}"#;
pub(super) const HELLO: &str = "{\"sledge\":{\"ack\":\"each\"}}\n";

/// The positive reply for this id.
pub(super) fn ok(id: &str) -> String {
    format!("{{\"ok\":true,\"external_id\":\"{id}\"}}\n")
}

/// The code of a negative reply.
pub(super) fn code(line: &str) -> String {
    let reply: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(reply["ok"], false, "{line}");
    reply["error"]["code"].as_str().unwrap().to_owned()
}

/// The ids of an append's events, usage first.
pub(super) fn ids(append: &Append) -> Vec<String> {
    let texts = append.events.usage.iter().chain(append.events.grants.iter());
    texts
        .map(|text| {
            let event: serde_json::Value = serde_json::from_slice(text).unwrap();
            event["external_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// An ingest request of these event texts.
pub(super) fn ingest(events: &[String]) -> String {
    post("/v1/events/ingest", &format!("{{\"events\":[{}]}}", events.join(",")))
}

pub(super) fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
