//! What the writer and the handles both see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{Semaphore, watch};

use super::inbox::Inbox;
use crate::event::{Lane, PerLane};
use crate::journal::accounts::AccountsReader;
use crate::journal::error::{AppendError, JournalError};

/// State shared by the committer, the appenders and the consumer.
#[derive(Debug)]
pub(in crate::journal) struct Shared {
    pub(in crate::journal) inbox: Inbox,
    pub(in crate::journal) accounts: AccountsReader,
    /// The intake buffer: one permit for each byte that may wait for the disk.
    pub(in crate::journal) room: Arc<Semaphore>,
    pub(in crate::journal) room_max: u32,
    /// Whether a lane has blocks that were not handed out.
    pub(in crate::journal) unread: watch::Sender<PerLane<bool>>,
    gate: Gate,
    /// One of them is held by each who looks back.
    lookers: Arc<()>,
    failure: OnceLock<JournalError>,
}

/// Why a lane takes nothing now. The flags spare the common case the lock.
#[derive(Debug, Default)]
struct Gate {
    closed: PerLane<AtomicBool>,
    reasons: Mutex<PerLane<Option<String>>>,
}

impl Shared {
    pub(in crate::journal) fn new(intake_bytes_max: usize) -> Self {
        let room_max = u32::try_from(intake_bytes_max.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self {
            inbox: Inbox::default(),
            accounts: AccountsReader::default(),
            room: Arc::new(Semaphore::new(room_max as usize)),
            room_max,
            unread: watch::Sender::new(PerLane::default()),
            gate: Gate::default(),
            lookers: Arc::default(),
            failure: OnceLock::new(),
        }
    }

    /// Held by one who looks back, for as long as he does.
    pub(in crate::journal) fn presence_of_a_looker(&self) -> Arc<()> {
        Arc::clone(&self.lookers)
    }

    /// Whether anybody looks back: then nothing is given back merely for its age or size.
    pub(super) fn is_looked_back_at(&self) -> bool {
        Arc::strong_count(&self.lookers) > 1
    }

    /// Opens or closes a lane.
    pub(super) fn set_gate(&self, lane: Lane, reason: Option<String>) {
        self.gate.closed[lane].store(reason.is_some(), Ordering::Relaxed);
        self.gate.reasons.lock().unwrap_or_else(PoisonError::into_inner)[lane] = reason;
    }

    /// Whether a lane is closed.
    pub(super) fn is_gate_closed(&self, lane: Lane) -> bool {
        self.gate.closed[lane].load(Ordering::Relaxed)
    }

    /// Why an append of `lane` would be refused now.
    pub(in crate::journal) fn refusal(&self, lane: Lane) -> Option<AppendError> {
        if let Some(failure) = self.failure.get() {
            return Some(failure.clone().into());
        }
        if !self.is_gate_closed(lane) {
            return None;
        }
        let detail = self.gate.reasons.lock().unwrap_or_else(PoisonError::into_inner)[lane].clone()?;
        Some(AppendError::Full { detail })
    }

    /// The journal serves no more, for this reason. The first reason stays.
    pub(in crate::journal) fn fail(&self, error: JournalError) {
        drop(self.failure.set(error));
        self.inbox.abandon();
        self.room.close();
        // Wakes a waiting consumer so that it sees the failure.
        self.unread.send_modify(|_| ());
    }

    /// Why the journal does not serve any more, if so.
    pub(in crate::journal) fn failure(&self) -> Option<JournalError> {
        self.failure.get().cloned()
    }

    /// The failure, or that the journal is closed.
    pub(in crate::journal) fn failure_or_closed(&self) -> JournalError {
        self.failure().unwrap_or(JournalError::Closed)
    }
}
