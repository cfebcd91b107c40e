//! The way into the journal.

use super::dead_letter::DeadLetter;
use super::error::{AppendError, JournalError};
use crate::event::{EventBuf, PerLane};
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
pub struct Receipt {}

impl Receipt {
    /// Waits for the sync.
    ///
    /// # Errors
    /// `Full` when the limits of the journal refuse the events (none of them was kept); otherwise the journal failed
    /// and the events must count as not accepted.
    pub async fn committed(self) -> Result<(), AppendError> {
        todo!()
    }
}

/// Intake's handle on the journal; clone it for every listener.
#[derive(Clone, Debug)]
pub struct Appender {}

impl Appender {
    /// Hands events to the writer if there is room for them now.
    ///
    /// # Errors
    /// Hands the append back with the reason: `Busy` when `intake_bytes_max` is waiting for the disk already, `Full`
    /// when the journal has reached a limit, or the journal's end.
    pub fn try_append(&self, append: Append) -> Result<Receipt, Box<NotTaken>> {
        Err(Box::new(NotTaken { append, error: AppendError::Busy }))
    }

    /// Hands events to the writer, waiting for room in the intake buffer. Cancel-safe: cancelled, nothing was handed over.
    ///
    /// # Errors
    /// As [`try_append`](Self::try_append), but never `Busy`.
    pub async fn append(&self, append: Append) -> Result<Receipt, Box<NotTaken>> {
        let _ = append;
        todo!()
    }

    /// Keeps events that intake refused and whose senders get no answers. Waits for queue room, not for the disk. The
    /// `dead` row is bounded: what finds no place is only counted (and logged by the writer).
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn keep_refused(&self, letters: Vec<DeadLetter>) -> Result<(), JournalError> {
        let _ = letters;
        todo!()
    }

    /// Why the journal takes nothing now, or `None`: lets intake refuse a large body before it parses it.
    #[must_use]
    pub fn refusal(&self) -> Option<AppendError> {
        todo!()
    }
}
