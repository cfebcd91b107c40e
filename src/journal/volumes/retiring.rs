//! Volumes that need not stay open: closed until they are read, retained when they are settled, and let go.

use super::open_volume::OpenVolume;
use super::row::{Closed, Retained, Row};
use super::totals::Totals;
use crate::event::UnixMillis;
use crate::journal::disk::{Store, StoreError, VolumeId};
use crate::journal::format::{BlockEntry, VolumeIndex};

impl<S: Store> Row<S> {
    /// Moves volumes on to the state they have reached. Called after a group is answered, never in its way.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::journal) fn tidy(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        if let Some((_, tail)) = self.open.last_key_value()
            && self.ahead.is_none()
            && tail.frame_bytes() >= self.limits.volume_bytes / 2
        {
            self.ahead = self.janitor.create(self.id(self.next_number));
        }
        self.wake()?;
        let done: Vec<u32> = self
            .open
            .values()
            .filter(|volume| self.is_done(volume))
            .map(|volume| volume.id().number)
            .collect();
        for number in done {
            self.leave(number, now)?;
        }
        self.let_rest(now)
    }

    /// Whether an open volume need not stay open: it owes nothing, or nobody has begun to read it. The tail stays until
    /// it is full; it goes then even when nothing more is written, so that its memory is given back.
    fn is_done(&self, volume: &OpenVolume<S::Volume>) -> bool {
        let is_tail = volume.id().number + 1 == self.next_number;
        if volume.is_settled() {
            !is_tail || volume.frame_bytes() >= self.limits.volume_bytes
        } else {
            volume.is_untouched() && (!is_tail || volume.frame_bytes() >= self.limits.volume_bytes)
        }
    }

    /// A full volume that owes nothing is retained; one that nobody has read yet is closed, unless it is next to be read.
    fn leave(&mut self, number: u32, now: UnixMillis) -> Result<(), StoreError> {
        let settled = self.open.get(&number).is_some_and(OpenVolume::is_settled);
        let is_first = self.open.first_key_value().is_some_and(|(first, _)| *first == number)
            && self.closed.front().is_none_or(|closed| number < closed.number);
        if !settled && is_first {
            return Ok(());
        }
        let is_tail = number + 1 == self.next_number;
        if is_tail {
            // The seqs live on in the next volume, which must therefore be durable before this one goes.
            self.rotate()?;
        }
        self.sync()?;
        let Some(volume) = self.open.remove(&number) else { return Ok(()) };
        if !settled {
            return self.close(volume);
        }
        let id = volume.id();
        self.janitor.close(volume.into_store());
        if self.limits.retention.is_zero() {
            self.janitor.remove(id);
            return Ok(());
        }
        self.write_index(id, &VolumeIndex::Settled(now))?;
        let disk_bytes = self.store.disk_bytes(id);
        self.retained.push_back(Retained { number, settled_at: now, disk_bytes });
        Ok(())
    }

    pub(super) fn close(&mut self, mut volume: OpenVolume<S::Volume>) -> Result<(), StoreError> {
        volume.sync()?;
        let id = volume.id();
        let blocks: Vec<BlockEntry> = volume.pending().copied().collect();
        self.write_index(id, &volume.closed_index())?;
        let begin = volume.begin_seq();
        self.janitor.close(volume.into_store());
        self.close_entry(id, begin, &blocks);
        Ok(())
    }

    /// A volume that such an index describes lies closed.
    pub(super) fn close_entry(&mut self, id: VolumeId, begin: u64, entries: &[BlockEntry]) {
        let totals = Totals::of(entries.iter());
        let first = entries.first().map_or(0, |entry| entry.seq);
        let end = entries.last().map_or(0, |entry| entry.seq + u64::from(entry.events));
        self.next_seq = self.next_seq.max(end);
        let disk_bytes = self.store.disk_bytes(id);
        let at = self.closed.partition_point(|closed| closed.number < id.number);
        let blocks = entries.len() as u64;
        let closed =
            Closed { number: id.number, begin, seqs: first..end, totals, disk_bytes, blocks, tried: false };
        self.closed.insert(at, closed);
    }

    /// Lets go of retained volumes that are too old, or too many.
    pub(in crate::journal) fn expire(&mut self, now: UnixMillis) {
        let keep_from =
            now.saturating_sub(u64::try_from(self.limits.retention.as_millis()).unwrap_or(u64::MAX));
        while let Some(oldest) = self.retained.front()
            && (oldest.settled_at < keep_from || self.retained_bytes() > self.limits.retention_bytes_max)
        {
            let id = self.id(oldest.number);
            self.retained.pop_front();
            self.janitor.remove(id);
        }
    }

    /// Gives the oldest retained volume back to the disk, and says how much that is. `None` when there is none.
    pub(in crate::journal) fn give_back(&mut self) -> Option<u64> {
        let oldest = self.retained.pop_front()?;
        self.janitor.remove(self.id(oldest.number));
        Some(oldest.disk_bytes)
    }
}
