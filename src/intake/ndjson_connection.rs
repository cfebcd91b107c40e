//! A connection of lines: the reader goes on while earlier reads are on their way to the disk.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use bytes::BufMut;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{self, Instant};

use super::admission::{Admission, Turn};
use super::drain::Drain;
use super::ndjson_acks::{Answerable, write_acks};
use super::settings::Settings;
use crate::event::{Form, IdSource, Rejection};
use crate::metrics::Listener;
use crate::protocol::{AckMode, Acks, Fault, FirstLine, Frame, Frames};

/// What is read at once, and how much text one connection is served before the others get their turn.
const READ_BYTES: usize = 64 << 10;
/// A turn ends after this many events too: a read of two-byte lines must not earn megabytes of replies at once.
const TURN_EVENTS_MAX: usize = 1_024;
/// Reads on their way to the disk. The limit in bytes is the one that counts; this one bounds tiny reads.
const READS_IN_FLIGHT_MAX: usize = 256;

/// Serves one connection of lines to its end. `frames` may hold bytes that were read already.
pub(super) async fn serve(
    stream: UnixStream,
    frames: Frames,
    admission: Admission,
    settings: &Settings,
    drain: Drain,
) {
    let in_flight_max = settings.in_flight_bytes_max.clamp(1, u32::MAX as usize >> 3);
    let in_flight = Semaphore::new(in_flight_max);
    let (answerables, receiver) = mpsc::channel(READS_IN_FLIGHT_MAX);
    let reader = Reader {
        stream: &stream,
        frames,
        admission: &admission,
        settings,
        drain,
        is_draining: false,
        in_flight: &in_flight,
        in_flight_max,
        ids: IdSource::default(),
        ack: AckMode::None,
        is_first_line: true,
        line_deadline: None,
    };
    tokio::join!(reader.read_to_end(answerables), write_acks(&stream, &admission, receiver));
}

struct Reader<'c> {
    stream: &'c UnixStream,
    frames: Frames,
    admission: &'c Admission,
    settings: &'c Settings,
    drain: Drain,
    is_draining: bool,
    in_flight: &'c Semaphore,
    in_flight_max: usize,
    ids: IdSource,
    ack: AckMode,
    is_first_line: bool,
    line_deadline: Option<Instant>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TurnEnd {
    /// It was long enough; there is more in the buffer.
    Paused,
    /// The buffer holds no further complete line.
    NeedsBytes,
    /// The hello asked for something unknown.
    BadHello,
}

/// What became of waiting for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    Bytes(usize),
    /// Nothing more will come, or the line in the buffer took too long.
    End,
    /// Nobody answers any more.
    Unanswered,
}

impl<'c> Reader<'c> {
    async fn read_to_end(mut self, answerables: Sender<Answerable<'c>>) {
        loop {
            let mut turn = self.admission.turn(Listener::Ndjson);
            let mut acks = Acks::new();
            let end = self.take_turn(&mut turn, &mut acks);
            if !self.submit(turn, acks, &answerables).await || end == TurnEnd::BadHello {
                return;
            }
            if end == TurnEnd::Paused {
                tokio::task::yield_now().await;
                continue;
            }
            match self.fill(&answerables).await {
                Filled::Bytes(read) if read > READ_BYTES / 2 => tokio::task::yield_now().await,
                Filled::Bytes(_) => {}
                Filled::Unanswered => return,
                Filled::End => break,
            }
        }
        let mut turn = self.admission.turn(Listener::Ndjson);
        let mut acks = Acks::new();
        self.take_last_line(&mut turn, &mut acks);
        self.submit(turn, acks, &answerables).await;
    }

    /// Admits the complete lines of the buffer, up to a turn's worth.
    fn take_turn(&mut self, turn: &mut Turn, acks: &mut Acks) -> TurnEnd {
        let mut line = Line { admission: self.admission, ids: &mut self.ids, turn, acks };
        let mut taken = 0;
        while taken < TURN_EVENTS_MAX {
            let Some(frame) = self.frames.next_frame() else {
                let is_inside_a_line = self.frames.is_inside_a_line();
                if !is_inside_a_line {
                    self.line_deadline = None;
                } else if taken > 0 || self.line_deadline.is_none() {
                    self.line_deadline = Some(Instant::now() + self.settings.frame_timeout);
                }
                return TurnEnd::NeedsBytes;
            };
            taken += 1;
            if std::mem::take(&mut self.is_first_line)
                && let Frame::Line(text) = frame
            {
                match FirstLine::read(text) {
                    FirstLine::Event => {}
                    FirstLine::Hello(ack) => {
                        self.ack = ack;
                        continue;
                    }
                    FirstLine::Unknown(fault) => {
                        line.acks.refused(&fault);
                        return TurnEnd::BadHello;
                    }
                }
            }
            line.take(frame, self.ack, self.settings.frame_bytes_max);
        }
        TurnEnd::Paused
    }

    /// The stream ended (or the line took too long): what is there counts as a line.
    fn take_last_line(&mut self, turn: &mut Turn, acks: &mut Acks) {
        let mut line = Line { admission: self.admission, ids: &mut self.ids, turn, acks };
        if let Some(frame) = self.frames.finish() {
            match frame {
                Frame::Line(text) if self.is_first_line && FirstLine::read(text) != FirstLine::Event => {}
                frame => line.take(frame, self.ack, self.settings.frame_bytes_max),
            }
        }
    }

    /// Sends a turn on its way: to the journal, and to the half that answers. False when nobody answers any more.
    ///
    /// Whoever asked for acks is told at once when the disk is behind; for all others the wait for room here is what
    /// makes the kernel hold their events.
    async fn submit(&self, mut turn: Turn, acks: Acks, answerables: &Sender<Answerable<'c>>) -> bool {
        self.admission.keep_letters(&mut turn).await;
        let bytes = turn.text_bytes() + acks.len();
        if bytes == 0 {
            return true;
        }
        let cost = u32::try_from(bytes.min(self.in_flight_max)).unwrap_or(u32::MAX);
        let Ok(in_flight) = self.in_flight.acquire_many(cost).await else {
            return false;
        };
        let pledge = match self.ack {
            AckMode::Each => self.admission.try_append(turn),
            AckMode::None => self.admission.append(turn).await,
        };
        answerables.send(Answerable { pledge, acks, in_flight }).await.is_ok()
    }

    /// Waits for more bytes. When the drain begins, the sender is kept from writing more, and what it has written
    /// is read to its end.
    async fn fill(&mut self, answerables: &Sender<Answerable<'c>>) -> Filled {
        loop {
            match self.stream.try_read_buf(&mut self.frames.space(READ_BYTES).limit(READ_BYTES)) {
                Ok(0) => return Filled::End,
                Ok(read) => return Filled::Bytes(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Filled::End,
            }
            self.frames.rest();
            let deadline = self.line_deadline;
            tokio::select! {
                biased;
                () = answerables.closed() => return Filled::Unanswered,
                () = self.drain.begun(), if !self.is_draining => {
                    self.is_draining = true;
                    if end_writing(self.stream).is_err() {
                        return Filled::End;
                    }
                }
                ready = self.stream.readable() => if ready.is_err() {
                    return Filled::End;
                },
                () = time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Filled::End;
                }
            }
        }
    }
}

/// Makes the sender's next write fail, and ours the choice when to stop reading: everything its writes took before is
/// still here to be read.
pub(super) fn end_writing(stream: &UnixStream) -> io::Result<()> {
    StdUnixStream::from(stream.as_fd().try_clone_to_owned()?).shutdown(Shutdown::Read)
}

/// Where one line goes.
struct Line<'t> {
    admission: &'t Admission,
    ids: &'t mut IdSource,
    turn: &'t mut Turn,
    acks: &'t mut Acks,
}

impl Line<'_> {
    fn take(&mut self, frame: Frame<'_>, ack: AckMode, frame_bytes_max: usize) {
        match frame {
            Frame::Line(text) => match self.admission.admit(self.turn, text, Form::EventOrGrant, self.ids) {
                Ok(id) => {
                    if ack == AckMode::Each {
                        self.acks.accepted(id.as_str());
                    }
                }
                Err(rejections) => {
                    if let Some(first) = rejections.first() {
                        self.refuse(text, &Fault::from(first), ack);
                    }
                }
            },
            Frame::TooLarge { head } => {
                let rejection = Rejection::event_too_large(frame_bytes_max);
                self.admission.count_refused(Listener::Ndjson, rejection.code().as_str(), 1);
                self.refuse(head, &Fault::from(&rejection), ack);
            }
        }
    }

    fn refuse(&mut self, text: &[u8], fault: &Fault<'_>, ack: AckMode) {
        match ack {
            AckMode::Each => self.acks.refused(fault),
            AckMode::None => self.admission.keep_unanswered(self.turn, text, fault),
        }
    }
}
