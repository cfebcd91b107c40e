//! What delivery found out about events, as the journal needs to hear it.

use std::ops::Range;
use std::sync::Arc;

use super::attempts::Attempts;
use super::consumer::{Block, BlockId};
use super::letters::DeadLetter;
use crate::event::{PerLane, UnixMillis};

/// So many events with so much text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many events.
    pub events: u64,
    /// Their texts, in bytes.
    pub bytes: u64,
}

/// The fate of events of one answer. `inserted + duplicates + dead.len()` equals the events of `resolved`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Events Polar inserted.
    pub inserted: u64,
    /// Events Polar already had.
    pub duplicates: u64,
    /// When Polar confirmed them, by our clock; `None` when nothing was delivered.
    pub delivered_at: Option<UnixMillis>,
    /// What leaves `pending`, by lane: delivered and dead events together.
    pub resolved: PerLane<Amount>,
    /// Events given up: made durable in the `dead` row before any block of this settlement is settled.
    pub dead: Vec<DeadLetter>,
    /// Blocks of which every event is now resolved.
    pub blocks: Vec<SettledBlock>,
    /// Which events these are: for whoever counts what customers have pending.
    pub runs: Vec<SettledRun>,
}

/// Neighbouring events of one block that are delivered or dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledRun {
    /// The block they lie in.
    pub block: Arc<Block>,
    /// Their positions in it.
    pub positions: Range<u32>,
}

impl Settlement {
    /// Whether every event that leaves `pending` is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        let resolved = self.resolved.grants.events + self.resolved.usage.events;
        self.inserted + self.duplicates + self.dead.len() as u64 == resolved
    }
}

/// A block that owes nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledBlock {
    /// Which.
    pub id: BlockId,
    /// The requests that carried events of it.
    pub attempts: Attempts,
    /// Positions that are dead letters, ascending; all others are delivered.
    pub dead_positions: Vec<u32>,
}
