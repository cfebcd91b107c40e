//! A row of volumes: written at its tail, read strictly oldest first, given back to the disk volume by volume.
//!
//! A volume is in one of five states. *Closed*: full, never read, described by its index file. *Open*: being read, or
//! owing something after it was read. The *tail*: open, and being written. *Resting*: closed again, though it owes something,
//! for it was left alone. *Retained*: all of it settled, closed, kept for a while so that it can be sent again.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::janitor::{Ahead, Janitor};
use super::loss_book::LossBook;
use super::open_volume::{OpenVolume, StoredBlock};
use super::repacking;
use super::repacking::Repacking;
use super::resting::Resting;
use super::totals::Totals;
use crate::event::UnixMillis;
use crate::journal::disk::{Store, StoreError, VolumeId};
use crate::journal::format::{BlockEntry, RowName, SettlementRecord, VolumeIndex};

/// How a row grows and how long settled volumes stay.
#[derive(Clone, Copy, Debug)]
pub(in crate::journal) struct RowLimits {
    /// Frames in a volume before the next one is begun.
    pub(in crate::journal) volume_bytes: u64,
    /// How long a settled volume is kept.
    pub(in crate::journal) retention: Duration,
    /// How much of settled volumes is kept.
    pub(in crate::journal) retention_bytes_max: u64,
    /// Whether closed volumes of small blocks are rewritten.
    pub(in crate::journal) repacks: bool,
}

/// A closed volume's totals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Closed {
    pub(in crate::journal) number: u32,
    /// The seq it began with; 0 where that is not known.
    pub(super) begin: u64,
    /// The first seq of its first pending block, and the first after its last one.
    pub(super) seqs: Range<u64>,
    pub(super) totals: Totals,
    pub(super) disk_bytes: u64,
    pub(super) blocks: u64,
    /// It was tried to rewrite it.
    pub(super) tried: bool,
}

impl Closed {
    /// How many events in it are owed.
    pub(in crate::journal) fn pending_events(&self) -> u64 {
        self.totals.events
    }

    pub(super) fn wants_repacking(&self) -> bool {
        !self.tried && repacking::is_worthwhile(self.blocks, self.totals.events, self.totals.text_bytes)
    }
}

/// A settled volume that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retained {
    pub(super) number: u32,
    pub(super) settled_at: UnixMillis,
    pub(super) disk_bytes: u64,
}

/// One row.
#[derive(Debug)]
pub(in crate::journal) struct Row<S: Store> {
    pub(super) name: RowName,
    pub(in crate::journal) store: Arc<S>,
    pub(super) janitor: Janitor<S>,
    pub(super) book: LossBook<S>,
    pub(super) limits: RowLimits,
    pub(super) retained: VecDeque<Retained>,
    pub(in crate::journal) open: BTreeMap<u32, OpenVolume<S::Volume>>,
    pub(in crate::journal) closed: VecDeque<Closed>,
    pub(in crate::journal) resting: Resting<S::Volume>,
    /// A closed volume that is being looked at: open, and yet as its index says.
    pub(super) looked_at: Option<OpenVolume<S::Volume>>,
    pub(super) next_number: u32,
    pub(super) next_seq: u64,
    /// The next volume, made before it is needed.
    pub(super) ahead: Option<Ahead<S::Volume>>,
    /// The tail whose first index is being written: until that is done it gets no other.
    pub(super) described: Option<(u32, Ahead<()>)>,
    /// The closed volume that is being opened for the reader.
    pub(super) arriving: Option<(u32, Ahead<OpenVolume<S::Volume>>)>,
    /// The closed volume that is being rewritten.
    pub(super) repacking: Option<Repacking>,
    /// What an index had promised and its volume did not hold, since it was last asked for.
    pub(super) lost: Totals,
    pub(super) found_again: Totals,
}

impl<S: Store> Row<S> {
    /// What was pending and turned out to be lost, since this was last asked.
    pub(in crate::journal) fn take_lost(&mut self) -> Totals {
        std::mem::take(&mut self.lost)
    }

    /// What was not known to be pending and turned out to be, since this was last asked.
    pub(in crate::journal) fn take_found_again(&mut self) -> Totals {
        std::mem::take(&mut self.found_again)
    }

    /// What is pending, over the whole row.
    pub(in crate::journal) fn pending(&self) -> Totals {
        let open = Totals::of(self.open.values().flat_map(OpenVolume::pending));
        self.closed.iter().fold(open.plus(self.resting.pending()), |sum, closed| sum.plus(closed.totals))
    }

    /// From when on the oldest pending event that is due has waited.
    pub(in crate::journal) fn waiting_since(&self, now: UnixMillis) -> Option<UnixMillis> {
        let open = self.open.values().filter_map(|volume| volume.waiting_since(now)).min();
        let closed = self.closed.front().and_then(|closed| closed.totals.oldest_since);
        open.into_iter().chain(self.resting.waiting_since(now)).chain(closed).min()
    }

    /// The seq the next event gets.
    pub(in crate::journal) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// What the row takes on disk: exact for volumes at rest, as written for open ones.
    pub(in crate::journal) fn disk_bytes(&self) -> u64 {
        let open = self.open.keys().map(|number| self.store.disk_bytes(self.id(*number))).sum::<u64>();
        let closed = self.closed.iter().map(|closed| closed.disk_bytes).sum::<u64>();
        open + closed + self.resting.disk_bytes() + self.retained_bytes()
    }

    /// The numbers of the settled volumes that are still kept, oldest first.
    pub(in crate::journal) fn retained(&self) -> impl Iterator<Item = u32> {
        self.retained.iter().map(|retained| retained.number)
    }

    pub(super) fn retained_bytes(&self) -> u64 {
        self.retained.iter().map(|retained| retained.disk_bytes).sum()
    }

    pub(in crate::journal) fn id(&self, number: u32) -> VolumeId {
        VolumeId { row: self.name, number }
    }

    /// Writes new blocks to the tail and settlements to the volumes they belong to, nothing durable yet. Those of a volume at
    /// rest wait until it is open.
    ///
    /// # Errors
    /// When the store fails; the journal must stop then.
    pub(in crate::journal) fn write(
        &mut self,
        blocks: &[(BlockEntry, StoredBlock)],
        settlements: Vec<SettlementRecord>,
    ) -> Result<(), StoreError> {
        let mut by_volume: BTreeMap<u32, Vec<SettlementRecord>> = BTreeMap::new();
        for record in settlements {
            let owed = |(number, volume): (&u32, &OpenVolume<S::Volume>)| {
                Some((*number, volume.owed_events(record.seq)?))
            };
            // A block that nobody owes was settled before: nothing to do twice.
            match self.open.iter().rev().find_map(owed) {
                Some((number, events)) => {
                    by_volume.entry(number).or_default().push(SettlementRecord { events, ..record });
                }
                None => self.resting.settle(record),
            }
        }
        let tail = if blocks.is_empty() { None } else { Some(self.tail()?) };
        for (number, volume) in &mut self.open {
            let settled = by_volume.remove(number).unwrap_or_default();
            let new = if tail == Some(*number) { blocks } else { &[] };
            volume.write(new, &settled)?;
        }
        if let Some((last, _)) = blocks.last() {
            self.next_seq = self.next_seq.max(last.seq + u64::from(last.events));
        }
        Ok(())
    }

    /// Makes sure that there is a volume to write to.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::journal) fn begin(&mut self) -> Result<(), StoreError> {
        self.tail().map(|_| ())
    }

    /// The number of the volume to write to, begun if there is none or the last one is full.
    fn tail(&mut self) -> Result<u32, StoreError> {
        let last = self.open.last_key_value();
        if let Some((number, volume)) = last
            && *number + 1 == self.next_number
            && volume.frame_bytes() < self.limits.volume_bytes
        {
            return Ok(*number);
        }
        self.rotate()
    }

    /// Begins the next volume and makes it the tail.
    pub(super) fn rotate(&mut self) -> Result<u32, StoreError> {
        let number = self.next_number;
        let store = match self.ahead.take() {
            Some(ahead) => ahead.wait()?,
            None => self.store.create(self.id(number))?,
        };
        let mut volume = OpenVolume::new(self.id(number), store);
        volume.begin(self.next_seq)?;
        volume.note_begin(self.next_seq);
        self.wait_for_index_of(number - 1);
        let described = self.janitor.describe(self.id(number), &volume.open_index(self.next_seq));
        self.described = described.map(|described| (number, described));
        self.next_number = number + 1;
        self.open.insert(number, volume);
        Ok(number)
    }

    /// Makes every new block durable. Settlements elsewhere may wait: a lost one only means that a block is sent twice.
    ///
    /// # Errors
    /// When the sync fails; the journal must stop then.
    pub(in crate::journal) fn sync_tail(&mut self) -> Result<(), StoreError> {
        self.open.last_entry().map_or(Ok(()), |mut tail| tail.get_mut().sync())
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    /// When a sync fails; the journal must stop then.
    pub(in crate::journal) fn sync(&mut self) -> Result<(), StoreError> {
        self.open.values_mut().try_for_each(OpenVolume::sync)
    }

    /// Whether something is written that no sync has covered, or waits to be written.
    pub(in crate::journal) fn is_dirty(&self) -> bool {
        self.resting.is_called() || self.open.values().any(OpenVolume::is_dirty)
    }

    /// Hands out pending blocks, oldest first: at least one if there is any, then as many as fit.
    ///
    /// # Errors
    /// When a volume can't be read.
    pub(in crate::journal) fn read(
        &mut self,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        let (mut events_left, mut bytes_left) = (events_max, bytes_max);
        let mut blocks = Vec::new();
        loop {
            let Some(number) = self.reading()? else { return Ok(blocks) };
            let Some(volume) = self.open.get_mut(&number) else { return Ok(blocks) };
            match volume.read_next(events_left, bytes_left, blocks.is_empty())? {
                // Nothing was left in a damaged volume; the next one may have something.
                None if !volume.has_unread() => {}
                None => return Ok(blocks),
                Some((entry, stored)) => {
                    events_left = events_left.saturating_sub(entry.events as usize);
                    bytes_left = bytes_left.saturating_sub(entry.text_bytes as usize);
                    blocks.push(stored);
                    if volume.is_nearly_read() {
                        self.have_next_opened();
                    }
                }
            }
        }
    }

    /// Has the closed volume opened that is read next, so that nobody waits for it; not earlier, for an open one takes
    /// megabytes.
    fn have_next_opened(&mut self) {
        if self.arriving.is_none()
            && let Some(next) = self.closed.front()
            && !self.is_being_repacked(next.number)
        {
            let number = next.number;
            self.arriving = self.janitor.open(self.id(number)).map(|arriving| (number, arriving));
        }
    }

    /// The volume whose unread blocks come next, opened if it is closed.
    fn reading(&mut self) -> Result<Option<u32>, StoreError> {
        let open = self.open.iter().find(|(_, volume)| volume.has_unread()).map(|(number, _)| *number);
        let closed = self.closed.front().map(|closed| closed.number);
        match (open, closed) {
            (open, None) => Ok(open),
            (Some(open), Some(closed)) if open < closed => Ok(Some(open)),
            (_, Some(number)) => {
                self.stop_repacking(number)?;
                self.make_way()?;
                let arrived = self.arriving.take().map(|(_, arriving)| arriving.wait()).transpose()?;
                let mut volume = match arrived {
                    Some(arrived) if arrived.id() == self.id(number) => arrived,
                    other => {
                        // Another volume came to the front meanwhile.
                        other.into_iter().for_each(|volume| self.janitor.close(volume.into_store()));
                        self.janitor.open_now(self.id(number))?
                    }
                };
                volume.begin_reading();
                self.open_closed(volume)?;
                Ok(Some(number))
            }
        }
    }

    /// Whether this volume lies closed, and owes something.
    pub(in crate::journal) fn is_at_rest(&self, number: u32) -> bool {
        self.resting.get(number).is_some() || self.closed.iter().any(|closed| closed.number == number)
    }

    /// Whether blocks wait to be handed out.
    pub(in crate::journal) fn has_unread(&self) -> bool {
        !self.closed.is_empty() || self.open.values().any(OpenVolume::has_unread)
    }

    /// A closed volume was opened, and its blocks are to be handed out or settled. Its index has told what must be in it;
    /// another now tells what is.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn open_closed(&mut self, mut volume: OpenVolume<S::Volume>) -> Result<(), StoreError> {
        self.compare_with_index(&mut volume)?;
        let number = volume.id().number;
        let Some(at) = self.closed.iter().position(|closed| closed.number == number) else { return Ok(()) };
        let Some(closed) = self.closed.remove(at) else { return Ok(()) };
        self.open.insert(number, volume);
        self.describe_open(number, closed.seqs.end)
    }

    /// Writes an index, durably.
    pub(super) fn write_index(&mut self, id: VolumeId, index: &VolumeIndex) -> Result<(), StoreError> {
        self.wait_for_index_of(id.number);
        self.store.write_index(id, &index.encode())
    }

    /// The janitor may still be writing the first index of a volume that was the tail until now.
    fn wait_for_index_of(&mut self, number: u32) {
        if let Some((_, described)) = self.described.take_if(|(tail, _)| *tail == number) {
            // Whether it was written or not, another may be now.
            drop(described.wait());
        }
    }
}
