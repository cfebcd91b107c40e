//! The way into the journal.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, oneshot};

use super::error::{AppendError, JournalError};
use super::letters::DeadLetter;
use super::writer::{Command, Shared};
use crate::event::{EventBuf, Lane, PerLane};
use crate::metrics::Listener;

/// What one socket read brings: checked, stamped events of both lanes, committed together.
#[derive(Clone, Debug)]
pub struct Append {
    /// Where they came from.
    pub listener: Listener,
    /// The events.
    pub events: PerLane<EventBuf>,
}

impl Append {
    /// How many events, in both lanes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.grants.len() + self.events.usage.len()
    }

    /// Whether there is nothing to append.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The texts of both lanes, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.events.grants.text_bytes() + self.events.usage.text_bytes()
    }
}

/// An append that was not taken, handed back with the reason.
#[derive(Clone, Debug)]
pub struct NotTaken {
    /// What was to be appended.
    pub append: Append,
    /// Why it was not taken.
    pub error: AppendError,
}

/// A promise of the writer: resolves once a real sync covers the append.
#[derive(Debug)]
pub struct Receipt {
    answer: oneshot::Receiver<Result<(), AppendError>>,
    shared: Arc<Shared>,
}

impl Receipt {
    /// Waits for the sync.
    ///
    /// # Errors
    /// `Full` when the limits of the journal refuse the events (none of them was kept); otherwise the journal failed
    /// and the events must count as not accepted.
    pub async fn committed(self) -> Result<(), AppendError> {
        match self.answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.shared.failure_or_closed().into()),
        }
    }
}

/// What an append takes of the intake buffer beside its text, so that the number of waiting appends is bounded too.
const APPEND_OVERHEAD_BYTES: usize = 256;

/// Intake's handle on the journal; clone it for every listener.
#[derive(Clone, Debug)]
pub struct Appender {
    shared: Arc<Shared>,
}

impl Appender {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Hands events to the writer if there is room for them now.
    ///
    /// # Errors
    /// Hands the append back with the reason: `Busy` when `intake_bytes_max` is waiting for the disk already, `Full`
    /// when the journal has reached a limit, or the journal's end.
    pub fn try_append(&self, append: Append) -> Result<Receipt, Box<NotTaken>> {
        if let Some(error) = self.refusal_of_any(&append) {
            return Err(Box::new(NotTaken { append, error }));
        }
        match Arc::clone(&self.shared.room).try_acquire_many_owned(self.cost(append.text_bytes())) {
            Ok(room) => self.put(append, room),
            Err(TryAcquireError::NoPermits) => Err(Box::new(NotTaken { append, error: AppendError::Busy })),
            Err(TryAcquireError::Closed) => Err(self.closed(append)),
        }
    }

    /// Hands events to the writer, waiting for room in the intake buffer. Cancel-safe: cancelled, nothing was handed over.
    ///
    /// # Errors
    /// As [`try_append`](Self::try_append), but never `Busy`.
    pub async fn append(&self, append: Append) -> Result<Receipt, Box<NotTaken>> {
        if let Some(error) = self.refusal_of_any(&append) {
            return Err(Box::new(NotTaken { append, error }));
        }
        match Arc::clone(&self.shared.room).acquire_many_owned(self.cost(append.text_bytes())).await {
            Ok(room) => self.put(append, room),
            Err(_) => Err(self.closed(append)),
        }
    }

    /// Keeps events that intake refused and whose senders get no answers. Waits for queue room, not for the disk. The
    /// `dead` row is bounded: what finds no place is only counted (and logged by the writer).
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn keep_refused(&self, letters: Vec<DeadLetter>) -> Result<(), JournalError> {
        let bytes = letters.iter().map(|letter| letter.event.len() + APPEND_OVERHEAD_BYTES).sum();
        let room = Arc::clone(&self.shared.room).acquire_many_owned(self.cost(bytes)).await;
        let room = room.map_err(|_| self.shared.failure_or_closed())?;
        let put = self.shared.inbox.put(Command::KeepRefused(letters, room));
        put.map_err(|_| self.shared.failure_or_closed())
    }

    /// Why the journal takes no event of any lane now, or `None`: lets intake refuse a large body before it parses it.
    #[must_use]
    pub fn refusal(&self) -> Option<AppendError> {
        // Usage is refused before grants are, so a lane that is open means grants may still come in.
        self.refusal_of(Lane::Grants)
    }

    /// Why the journal takes no event of this lane now, or `None`.
    #[must_use]
    pub fn refusal_of(&self, lane: Lane) -> Option<AppendError> {
        self.shared.refusal(lane)
    }

    fn refusal_of_any(&self, append: &Append) -> Option<AppendError> {
        let lanes = Lane::ALL.into_iter().filter(|lane| !append.events[*lane].is_empty());
        lanes.into_iter().find_map(|lane| self.shared.refusal(lane))
    }

    /// An append larger than the whole buffer takes all of it, and so still fits, alone.
    fn cost(&self, bytes: usize) -> u32 {
        let cost = u32::try_from(bytes.saturating_add(APPEND_OVERHEAD_BYTES)).unwrap_or(u32::MAX);
        cost.min(self.shared.room_max)
    }

    fn put(&self, append: Append, room: OwnedSemaphorePermit) -> Result<Receipt, Box<NotTaken>> {
        let (answer, receipt) = oneshot::channel();
        match self.shared.inbox.put(Command::Append { append, room, answer }) {
            Ok(()) => Ok(Receipt { answer: receipt, shared: Arc::clone(&self.shared) }),
            Err(back) => match *back {
                Command::Append { append, .. } => Err(self.closed(append)),
                Command::KeepRefused(..)
                | Command::Settle(_)
                | Command::Read { .. }
                | Command::Restore { .. }
                | Command::Letters(_)
                | Command::Look(_)
                | Command::Survey(_) => {
                    unreachable!("the inbox hands back what was put in")
                }
            },
        }
    }

    fn closed(&self, append: Append) -> Box<NotTaken> {
        Box::new(NotTaken { append, error: self.shared.failure_or_closed().into() })
    }
}
