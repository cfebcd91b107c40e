//! The figures that must add up, taken together so that every reader sees one moment.

use std::sync::{Arc, Mutex, PoisonError};

use super::letters::{DeadReason, Origin};
use crate::event::{Lane, PerLane, UnixMillis};
use crate::metrics::Listener;

/// Where an event that came back into `pending` came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Restored {
    /// A dead letter was put back by hand.
    Requeue,
    /// Settled events were sent again from the retained volumes.
    Replay,
    /// Events came from an export.
    Import,
    /// They lay intact in a damaged volume.
    Salvage,
}

impl Restored {
    /// Every source, in the order of their indices.
    pub const ALL: [Self; 4] = [Self::Requeue, Self::Replay, Self::Import, Self::Salvage];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Replay => "replay",
            Self::Import => "import",
            Self::Salvage => "salvage",
        }
    }
}

/// What the book of losses has, until somebody removes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnRecord {
    /// Its lines. There are some of which no event is counted: of dead letters, and where it is not known how many events
    /// were still owed.
    pub lines: u64,
    /// The accepted events in them.
    pub events: PerLane<u64>,
}

/// What has become of every event of this process life, at one moment.
///
/// `pending_at_start + accepted + restored = delivered + dead_lettered + pending`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Events that were owed when the journal was opened: those found pending in whole volumes, and those known to be lost
    /// in damaged ones. What was intact in these was restored by salvage.
    pub pending_at_start: u64,
    /// Events made durable, by listener (index: position in [`Listener::ALL`]) and lane.
    pub accepted: [PerLane<u64>; Listener::ALL.len()],
    /// Events put back into pending, by source (index: position in [`Restored::ALL`]).
    pub restored: [u64; Restored::ALL.len()],
    /// Events Polar inserted.
    pub inserted: u64,
    /// Events Polar already had.
    pub duplicates: u64,
    /// Accepted events given up, by reason (index: position in [`DeadReason::DELIVERY`]).
    pub dead_lettered: [u64; DeadReason::DELIVERY.len()],
    /// Events owed to Polar.
    pub pending: PerLane<u64>,
    /// Their texts, in bytes.
    pub pending_bytes: u64,
    /// When the oldest pending event of each lane was accepted; `None` when nothing is pending.
    pub oldest_pending: PerLane<Option<UnixMillis>>,
    /// When Polar last confirmed events, by our clock; `None` before the first time in this life.
    pub last_delivery: Option<UnixMillis>,
    /// Dead letters kept now, by origin (index: position in [`Origin::ALL`]).
    pub dead_letters: [u64; Origin::ALL.len()],
    /// Refused events of this life that would have been kept as dead letters, had there been room: only counted.
    pub dead_letters_not_kept: u64,
    /// The dead letters kept now, as they are written down, in bytes.
    pub dead_letter_bytes: u64,
    /// `dead_bytes_max`.
    pub dead_letter_limit_bytes: u64,
    /// Damaged volumes that were put aside and are still there, as last measured.
    pub quarantined_volumes: u64,
    /// What the disk lost, in this life or before; as last measured.
    pub losses_on_record: OnRecord,
    /// The journal's folder on disk, in bytes, as last measured.
    pub journal_bytes: u64,
    /// `journal_bytes_max`.
    pub journal_limit_bytes: u64,
}

impl Accounts {
    /// Pending events of both lanes.
    #[must_use]
    pub fn pending_total(&self) -> u64 {
        self.pending.grants + self.pending.usage
    }

    /// Events made durable in this life, over all listeners and lanes.
    #[must_use]
    pub fn accepted_total(&self) -> u64 {
        self.accepted.iter().map(|per_lane| per_lane.grants + per_lane.usage).sum()
    }

    /// Events Polar confirmed in this life.
    #[must_use]
    pub fn delivered_total(&self) -> u64 {
        self.inserted + self.duplicates
    }

    /// Accepted events given up in this life.
    #[must_use]
    pub fn dead_lettered_total(&self) -> u64 {
        self.dead_lettered.iter().sum()
    }

    /// Accepted events of which the disk has nothing left.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let given_up = DeadReason::DELIVERY.iter().zip(self.dead_lettered);
        given_up.filter(|(reason, _)| **reason == DeadReason::Lost).map(|(_, events)| events).sum()
    }

    /// Whether the dead letters have reached their limit: refused events are no longer kept then. What delivery gives
    /// up is kept all the same.
    #[must_use]
    pub fn dead_letters_full(&self) -> bool {
        self.dead_letter_bytes >= self.dead_letter_limit_bytes
    }

    /// Whether the two sides of the identity are equal.
    #[must_use]
    pub fn add_up(&self) -> bool {
        self.pending_at_start + self.accepted_total() + self.restored.iter().sum::<u64>()
            == self.delivered_total() + self.dead_lettered_total() + self.pending_total()
    }

    /// The accept time of the oldest pending event over both lanes.
    #[must_use]
    pub fn oldest_pending_over_all(&self) -> Option<UnixMillis> {
        Lane::ALL.iter().filter_map(|lane| self.oldest_pending[*lane]).min()
    }
}

/// A view of the accounts as the writer last published them.
#[derive(Clone, Debug, Default)]
pub struct AccountsReader {
    published: Arc<Mutex<Accounts>>,
}

impl AccountsReader {
    /// The accounts at the end of the last group.
    #[must_use]
    pub fn read(&self) -> Accounts {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn publish(&self, accounts: &Accounts) {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone_from(accounts);
    }
}
