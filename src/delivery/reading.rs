//! What is read from the journal, and how much of it may be in memory.

use std::sync::Arc;

use tokio::time::Instant;

use super::consume::Consume;
use super::delivery::Delivery;
use super::set_aside::Early;
use super::suspects::Suspects;
use crate::event::Lane;
use crate::journal::{Block, JournalError};
use crate::polar::Ingest;

/// A read waits for its turn with the journal's writer, behind a sync of the disk, so it asks for more than one batch; for
/// no more than two, because what waits here lies unpacked in memory.
const BATCHES_AT_ONCE: usize = 2;
/// So many batches at most are read and wait for an answer while memory is full of events that seem to be bad.
const WITNESSES_MAX: usize = 8;

impl<J: Consume, P: Ingest + 'static> Delivery<J, P> {
    /// Reads blocks, grants first, until a full batch is at hand or delivery holds as much as it may.
    pub(super) async fn top_up(&mut self, now: Instant) -> Result<(), JournalError> {
        for lane in Lane::ALL {
            while self.wants(lane) && self.journal.has_unread(lane) {
                let room = self.bytes_max(lane).saturating_sub(self.bytes());
                let events = BATCHES_AT_ONCE * self.settings.batch_events_max;
                let blocks = self.journal.read(lane, events, room).await?;
                if blocks.is_empty() {
                    break;
                }
                for block in blocks {
                    self.admit(block, now);
                }
            }
        }
        Ok(())
    }

    fn admit(&mut self, block: Block, now: Instant) {
        self.unsettled.add(&block);
        let block = Arc::new(block);
        if block.due() > self.clock.polars_now() {
            self.set_aside.put(block.due(), Early::Fresh(block));
        } else {
            self.batcher.push(block, now);
        }
    }

    pub(super) fn release_due(&mut self, now: Instant) {
        while let Some(early) = self.set_aside.take_due(self.clock.polars_now()) {
            match early {
                Early::Fresh(block) => self.batcher.push(block, now),
                Early::Refused(batch) => self.resend.push(batch),
            }
        }
    }

    /// Whether more of `lane` is to be read. One batch more than allowed is read when all that is at hand keeps failing:
    /// only other events can tell then whether it is to blame itself, and it must not keep them out for ever.
    fn wants(&self, lane: Lane) -> bool {
        if self.batcher.is_full(lane) {
            return false;
        }
        let has_any = !self.resend.is_empty() || !self.suspects.offenders.is_empty();
        let is_all_suspect = self.batcher.is_empty() && has_any && self.resend.have_all_failed();
        let reserve = if is_all_suspect { self.settings.batch_bytes_max } else { 0 };
        self.bytes() < self.bytes_max(lane) + reserve || (is_all_suspect && self.need_a_witness())
    }

    /// Whether the offenders at hand can prove nothing any more before something else is delivered. Little is read for that
    /// beyond what memory may hold, a quarter of it at most.
    fn need_a_witness(&self) -> bool {
        let Suspects { offenders, .. } = &self.suspects;
        let can_prove_nothing = !offenders.have_trials(self.tally.confirmed) || self.suspects.failed_often();
        let bytes_max = self.settings.unsettled_bytes_max / 4 * 5;
        !offenders.is_empty()
            && can_prove_nothing
            && self.resend.len() < WITNESSES_MAX
            && self.bytes() < bytes_max
    }

    /// Whether little may be read any more before something at hand is settled.
    pub(super) fn is_memory_short(&self) -> bool {
        self.bytes() > self.bytes_max(Lane::Usage) / 8 * 7
    }

    /// Whether news of unread blocks would be of use now. While usage is full and unread, the news would never end; a
    /// grant is then found at the next answer or glance.
    pub(super) fn wants_blocks(&self) -> bool {
        let usage = self.wants(Lane::Usage);
        usage || (self.wants(Lane::Grants) && !self.journal.has_unread(Lane::Usage))
    }

    /// What it holds in memory.
    fn bytes(&self) -> usize {
        self.unsettled.bytes() + self.suspects.offenders.bytes_beside_text()
    }

    /// What it may hold in memory when more of `lane` is read.
    pub(super) fn bytes_max(&self, lane: Lane) -> usize {
        let all = self.settings.unsettled_bytes_max;
        match lane {
            Lane::Grants => all,
            Lane::Usage => all - all / 8,
        }
    }
}
