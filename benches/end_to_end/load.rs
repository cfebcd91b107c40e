//! Applications that send. All of them share one thread, so that the servers have what is left of the machine.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::events::Lines;

const HELLO: &[u8] = b"{\"sledge\":{\"ack\":\"each\"}}\n";
const READ_BYTES: usize = 64 << 10;

/// How applications send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Each caller sends one line and waits for its ack.
    Callers(usize),
    /// Each caller sends one HTTP request of so many events and waits for the answer.
    HttpCallers { callers: usize, events: usize },
    /// Each connection keeps so many lines in flight.
    Pipelined { connections: usize, in_flight: usize },
    /// Lines without acks, as fast as they are taken; at the end the server has them all on disk.
    Unacked { connections: usize },
    /// So many lines per second over 8 connections, each at its time whatever became of those before it.
    Paced { per_second: u32 },
}

/// Whom the load is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// sledge wants to be asked for acks.
    Sledge,
    /// The limit server acknowledges anyway.
    Limit,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) events: u64,
    pub(crate) took: Duration,
    /// How long each event waited for its ack, in microseconds.
    pub(crate) waits: Vec<u32>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    /// The wait that this part of all events did not exceed, in milliseconds.
    pub(crate) fn wait_ms(&mut self, part: f64) -> f64 {
        if self.waits.is_empty() {
            return f64::NAN;
        }
        let at = ((self.waits.len() as f64 * part) as usize).min(self.waits.len() - 1);
        let (_, wait, _) = self.waits.select_nth_unstable(at);
        f64::from(*wait) / 1000.0
    }
}

impl Load {
    /// Sends to `socket` for this long, and waits for every answer.
    pub(crate) fn run(self, socket: &Path, speech: Speech, lines: &Arc<Lines>, each: Duration) -> Outcome {
        if let Self::Paced { per_second } = self {
            return paced(socket, speech, lines, per_second, each);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            let begun = Instant::now();
            for number in 0..self.connections() {
                let sender = Sender {
                    stream: UnixStream::connect(socket).await.unwrap(),
                    speech,
                    lines: Arc::clone(lines),
                    next: number * 61,
                    until: begun + each,
                };
                match self {
                    Self::Callers(_) => tasks.spawn(sender.call(1, false)),
                    Self::HttpCallers { events, .. } => tasks.spawn(sender.call(events, true)),
                    Self::Pipelined { in_flight, .. } => tasks.spawn(sender.pipeline(in_flight)),
                    Self::Unacked { .. } | Self::Paced { .. } => tasks.spawn(sender.pour()),
                };
            }
            let mut outcome = Outcome::default();
            while let Some(part) = tasks.join_next().await {
                let (events, waits) = part.unwrap();
                outcome.events += events;
                outcome.waits.extend(waits);
            }
            outcome.took = begun.elapsed();
            outcome
        })
    }

    fn connections(self) -> usize {
        match self {
            Self::Callers(callers) | Self::HttpCallers { callers, .. } => callers,
            Self::Pipelined { connections, .. } | Self::Unacked { connections } => connections,
            Self::Paced { .. } => PACED_CONNECTIONS,
        }
    }
}

struct Sender {
    stream: UnixStream,
    speech: Speech,
    lines: Arc<Lines>,
    next: usize,
    until: Instant,
}

impl Sender {
    async fn greet(&mut self) {
        if self.speech == Speech::Sledge {
            self.stream.write_all(HELLO).await.unwrap();
        }
    }

    async fn call(mut self, events: usize, http: bool) -> (u64, Vec<u32>) {
        if !http {
            self.greet().await;
        }
        let requests: Vec<Vec<u8>> = (0..64)
            .map(|number| match http {
                true => self.lines.request(self.next + number * events, events),
                false => self.lines.run(self.next + number, 1).to_vec(),
            })
            .collect();
        let (mut waits, mut answer, mut sent) = (Vec::new(), Vec::new(), 0);
        let end = if http { b'}' } else { b'\n' };
        while Instant::now() < self.until {
            let begun = Instant::now();
            self.stream.write_all(&requests[sent as usize % requests.len()]).await.unwrap();
            answer.clear();
            while answer.last() != Some(&end) {
                assert!(self.stream.read_buf(&mut answer).await.unwrap() > 0, "the server hung up");
            }
            let is_accepted = if http { answer.starts_with(b"HTTP/1.1 200") } else { is_accepted(&answer) };
            assert!(is_accepted, "{}", String::from_utf8_lossy(&answer));
            waits.push(micros(begun));
            sent += 1;
        }
        (sent * events as u64, waits)
    }

    async fn pipeline(mut self, in_flight: usize) -> (u64, Vec<u32>) {
        self.greet().await;
        let mut runs: VecDeque<(usize, Instant)> = VecDeque::new();
        let (mut waits, mut acked, mut flying) = (Vec::new(), 0, 0);
        let mut acks = vec![0; READ_BYTES];
        loop {
            let now = Instant::now();
            let more = if now < self.until { in_flight - flying } else { 0 };
            if more > 0 {
                let run = self.lines.run(self.next, more);
                self.stream.write_all(run).await.unwrap();
                self.next += more;
                flying += more;
                runs.push_back((more, now));
            }
            if flying == 0 {
                return (acked, waits);
            }
            let read = self.stream.read(&mut acks).await.unwrap();
            assert!(read > 0, "the server hung up");
            assert!(memchr::memmem::find(&acks[..read], b"\"ok\":false").is_none(), "an event was refused");
            let mut count = memchr::memchr_iter(b'\n', &acks[..read]).count();
            flying -= count;
            acked += count as u64;
            while count > 0 {
                let (run, since) = runs.front_mut().unwrap();
                let part = count.min(*run);
                waits.extend(std::iter::repeat_n(micros(*since), part));
                *run -= part;
                count -= part;
                if *run == 0 {
                    runs.pop_front();
                }
            }
        }
    }

    async fn pour(mut self) -> (u64, Vec<u32>) {
        let mut sent = 0;
        while Instant::now() < self.until {
            let run = self.lines.run(self.next, 256);
            self.stream.write_all(run).await.unwrap();
            self.next += 256;
            sent += 256;
        }
        self.stream.shutdown().await.unwrap();
        assert_eq!(self.stream.read(&mut [0; 1]).await.unwrap(), 0, "nothing comes back");
        (sent, Vec::new())
    }
}

/// Sends so many lines without acks and waits until they are on disk.
pub(crate) fn pour_exactly(socket: &Path, lines: &Lines, events: u64) {
    let mut stream = BlockingStream::connect(socket).unwrap();
    let mut sent = 0;
    while sent < events {
        let run = (events - sent).min(256) as usize;
        stream.write_all(lines.run(sent as usize, run)).unwrap();
        sent += run as u64;
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "nothing comes back");
}

/// Sends so many lines over one connection, waiting for the ack of each.
pub(crate) fn call_exactly(socket: &Path, lines: &Lines, events: u64) {
    let mut stream = BlockingStream::connect(socket).unwrap();
    stream.write_all(HELLO).unwrap();
    let mut ack = Vec::new();
    let mut part = [0; 1024];
    for number in 0..events {
        stream.write_all(lines.run(number as usize, 1)).unwrap();
        ack.clear();
        while ack.last() != Some(&b'\n') {
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "the server hung up");
            ack.extend_from_slice(&part[..read]);
        }
        assert!(is_accepted(&ack), "{}", String::from_utf8_lossy(&ack));
    }
}

const PACED_CONNECTIONS: usize = 8;

fn paced(socket: &Path, speech: Speech, lines: &Lines, per_second: u32, each: Duration) -> Outcome {
    let streams: Vec<_> = (0..PACED_CONNECTIONS).map(|_| BlockingStream::connect(socket).unwrap()).collect();
    if speech == Speech::Sledge {
        streams.iter().for_each(|mut stream| stream.write_all(HELLO).unwrap());
    }
    let interval = Duration::from_secs(1) / per_second;
    let events =
        (each.as_secs_f64() * f64::from(per_second)) as usize / PACED_CONNECTIONS * PACED_CONNECTIONS;
    let begun = Instant::now() + Duration::from_millis(20);
    let due = |event: usize| begun + interval * event as u32;
    std::thread::scope(|scope| {
        let readers: Vec<_> = streams
            .iter()
            .enumerate()
            .map(|(place, mut stream)| {
                scope.spawn(move || {
                    let (mut waits, mut acks) = (Vec::new(), vec![0; READ_BYTES]);
                    while waits.len() < events / PACED_CONNECTIONS {
                        let read = stream.read(&mut acks).unwrap();
                        assert!(read > 0, "the server hung up");
                        let now = Instant::now();
                        for _ in memchr::memchr_iter(b'\n', &acks[..read]) {
                            let due = due(waits.len() * PACED_CONNECTIONS + place);
                            waits.push(now.saturating_duration_since(due).as_micros() as u32);
                        }
                    }
                    waits
                })
            })
            .collect();
        for event in 0..events {
            let early = due(event).saturating_duration_since(Instant::now());
            if !early.is_zero() {
                std::thread::sleep(early);
            }
            (&streams[event % PACED_CONNECTIONS]).write_all(lines.run(event, 1)).unwrap();
        }
        let waits: Vec<u32> = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
        Outcome { events: events as u64, took: begun.elapsed(), waits }
    })
}

fn is_accepted(answer: &[u8]) -> bool {
    answer == b"ok\n" || answer.starts_with(b"{\"ok\":true,")
}

fn micros(since: Instant) -> u32 {
    since.elapsed().as_micros() as u32
}
