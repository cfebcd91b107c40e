//! The Unix datagram socket: one or more lines in each datagram, and nothing comes back.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time;

use super::admission::{Admission, Pledge, Turn};
use super::drain::Drain;
use super::settings::Settings;
use crate::event::{Form, IdSource};
use crate::metrics::Listener;
use crate::protocol::{Fault, Frame, Frames};

/// A turn ends after this much text, be it of events that passed or of refused ones, and is appended as one.
const TURN_BYTES: usize = 64 << 10;
/// A turn ends after so many lines and datagrams too: refused and empty ones must not hold the thread.
const TURN_STEPS_MAX: usize = 1_024;
/// Turns on their way to the disk. The limit in bytes is the one that counts; this one bounds tiny turns.
const TURNS_IN_FLIGHT_MAX: usize = 256;
/// How long receiving rests after it failed, so that a fault that stays does not burn the processor.
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);
/// Listens on a Unix datagram socket.
#[derive(Debug)]
pub struct DatagramListener {
    socket: UnixDatagram,
    admission: Admission,
}

impl DatagramListener {
    /// A listener on a socket that is bound already.
    #[must_use]
    pub fn new(socket: UnixDatagram, admission: Admission) -> Self {
        Self { socket, admission }
    }

    /// Receives until `drain` turns true (or its sender is gone), then takes what the kernel still holds, and ends when
    /// all of it is on disk. From the drain on senders are told that nobody receives (`EPIPE`).
    pub async fn run(self, drain: watch::Receiver<bool>) {
        let settings = self.admission.settings();
        let in_flight_max = settings.in_flight_bytes_max.clamp(1, u32::MAX as usize >> 3);
        let in_flight = Arc::new(Semaphore::new(in_flight_max));
        let (pledges, receiver) = mpsc::channel(TURNS_IN_FLIGHT_MAX);
        let reader = Reader {
            socket: &self.socket,
            // What a datagram may hold bounds its lines, so that a line is refused for one reason only.
            frames: Frames::new(usize::MAX),
            unfinished: None,
            admission: &self.admission,
            settings,
            drain: Drain::new(drain),
            is_draining: false,
            in_flight: &in_flight,
            in_flight_max,
            ids: IdSource::default(),
        };
        tokio::join!(reader.receive_to_end(pledges), see_to_disk(&self.admission, receiver));
    }
}

/// A turn on its way to the disk. While it lives, it counts against what the socket may have in flight.
struct InFlight<'c> {
    pledge: Pledge,
    _room: SemaphorePermit<'c>,
}

/// Waits for each turn to be on disk. Nobody is answered, but what was not taken is counted and told to the log.
async fn see_to_disk(admission: &Admission, mut pledges: Receiver<InFlight<'_>>) {
    while let Some(InFlight { pledge, _room }) = pledges.recv().await {
        // Counted and logged inside; there is no sender to tell.
        drop(admission.committed(pledge).await);
    }
}

struct Reader<'c> {
    socket: &'c UnixDatagram,
    frames: Frames,
    /// The datagram in the buffer whose lines were not all taken.
    unfinished: Option<Unfinished>,
    admission: &'c Admission,
    /// The limits of the turn under way.
    settings: Arc<Settings>,
    drain: Drain,
    is_draining: bool,
    in_flight: &'c Semaphore,
    in_flight_max: usize,
    ids: IdSource,
}

/// Whether the kernel cut the datagram's end off, because it was longer than allowed.
struct Unfinished {
    is_cut: bool,
}

/// How a turn ended.
#[derive(Debug)]
enum TurnEnd {
    /// It was long enough; there may be more.
    Paused,
    /// The kernel holds nothing more now.
    NothingThere,
    /// Receiving failed.
    Failed(io::Error),
}

impl<'c> Reader<'c> {
    async fn receive_to_end(mut self, pledges: Sender<InFlight<'c>>) {
        loop {
            if !self.is_draining && self.drain.has_begun() {
                self.close_to_senders().await;
            }
            self.settings = self.admission.settings();
            let mut turn = self.admission.turn(Listener::Datagram);
            let end = self.take_turn(&mut turn);
            self.submit(turn, &pledges).await;
            match end {
                TurnEnd::Paused => tokio::task::yield_now().await,
                TurnEnd::NothingThere if self.is_draining => return,
                TurnEnd::NothingThere => {
                    self.frames.rest();
                    self.wait().await;
                }
                TurnEnd::Failed(error) => {
                    tracing::error!(%error, "failed to receive datagrams; trying again");
                    time::sleep(RECEIVE_PAUSE).await;
                    self.wait().await;
                }
            }
        }
    }

    /// Admits the lines of as many datagrams as make a turn.
    fn take_turn(&mut self, turn: &mut Turn) -> TurnEnd {
        for _ in 0..TURN_STEPS_MAX {
            if turn.held_bytes() >= TURN_BYTES {
                break;
            }
            if self.unfinished.is_some() {
                self.take_line(turn);
            } else if let Err(end) = self.receive() {
                return end;
            }
        }
        TurnEnd::Paused
    }

    /// Receives one datagram into the empty buffer, which has room for one byte more than a datagram may have: when
    /// that is used, the datagram was too long.
    fn receive(&mut self) -> Result<(), TurnEnd> {
        let room = self.settings.datagram_bytes_max.saturating_add(1);
        match self.socket.try_recv_buf(&mut self.frames.space(room).limit(room)) {
            // An empty datagram.
            Ok(0) => Ok(()),
            Ok(received) => {
                self.unfinished = Some(Unfinished { is_cut: received == room });
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(TurnEnd::NothingThere),
            Err(error) => Err(TurnEnd::Failed(error)),
        }
    }

    /// Takes the next line of the datagram in the buffer. The last one needs no line end, unless it was cut off.
    fn take_line(&mut self, turn: &mut Turn) {
        let admission = self.admission;
        if let Some(Frame::Line(text) | Frame::TooLarge { head: text }) = self.frames.next_frame() {
            admit(admission, &mut self.ids, turn, text);
            return;
        }
        let is_cut = self.unfinished.take().is_some_and(|datagram| datagram.is_cut);
        let last = match self.frames.finish() {
            Some(Frame::Line(text) | Frame::TooLarge { head: text }) => text,
            None => b"",
        };
        if is_cut {
            let fault = Fault::datagram_too_large(self.settings.datagram_bytes_max);
            admission.count_refused(Listener::Datagram, fault.code, 1);
            admission.keep_unanswered(turn, last, &fault);
        } else if !last.is_empty() {
            admit(admission, &mut self.ids, turn, last);
        }
    }

    /// Sends a turn on its way. The wait for room here is what makes the kernel hold the senders' datagrams.
    async fn submit(&self, mut turn: Turn, pledges: &Sender<InFlight<'c>>) {
        self.admission.keep_letters(&mut turn).await;
        let bytes = turn.text_bytes();
        if bytes == 0 {
            return;
        }
        let cost = u32::try_from(bytes.min(self.in_flight_max)).unwrap_or(u32::MAX);
        // Neither is ever closed while this reader lives.
        if let Ok(room) = self.in_flight.acquire_many(cost).await {
            let pledge = self.admission.append(turn).await;
            drop(pledges.send(InFlight { pledge, _room: room }).await);
        }
    }

    /// Waits for a datagram, or for the drain to begin.
    async fn wait(&mut self) {
        tokio::select! {
            biased;
            () = self.drain.begun() => {}
            ready = self.socket.readable() => if let Err(error) = ready {
                tracing::error!(%error, "failed to wait for datagrams; trying again");
                time::sleep(RECEIVE_PAUSE).await;
            },
        }
    }

    /// The socket takes no more from now on; what it holds is still here to be received. The runtime is waited for until
    /// it has seen that, because from then on it asks the kernel each time, and an answer of "nothing" is final.
    async fn close_to_senders(&mut self) {
        self.is_draining = true;
        if let Err(error) = self.socket.shutdown(Shutdown::Read) {
            tracing::error!(%error, "failed to close the datagram socket to senders");
        } else if let Err(error) = self.socket.readable().await {
            tracing::error!(%error, "failed to wait for the last datagrams");
        }
    }
}

fn admit(admission: &Admission, ids: &mut IdSource, turn: &mut Turn, text: &[u8]) {
    if let Err(rejections) = admission.admit(turn, text, Form::EventOrGrant, ids)
        && let Some(first) = rejections.first()
    {
        admission.keep_unanswered(turn, text, &Fault::from(first));
    }
}
