//! `sledge simulate` as a process of its own, driven over its control API as a user's tests drive it.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::sledge_process::{PATIENCE, http};

/// A running simulator. Dropped, it is killed.
pub(crate) struct SimulateProcess {
    _child: Child,
    /// Reads what it tells of arrivals, so that it never waits for a reader.
    _listening: JoinSet<()>,
    address: String,
}

impl SimulateProcess {
    pub(crate) async fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sledge"));
        command.args(["simulate", "--json", "--listen", "127.0.0.1:0"]).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let greeting = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a greeting in time");
        let greeting: Value = serde_json::from_str(&greeting.unwrap().unwrap()).unwrap();
        let address = greeting["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        let mut listening = JoinSet::new();
        listening.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { _child: child, _listening: listening, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One request to its control API: the JSON of the answer, or null when there is none.
    pub(crate) async fn control(&self, method: &str, path: &str, body: &str) -> Value {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let head = format!(
            "{method} /simulator/{path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let (status, answer) = http(stream, &format!("{head}{body}")).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        serde_json::from_str(&answer).unwrap_or(Value::Null)
    }

    /// Everything that arrived, in numbers.
    pub(crate) async fn state(&self) -> Value {
        self.control("GET", "state", "").await
    }

    /// Waits until so many events were inserted.
    pub(crate) async fn has_events(&self, events: u64) {
        let path = format!("wait?events={events}&timeout_ms={}", PATIENCE.as_millis());
        self.control("GET", &path, "").await;
    }

    /// Keeps what its database holds; [`restore`](Self::restore) takes the number.
    pub(crate) async fn snapshot(&self) -> u64 {
        self.control("POST", "snapshots", "").await["snapshot"].as_u64().unwrap()
    }

    /// Goes back to a snapshot: what was answered since is gone.
    pub(crate) async fn restore(&self, snapshot: u64) {
        self.control("POST", &format!("snapshots/{snapshot}/restore"), "").await;
    }

    /// The ids of events that a restore took back and that were not sent again since.
    pub(crate) async fn lost_ids(&self) -> BTreeSet<String> {
        let mut lost = BTreeSet::new();
        loop {
            let path = format!("external-ids?lost=true&offset={}&limit=1000", lost.len());
            let page = self.control("GET", &path, "").await;
            let page = page.as_array().unwrap();
            if page.is_empty() {
                return lost;
            }
            lost.extend(page.iter().map(|record| record["external_id"].as_str().unwrap().to_owned()));
        }
    }
}
