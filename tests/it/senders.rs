//! Applications that send events: each keeps count of what it was promised.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sledge::clock::Clock;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// What all senders of a test were promised, and how long they waited for it.
#[derive(Default)]
pub(crate) struct Promises {
    /// The ids of events whose acks came.
    pub(crate) acked: Mutex<Vec<String>>,
    /// Events written without asking for an ack.
    pub(crate) unacked_sent: AtomicU64,
    /// Negative answers.
    pub(crate) refused: Mutex<Vec<String>>,
    /// When each ack came, and how long its sender had waited.
    pub(crate) waits: Mutex<Vec<(Instant, Duration)>>,
}

/// Applications at work. They reconnect when sledge goes away, and stop when told to.
pub(crate) struct Senders {
    pub(crate) promises: Arc<Promises>,
    stop: Arc<AtomicBool>,
    pause: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    socket: PathBuf,
    started: u64,
    pace: Duration,
    noise_chars: usize,
    ahead: Option<Duration>,
}

impl Senders {
    /// No senders yet; each will rest for `pace` between its sends.
    pub(crate) fn to(socket: &Path, pace: Duration) -> Self {
        Self {
            promises: Arc::default(),
            stop: Arc::default(),
            pause: Arc::default(),
            tasks: JoinSet::new(),
            socket: socket.to_owned(),
            started: 0,
            pace,
            noise_chars: 0,
            ahead: None,
        }
    }

    /// Those added from now on send events that carry so much text that no compression makes smaller.
    pub(crate) fn with_noise(&mut self, chars: usize) -> &mut Self {
        self.noise_chars = chars;
        self
    }

    /// Of those added from now on every twentieth event has a time that is still to come.
    pub(crate) fn ahead(&mut self, by: Duration) -> &mut Self {
        self.ahead = Some(by);
        self
    }

    /// An app that speaks NDJSON with acks, `window` events at a time.
    pub(crate) fn acked_lines(&mut self, window: u64) -> &mut Self {
        let mut app = self.app("line");
        self.tasks.spawn(async move {
            while app.goes_on() {
                // A connection that broke broke its promises' way too: what was not acked is simply not promised.
                drop(app.acked_lines(window).await);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        self
    }

    /// An app that speaks NDJSON and hears nothing back.
    pub(crate) fn unacked_lines(&mut self) -> &mut Self {
        let mut app = self.app("mute");
        self.tasks.spawn(async move {
            while app.goes_on() {
                drop(app.unacked_lines().await);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        self
    }

    /// An app that sends HTTP ingest requests of ten events over a connection that it keeps.
    pub(crate) fn http(&mut self) -> &mut Self {
        let mut app = self.app("http");
        self.tasks.spawn(async move {
            while app.goes_on() {
                drop(app.http_requests().await);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        self
    }

    /// Lets all senders rest after what they have just sent, or go on.
    pub(crate) fn pause(&self, rests: bool) {
        self.pause.store(rests, Ordering::Relaxed);
    }

    /// Stops all senders once their last answers are in.
    pub(crate) async fn stop(mut self) -> Arc<Promises> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.promises
    }

    fn app(&mut self, kind: &str) -> App {
        self.started += 1;
        App {
            name: format!("{kind}-{}", self.started),
            socket: self.socket.clone(),
            promises: Arc::clone(&self.promises),
            stop: Arc::clone(&self.stop),
            pause: Arc::clone(&self.pause),
            pace: self.pace,
            noise_chars: self.noise_chars,
            ahead: self.ahead,
            number: 0,
        }
    }
}

/// One application.
struct App {
    name: String,
    socket: PathBuf,
    promises: Arc<Promises>,
    stop: Arc<AtomicBool>,
    pause: Arc<AtomicBool>,
    pace: Duration,
    noise_chars: usize,
    ahead: Option<Duration>,
    /// Of its next event.
    number: u64,
}

/// A line with an id of the app's own, which says its number again in the metadata so that doubles show under any id.
/// Every tenth is a grant.
fn line(id: &str, number: u64, noise_chars: usize) -> String {
    let units = if number.is_multiple_of(10) { -1 } else { 1 };
    let noise: String = (0..noise_chars).map(|_| fastrand::alphanumeric()).collect();
    let noise: String = noise
        .as_bytes()
        .chunks(NOISE_CHARS_MAX)
        .enumerate()
        .map(|(at, chars)| format!(",\"noise{at}\":\"{}\"", str::from_utf8(chars).unwrap()))
        .collect();
    format!(
        "{{\"name\":\"api_usage\",\"external_customer_id\":\"user_{}\",\"external_id\":\"{id}\",\"metadata\":{{\"units\":{units},\"what\":\"{id}\"{noise}}}}}\n",
        number % 50
    )
}

/// The same event, whose time is still to come.
fn with_time_to_come(line: &str, by: Duration) -> String {
    let due = Clock::system().now() + u64::try_from(by.as_millis()).unwrap();
    line.replacen('{', &format!("{{\"timestamp\":{due},"), 1)
}

/// What Polar allows in one value of an event's metadata.
const NOISE_CHARS_MAX: usize = 500;

impl App {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    async fn rest(&self) {
        tokio::time::sleep(self.pace).await;
        while self.pause.load(Ordering::Relaxed) && self.goes_on() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The next `count` events: their ids and their lines.
    fn events(&mut self, count: u64) -> Vec<(String, String)> {
        let numbers = self.number..self.number + count;
        self.number += count;
        let event = |number| {
            let id = format!("{}-{number}", self.name);
            let line = line(&id, number, self.noise_chars);
            match self.ahead {
                Some(by) if number % 20 == 7 => (id, with_time_to_come(&line, by)),
                Some(_) | None => (id, line),
            }
        };
        numbers.map(event).collect()
    }

    async fn acked_lines(&mut self, window: u64) -> std::io::Result<()> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream.write_all(b"{\"sledge\":{\"ack\":\"each\"}}\n").await?;
        let (reader, mut writer) = stream.split();
        let mut acks = BufReader::new(reader).lines();
        while self.goes_on() {
            let (ids, lines): (Vec<String>, Vec<String>) = self.events(window).into_iter().unzip();
            let sent = Instant::now();
            writer.write_all(lines.concat().as_bytes()).await?;
            for id in ids {
                let Some(ack) = acks.next_line().await? else { return Ok(()) };
                if ack == format!("{{\"ok\":true,\"external_id\":\"{id}\"}}") {
                    self.promises.acked.lock().unwrap().push(id);
                } else {
                    self.promises.refused.lock().unwrap().push(ack);
                }
            }
            self.promises.waits.lock().unwrap().push((sent, sent.elapsed()));
            self.rest().await;
        }
        Ok(())
    }

    async fn unacked_lines(&mut self) -> std::io::Result<()> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        while self.goes_on() {
            // No id of its own: sledge stamps one, and the number in the metadata tells whether it came twice.
            let lines: String = (self.number..self.number + 20)
                .map(|number| {
                    let what = format!("{}-{number}", self.name);
                    format!("{{\"name\":\"api_usage\",\"external_customer_id\":\"user_1\",\"metadata\":{{\"units\":1,\"what\":\"{what}\"}}}}\n")
                })
                .collect();
            self.number += 20;
            stream.write_all(lines.as_bytes()).await?;
            self.promises.unacked_sent.fetch_add(20, Ordering::Relaxed);
            self.rest().await;
        }
        Ok(())
    }

    async fn http_requests(&mut self) -> std::io::Result<()> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        while self.goes_on() {
            let (ids, lines): (Vec<String>, Vec<String>) = self.events(10).into_iter().unzip();
            let events: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
            let body = format!("{{\"events\":[{}]}}", events.join(","));
            let request = format!(
                "POST /v1/events/ingest HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let sent = Instant::now();
            stream.write_all(request.as_bytes()).await?;
            let mut answer = vec![0; 4_096];
            let read = stream.read(&mut answer).await?;
            if read == 0 {
                // sledge went away: nothing was promised.
                return Ok(());
            }
            let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
            if answer.starts_with("HTTP/1.1 200 ") {
                self.promises.acked.lock().unwrap().extend(ids);
            } else {
                self.promises.refused.lock().unwrap().push(answer);
                return Ok(());
            }
            self.promises.waits.lock().unwrap().push((sent, sent.elapsed()));
            self.rest().await;
        }
        Ok(())
    }
}
