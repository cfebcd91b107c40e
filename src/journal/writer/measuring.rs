//! The space on disk, measured now and then: where there is too little, retained volumes go first, then the gate closes.

use std::time::{Duration, Instant};

use super::committer::Committer;
use crate::event::{Lane, PerLane};
use crate::journal::disk::{Disk, Store};
use crate::journal::volumes::Row;

/// How often the space on disk is measured while something is going on, or while the gate is closed.
pub(super) const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// Text written after which it is measured at once: at most this, and at most 1/64 of what the journal may hold.
const MEASURE_AFTER_BYTES: u64 = 1 << 20;

/// When the space was last measured, and what was written since.
#[derive(Debug, Default)]
pub(in crate::journal) struct Measured {
    at: Option<Instant>,
    pub(in crate::journal) bytes_since: u64,
    pub(super) journal_bytes: u64,
    pub(super) disk: Disk,
}

impl<S: Store> Committer<S> {
    /// Looks at the disk; where there is too little room, as many retained volumes go as are needed, then the gate
    /// closes.
    pub(super) fn measure(&mut self) {
        let mut disk = self.space.measure_disk();
        let mut journal_bytes = self.rows().map(Row::disk_bytes).sum::<u64>();
        while self.space.shortage(Lane::Usage, journal_bytes, disk) > 0
            && let Some(bytes) = self.lanes.usage.give_back().or_else(|| self.lanes.grants.give_back())
        {
            // It is deleted in a moment, off this thread.
            journal_bytes = journal_bytes.saturating_sub(bytes);
            disk.free = disk.free.saturating_add(bytes);
        }
        self.ledger.quarantined(self.dead.store.quarantined());
        match self.book.on_record() {
            Ok(on_record) => self.ledger.losses_on_record(on_record),
            Err(error) => tracing::warn!(%error, "the book of losses can't be read"),
        }
        for lane in Lane::ALL {
            let refusal = self.space.refusal(lane, journal_bytes, disk, 0);
            if let Some(detail) = &refusal
                && !self.shared.is_gate_closed(lane)
            {
                tracing::error!(lane = lane.as_str(), detail, "the journal is full: new events are refused");
            }
            self.shared.set_gate(lane, refusal);
        }
        if let Some(ballast) = self.ballast.as_ref().filter(|ballast| ballast.is_missing())
            && self.space.has_room_for(ballast.bytes(), disk)
        {
            self.janitor.keep_ballast(ballast);
        }
        self.measured = Measured { at: Some(Instant::now()), bytes_since: 0, journal_bytes, disk };
        let now = self.clock.now();
        let oldest = PerLane {
            grants: self.lanes.grants.waiting_since(now),
            usage: self.lanes.usage.waiting_since(now),
        };
        self.ledger.measured(oldest, journal_bytes);
    }

    /// Whether it is time to measure again, while something is going on.
    pub(super) fn measuring_is_due(&self) -> bool {
        let after_bytes = MEASURE_AFTER_BYTES.min(self.ledger.accounts().journal_limit_bytes / 64);
        self.measured.at.is_none_or(|at| at.elapsed() >= MEASURE_EVERY)
            || self.measured.bytes_since >= after_bytes
    }
}
