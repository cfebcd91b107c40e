//! A simulator on a port of its own, and a client plain enough to send what no library would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use sledge::simulator::{Settings, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// 2026-08-22T12:00:00Z in microseconds.
pub(crate) const NOON_US: u64 = 1_787_400_000_000_000;

pub(crate) struct Polar {
    pub(crate) simulator: Simulator,
    pub(crate) address: String,
    pub(crate) now_us: Arc<AtomicU64>,
    /// Serves until it is dropped.
    pub(crate) _server: JoinSet<()>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = self.headers.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim())
    }
}

impl Polar {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let now_us = Arc::new(AtomicU64::new(NOON_US));
        let hand = now_us.clone();
        let mut settings = Settings::new(move || hand.load(Ordering::Relaxed));
        change(&mut settings);
        let simulator = Simulator::new(settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut server = JoinSet::new();
        let serving = simulator.clone();
        server.spawn(async move { serving.serve(listener, std::future::pending()).await.unwrap() });
        Self { simulator, address, now_us, _server: server }
    }

    pub(crate) fn advance_ms(&self, ms: u64) {
        self.now_us.fetch_add(ms * 1000, Ordering::Relaxed);
    }

    /// Sends bytes and reads until the server closes. `None` when no whole answer came back.
    pub(crate) async fn raw(&self, request: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok()?;
        parse(&bytes)
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        self.raw(&request(method, path, headers, body)).await
    }

    /// An ingest request as the SDKs send it.
    pub(crate) async fn ingest(&self, body: &str) -> Answer {
        self.send("POST", "/v1/events/ingest", &SDK, body.as_bytes()).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &SDK, body.as_bytes()).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &SDK, b"").await.expect("an answer")
    }
}

pub(crate) const SDK: [(&str, &str); 3] = [
    ("Authorization", "Bearer polar_oat_test"),
    ("Content-Type", "application/json"),
    ("Polar-Version", "2026-04"),
];

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        out.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    out.push_str("\r\n");
    [out.as_bytes(), body].concat()
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let answer = Answer {
        status: line.split(' ').nth(1)?.parse().ok()?,
        headers: headers.to_owned(),
        body: body.to_owned(),
    };
    let whole = answer.header("content-length").is_none_or(|length| length == answer.body.len().to_string());
    whole.then_some(answer)
}

/// A body of `count` events with the ids `prefix-0`, `prefix-1`, …
pub(crate) fn batch(prefix: &str, count: usize) -> String {
    let event = |n| {
        format!(
            r#"{{"name":"api_usage","external_customer_id":"user_123","external_id":"{prefix}-{n}","metadata":{{"units":1}}}}"#
        )
    };
    let events: Vec<String> = (0..count).map(event).collect();
    format!(r#"{{"events":[{}]}}"#, events.join(","))
}

/// A body of one event with these further fields.
pub(crate) fn one(fields: &str) -> String {
    format!(r#"{{"events":[{{"name":"api_usage","external_customer_id":"user_123",{fields}}}]}}"#)
}
