//! The processes under measurement. Dropped, they are killed and gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::limit_server;

/// An address where nobody listens: Polar is down.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:9";

/// A process with a socket to send lines to.
pub(crate) struct Server {
    child: Child,
    pub(crate) socket: PathBuf,
    /// Where its metrics are; empty for the limit server.
    admin: String,
    /// From its start until it was ready to serve.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// `sledge run` on the data in `folder`.
    pub(crate) fn sledge(folder: &Path, polar_url: &str) -> Self {
        Self::sledge_of(Path::new(env!("CARGO_BIN_EXE_sledge")), folder, polar_url)
    }

    /// The same, with nothing that was delivered given back however much it is.
    pub(crate) fn sledge_that_keeps_all(folder: &Path, polar_url: &str) -> Self {
        let keeps_all = ("SLEDGE_JOURNAL_RETENTION_BYTES_MAX", (16_u64 << 30).to_string());
        Self::sledge_with(folder, polar_url, &[keeps_all])
    }

    /// The same with these variables.
    pub(crate) fn sledge_with(folder: &Path, polar_url: &str, settings: &[(&str, String)]) -> Self {
        Self::start(Path::new(env!("CARGO_BIN_EXE_sledge")), folder, polar_url, settings)
    }

    /// The same of another build.
    pub(crate) fn sledge_of(binary: &Path, folder: &Path, polar_url: &str) -> Self {
        Self::start(binary, folder, polar_url, &[])
    }

    fn start(binary: &Path, folder: &Path, polar_url: &str, settings: &[(&str, String)]) -> Self {
        let socket = folder.join("sledge.sock");
        let mut command = Command::new(binary);
        command.arg("run").arg("--data-dir").arg(folder.join("data")).arg("--socket").arg(&socket);
        command.args(["--admin", "127.0.0.1:0", "--polar-url", polar_url, "--log-format", "json"]);
        command.env_clear().env("POLAR_ACCESS_TOKEN", "polar_oat_bench");
        // Room for the largest backlog.
        command.env("SLEDGE_JOURNAL_BYTES_MAX", (16_u64 << 30).to_string());
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        let begun = Instant::now();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let admin = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "sledge ended before it was ready:\n{said}");
            if let Ok(fields) = serde_json::from_str::<serde_json::Value>(&line)
                && fields["message"] == "ready"
            {
                break fields["admin"].as_str().unwrap().to_owned();
            }
            said.push_str(&line);
        };
        let ready_after = begun.elapsed();
        // What it logs later must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, socket, admin, ready_after }
    }

    /// The limit server, its file in `folder`.
    pub(crate) fn limit(folder: &Path, acknowledges: bool) -> Self {
        let socket = folder.join("limit.sock");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(limit_server::WORD).arg(&socket).arg(folder.join("lines"));
        command.arg(if acknowledges { limit_server::ACKS } else { "" });
        let begun = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.take().unwrap().read_exact(&mut ready).unwrap();
        Self { child, socket, admin: String::new(), ready_after: begun.elapsed() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let scrape = get(&self.admin, "/metrics");
        let of_it = scrape.lines().filter_map(|line| line.rsplit_once(' ')).filter(|(sample, _)| {
            sample.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        });
        of_it.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    /// Waits until it has so many events pending.
    pub(crate) fn wait_for_pending(&self, events: u64) {
        while self.metric("sledge_pending_events") < events as f64 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, and how long it took to end.
    pub(crate) fn stop(mut self) -> Duration {
        let begun = Instant::now();
        let id = rustix::process::Pid::from_raw(self.id().cast_signed()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        begun.elapsed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `sledge simulate`.
pub(crate) struct Polar {
    child: Child,
    address: String,
}

impl Polar {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sledge"));
        command.args(["simulate", "--json", "--listen", "127.0.0.1:0"]).env_clear();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        said.read_line(&mut greeting).unwrap();
        // It tells of every request, and would wait for somebody to read that.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let greeting: serde_json::Value = serde_json::from_str(&greeting).unwrap();
        let address = greeting["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Self { child, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until this many events arrived.
    pub(crate) fn wait_for(&self, events: u64) {
        let answer = get(&self.address, &format!("/simulator/wait?events={events}&timeout_ms=600000"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Polar {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
