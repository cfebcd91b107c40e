//! Events from standard input, each line answered: what was refused is told with its line.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::event_lines::{EventLine, EventLines};
use super::one_event::spelled_out;
use crate::cli::voice::{Exit, Failure, Voice, figures};
use crate::client::{Ack, Client, ClientError, Refusal};

/// While the disk is behind, events it did not take wait this long.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// About ten seconds of a busy disk; then a person decides.
const TRIES_MAX: u32 = 40;
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

/// A line on its way.
struct Sent {
    line: u64,
    event: Vec<u8>,
    tries: u32,
}

/// What has become of the lines.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    refused_for_now: u64,
}

struct Stream<'v> {
    client: Client,
    voice: &'v mut Voice,
    json: bool,
    in_flight: VecDeque<Sent>,
    again: VecDeque<Sent>,
    paused_until: Option<Instant>,
    tally: Tally,
    shown: Instant,
}

/// Sends standard input to its end and waits for every answer.
pub(super) async fn send_all(client: Client, json: bool, voice: &mut Voice) -> Result<Exit, Failure> {
    let mut lines = EventLines::of_stdin()?;
    let mut stream = Stream {
        client,
        voice,
        json,
        in_flight: VecDeque::new(),
        again: VecDeque::new(),
        paused_until: None,
        tally: Tally::default(),
        shown: Instant::now(),
    };
    let mut ended = false;
    while !ended || stream.is_waiting() {
        let may_read = !ended && stream.paused_until.is_none();
        tokio::select! {
            () = pause(stream.paused_until), if stream.paused_until.is_some() => stream.send_again().await?,
            line = lines.next(), if may_read => match line? {
                None => ended = true,
                Some(EventLine { number, text }) => {
                    stream.send(Sent { line: number, event: text, tries: 1 }).await?;
                }
            },
            acknowledged = stream.client.next_ack(), if !stream.in_flight.is_empty() => {
                stream.take(acknowledged)?;
            }
        }
        stream.take_ready()?;
    }
    stream.end()
}

async fn pause(until: Option<Instant>) {
    if let Some(until) = until {
        sleep_until(until).await;
    }
}

impl Stream<'_> {
    fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty() || !self.again.is_empty()
    }

    async fn send(&mut self, sent: Sent) -> Result<(), Failure> {
        let result = self.client.send(&sent.event).await;
        self.in_flight.push_back(sent);
        result.map_err(|error| self.doubt(error))
    }

    async fn send_again(&mut self) -> Result<(), Failure> {
        self.paused_until = None;
        while let Some(sent) = self.again.pop_front() {
            self.send(sent).await?;
        }
        Ok(())
    }

    fn take(&mut self, acknowledged: Result<Option<Ack>, ClientError>) -> Result<(), Failure> {
        match acknowledged {
            Ok(Some(ack)) => self.settle(ack),
            Ok(None) => Ok(()),
            Err(error) => Err(self.doubt(error)),
        }
    }

    fn take_ready(&mut self) -> Result<(), Failure> {
        while let Some(ack) = self.client.ready_ack() {
            self.settle(ack)?;
        }
        if self.shown.elapsed() >= PROGRESS_PERIOD {
            self.shown = Instant::now();
            let waiting = figures::count((self.in_flight.len() + self.again.len()) as u64);
            self.voice.progress(&format!("{}, {waiting} on the way", self.tally.summary()));
        }
        Ok(())
    }

    fn settle(&mut self, ack: Ack) -> Result<(), Failure> {
        let Some(mut sent) = self.in_flight.pop_front() else { return Ok(()) };
        match ack {
            Ack::Accepted { .. } => self.tally.accepted += 1,
            Ack::Refused(refusal) if refusal.is_busy() && sent.tries < TRIES_MAX => {
                sent.tries += 1;
                self.again.push_back(sent);
                self.paused_until.get_or_insert_with(|| Instant::now() + BUSY_PAUSE);
            }
            Ack::Refused(refusal) => {
                if refusal.is_temporary() {
                    self.tally.refused_for_now += 1;
                } else {
                    self.tally.refused += 1;
                }
                self.report(sent.line, &refusal)?;
            }
        }
        Ok(())
    }

    fn report(&mut self, line: u64, refusal: &Refusal) -> Result<(), Failure> {
        if self.json {
            let error = serde_json::to_string(refusal).unwrap_or_default();
            return self.voice.say(&format!(r#"{{"line":{line},"ok":false,"error":{error}}}"#));
        }
        self.voice.note(&format!("line {line}: {}", spelled_out(refusal)));
        Ok(())
    }

    /// The connection failed: what is known, and from which line on nothing is.
    fn doubt(&mut self, error: ClientError) -> Failure {
        let mut failure = Failure::from(error);
        let lines = self.in_flight.iter().chain(&self.again).map(|sent| sent.line);
        if let (Some(first), Some(last)) = (lines.clone().min(), lines.max()) {
            failure.exit = Exit::Temporary;
            failure.message.push_str(&format!(
                "\n{}; lines {first} to {last} are in doubt. Sending them again is safe where they carry an external_id.",
                self.tally.summary()
            ));
        }
        failure
    }

    fn end(self) -> Result<Exit, Failure> {
        let Tally { accepted, refused, refused_for_now } = self.tally;
        if self.json {
            self.voice.say(&format!(
                r#"{{"accepted":{accepted},"refused":{refused},"refused_for_now":{refused_for_now}}}"#
            ))?;
        } else {
            self.voice.say(&self.tally.summary())?;
        }
        Ok(match (refused, refused_for_now) {
            (0, 0) => Exit::Ok,
            (0, _) => Exit::Temporary,
            _ => Exit::Finding,
        })
    }
}

impl Tally {
    fn summary(&self) -> String {
        let mut text = format!("accepted {}", figures::events(self.accepted));
        if self.refused > 0 {
            text.push_str(&format!(", refused {}", figures::count(self.refused)));
        }
        if self.refused_for_now > 0 {
            text.push_str(&format!(", refused for now {}", figures::count(self.refused_for_now)));
        }
        text
    }
}
