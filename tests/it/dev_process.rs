//! A running `sledge dev`, listened to.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::one_command::sledge;
use crate::sledge_process::{PATIENCE, http};

/// `sledge dev` with a temporary folder of its own. Dropped, it is killed.
pub(crate) struct DevProcess {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it printed so far.
    pub(crate) said: Vec<String>,
    folder: TempDir,
}

impl DevProcess {
    /// Spawns it; `change` may add to the command.
    pub(crate) fn spawn(change: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::Builder::new().prefix("sledge-dev-it-").tempdir().unwrap();
        let mut command = sledge(&["dev", "--socket"]);
        command.arg(folder.path().join("dev.sock")).env("TMPDIR", folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, said: Vec::new(), folder }
    }

    /// Spawns it and waits until it tells what to copy.
    pub(crate) async fn start() -> Self {
        let mut dev = Self::spawn(|_| ());
        dev.says("what arrives at Polar").await;
        dev
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("dev.sock")
    }

    /// Waits for a line that holds `words`, among those not yet asked for.
    pub(crate) async fn says(&mut self, words: &str) -> String {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("dev never said {words:?}: {:#?}", self.said)).unwrap();
            let line = line.unwrap_or_else(|| panic!("dev ended before it said {words:?}: {:#?}", self.said));
            self.said.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// The word of what it said that begins with `start`, without that.
    pub(crate) fn word_after(&self, start: &str) -> String {
        let text = self.said.join("\n");
        let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("dev did not say {start:?}: {text}"));
        rest.split_whitespace().next().unwrap().to_owned()
    }

    /// Where its simulator listens, as `HOST:PORT`.
    pub(crate) fn polar(&self) -> String {
        self.word_after("Polar in memory at http://")
    }

    /// A request to its simulator: the body of the answer.
    pub(crate) async fn ask_polar(&self, method: &str, path: &str, body: &str) -> String {
        let polar = self.polar();
        let stream = TcpStream::connect(&polar).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {polar}\r\nauthorization: Bearer polar_oat_test\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let (status, answer) = http(stream, &format!("{head}{body}")).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Waits until the simulator has so many events.
    pub(crate) async fn has_events(&self, events: u64) {
        let begun = Instant::now();
        let patience = PATIENCE.as_millis();
        self.ask_polar("GET", &format!("/simulator/wait?events={events}&timeout_ms={patience}"), "").await;
        assert!(begun.elapsed() < PATIENCE);
    }

    /// Sends it a signal and waits for its end: the status, everything it printed, everything it logged, and what lies
    /// in its temporary folder then.
    pub(crate) async fn end_by(
        mut self,
        signal: rustix::process::Signal,
    ) -> (ExitStatus, Vec<String>, String, Vec<String>) {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        let ended = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.said.push(line);
            }
            stderr.read_to_string(&mut log).await.unwrap();
            self.child.wait().await.unwrap()
        });
        let status = ended.await.expect("dev did not end in time");
        let left = std::fs::read_dir(self.folder.path()).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        (status, self.said, log, left)
    }
}
