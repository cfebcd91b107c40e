//! The real binary as a child process, in a home of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sledge::clock::Clock;
use sledge::journal::{self, DeadLetter, Journal};
use sledge::metrics::Metrics;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// How long anything may take before a test gives up on it. Generous: a loaded machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often is looked whether a daemon is as wanted, so that looking does not keep it from becoming so.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The folders of one sledge: its data and its socket outlive its processes.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("sledge-it-").tempdir().unwrap() }
    }

    /// A home whose files lie in memory where the system offers that: no disk makes anybody wait there.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("sledge-it-");
        let folder = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
        Self { folder: folder.unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("sledge.sock")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path().join("data/journal")
    }

    /// `sledge run` against this Polar, with nothing of the tester's own environment.
    pub(crate) fn run_command(&self, polar_url: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sledge"));
        command.arg("run").arg("--data-dir").arg(self.path().join("data"));
        command.arg("--socket").arg(self.socket());
        command.args(["--admin", "127.0.0.1:0", "--polar-url", polar_url, "--log-format", "json"]);
        command.env_clear().env("POLAR_ACCESS_TOKEN", "polar_oat_test");
        // However full the tester's disk is, it is not what these tests are about.
        command.env("SLEDGE_JOURNAL_LOW_WATER_BYTES", "1");
        command
    }

    /// The dead letters of a sledge that is not running.
    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetter> {
        let settings = journal::Settings::in_folder(self.journal());
        let journal = Journal::open(&settings, Clock::system(), Metrics::new().unwrap()).unwrap();
        let letters = journal.dead_letters().read(0, usize::MAX).await.unwrap();
        journal.close().await.unwrap();
        letters.into_iter().map(|kept| kept.letter).collect()
    }

    /// Starts sledge and waits until it is ready.
    pub(crate) async fn start(&self, polar_url: &str) -> SledgeProcess {
        SledgeProcess::start(self.run_command(polar_url), self.socket()).await
    }
}

/// A running sledge. Dropped, it is killed.
pub(crate) struct SledgeProcess {
    child: Child,
    admin: String,
    socket: PathBuf,
    log: JoinHandle<String>,
}

impl SledgeProcess {
    pub(crate) async fn start(command: Command, socket: PathBuf) -> Self {
        let started = Self::try_start(command, socket).await;
        started.unwrap_or_else(|(status, said)| {
            panic!("sledge ended before it was ready, with {status}:\n{said}")
        })
    }

    /// Starts sledge and waits until it is ready.
    ///
    /// # Errors
    /// How it ended instead, and what it logged.
    #[expect(clippy::disallowed_methods, reason = "a test owns the reader of its child's log")]
    pub(crate) async fn try_start(
        mut command: Command,
        socket: PathBuf,
    ) -> Result<Self, (ExitStatus, String)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let admin = loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line())
                .await
                .expect("sledge was not ready in time");
            let Some(line) = line.unwrap() else {
                return Err((child.wait().await.unwrap(), said));
            };
            said.push_str(&line);
            said.push('\n');
            let ready = serde_json::from_str::<BTreeMap<String, serde_json::Value>>(&line).ok();
            if let Some(ready) =
                ready.filter(|fields| fields.get("message").is_some_and(|words| words == "ready"))
            {
                break ready["admin"].as_str().unwrap().to_owned();
            }
        };
        let log = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                said.push_str(&line);
                said.push('\n');
            }
            said
        });
        Ok(Self { child, admin, socket, log })
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// `kill -9`, and nothing else.
    pub(crate) async fn kill_nine(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and what became of it: the exit status, what it said, what it logged.
    pub(crate) async fn stop(self) -> (ExitStatus, String, String) {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.end().await
    }

    /// Waits for its end: the exit status, what it said, what it logged.
    pub(crate) async fn end(mut self) -> (ExitStatus, String, String) {
        let mut said = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        let status = tokio::time::timeout(PATIENCE, async {
            stdout.read_to_string(&mut said).await.unwrap();
            self.child.wait().await.unwrap()
        });
        let status = status.await.expect("sledge did not stop in time");
        (status, said, self.log.await.unwrap())
    }

    /// The address or path of one of its listeners, by the name that its status gives it.
    pub(crate) async fn listener(&self, name: &str) -> String {
        let (_, status) = self.get("/status").await;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let listeners = status["listeners"].as_array().unwrap();
        let found = listeners.iter().find(|listener| listener["name"] == name).unwrap();
        found["address"].as_str().unwrap().to_owned()
    }

    /// The address that answers about its health.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    /// One GET on the admin address: the status and the body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let stream = TcpStream::connect(&self.admin).await.unwrap();
        http(stream, &format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin))
            .await
    }

    /// Waits until the answer to such a GET is as wanted: its body.
    pub(crate) async fn get_until(&self, path: &str, is_wanted: impl Fn(u16, &str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let (status, body) = self.get(path).await;
            if is_wanted(status, &body) {
                return body;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} never became as wanted: {status} {body}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// One scrape, on which the accounts must add up.
    pub(crate) async fn scrape(&self) -> Scrape {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        let scrape = Scrape::parse(&text);
        scrape.assert_adds_up();
        scrape
    }

    /// Waits until a scrape is as wanted; gives up when it is not and deliveries have not moved for a while. How long a
    /// backlog takes is the machine's affair.
    pub(crate) async fn scrape_until(&self, mut is_wanted: impl FnMut(&Scrape) -> bool) -> Scrape {
        let (mut moved, mut delivered) = (Instant::now(), 0.0);
        loop {
            let scrape = self.scrape().await;
            if is_wanted(&scrape) {
                return scrape;
            }
            let now_delivered = scrape.sum("sledge_events_delivered_total");
            if now_delivered > delivered {
                (moved, delivered) = (Instant::now(), now_delivered);
            }
            assert!(moved.elapsed() < PATIENCE, "the metrics never became as wanted: {scrape:#?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// An ingest request over the socket: the status and the body.
    pub(crate) async fn ingest(&self, body: &str) -> (u16, String) {
        self.post("/v1/events/ingest", body).await
    }

    /// A POST of JSON over the socket.
    pub(crate) async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        http(self.connect().await, &format!("{head}{body}")).await
    }
}

/// Sends a request and reads the answer to its end.
pub(crate) async fn http(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    request: &str,
) -> (u16, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// The samples of one scrape by `name{labels}`.
#[derive(Clone, Debug)]
pub(crate) struct Scrape {
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
        Self { samples: samples.collect() }
    }

    /// The sum over all label values of a metric.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let with_labels = format!("{name}{{");
        let of_it =
            self.samples.iter().filter(|(sample, _)| *sample == name || sample.starts_with(&with_labels));
        of_it.map(|(_, value)| value).sum()
    }

    /// One sample, by its full name with labels.
    pub(crate) fn get(&self, sample: &str) -> Option<f64> {
        self.samples.get(sample).copied()
    }

    fn assert_adds_up(&self) {
        let came = self.sum("sledge_pending_at_start")
            + self.sum("sledge_events_accepted_total")
            + self.sum("sledge_events_restored_total");
        let went = self.sum("sledge_events_delivered_total")
            + self.sum("sledge_events_dead_lettered_total")
            + self.sum("sledge_pending_events");
        assert!((came - went).abs() < 0.5, "{came} events came, {went} are accounted for: {self:#?}");
    }
}
