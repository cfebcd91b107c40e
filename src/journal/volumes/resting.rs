//! Volumes that were read to their end and owe something still: an event whose time has not come, or one that is refused
//! for hours. An open volume takes megabytes, and such events may lie in each of them, so all but a few are at rest: closed,
//! with an index that says what is left, which memory keeps too. Delivery has the texts itself, and needs nothing of the
//! volume until a block of it is settled. Then it is opened again, off the writer's thread, and stays open for a while, for
//! where one block is settled others are soon.
//!
//! What is settled meanwhile waits in memory. A crash that swallows it costs no more than one that swallows what no sync
//! has covered yet: the events are sent once more.

use std::collections::{BTreeMap, VecDeque};

use super::janitor::Ahead;
use super::open_volume::OpenVolume;
use super::row::Row;
use super::totals::Totals;
use crate::event::UnixMillis;
use crate::journal::disk::{Store, StoreError};
use crate::journal::format::{BlockEntry, SettlementRecord};

/// So many volumes of a row that were read to their end stay open. Where nothing is refused delivery has no more of them
/// under way.
const READ_OPEN_MAX: usize = 3;
/// One of them that was left alone for so long is not waited for.
const REST_AFTER_MILLIS: u64 = 5_000;

/// A volume at rest.
#[derive(Debug)]
pub(in crate::journal) struct RestingVolume {
    /// The seq it began with; 0 where that is not known.
    begin: u64,
    /// Above every seq it has ever held.
    end: u64,
    /// Its blocks without a settlement, as its index says.
    blocks: BTreeMap<u64, BlockEntry>,
    /// The settlements of some of these, which wait until it is open.
    settled: BTreeMap<u64, SettlementRecord>,
    disk_bytes: u64,
}

impl RestingVolume {
    fn owed(&self) -> impl Iterator<Item = &BlockEntry> {
        self.blocks.values().filter(|block| !self.settled.contains_key(&block.seq))
    }

    /// The events of all blocks that have no settlement on the disk.
    pub(in crate::journal) fn unsettled_events(&self) -> u64 {
        self.blocks.values().map(|block| u64::from(block.events)).sum()
    }

    /// The frames of the settlements that are not on the disk yet.
    pub(in crate::journal) fn waiting_settlements(&self) -> BTreeMap<u64, Vec<u8>> {
        self.settled.iter().map(|(seq, record)| (*seq, record.encode())).collect()
    }
}

/// The volumes of a row that are at rest.
#[derive(Debug)]
pub(in crate::journal) struct Resting<V> {
    volumes: BTreeMap<u32, RestingVolume>,
    /// Those of which something was settled since, in that order.
    called: VecDeque<u32>,
    /// The first of these is being opened.
    waking: Option<Ahead<OpenVolume<V>>>,
}

impl<V> Default for Resting<V> {
    fn default() -> Self {
        Self { volumes: BTreeMap::new(), called: VecDeque::new(), waking: None }
    }
}

impl<V> Resting<V> {
    /// The volume of this number, if it is at rest.
    pub(in crate::journal) fn get(&self, number: u32) -> Option<&RestingVolume> {
        self.volumes.get(&number)
    }

    /// The numbers of all of them, ascending.
    pub(in crate::journal) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.volumes.keys().copied()
    }

    /// Whether something was settled that is not on the disk yet.
    pub(super) fn is_called(&self) -> bool {
        !self.called.is_empty()
    }

    pub(super) fn pending(&self) -> Totals {
        Totals::of(self.volumes.values().flat_map(RestingVolume::owed))
    }

    pub(super) fn waiting_since(&self, now: UnixMillis) -> Option<UnixMillis> {
        let first_due =
            |volume: &RestingVolume| volume.owed().map(|block| block.since).find(|since| *since <= now);
        self.volumes.values().filter_map(first_due).min()
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.volumes.values().map(|volume| volume.disk_bytes).sum()
    }

    /// Keeps a settlement until the volume is open that owes its block. One of a block that nobody owes was kept before.
    pub(super) fn settle(&mut self, record: SettlementRecord) {
        for (number, volume) in self.volumes.iter_mut().rev() {
            if let Some(block) = volume.blocks.get(&record.seq) {
                if volume.settled.is_empty() {
                    self.called.push_back(*number);
                }
                let record = SettlementRecord { events: block.events, ..record };
                volume.settled.entry(record.seq).or_insert(record);
                return;
            }
        }
    }
}

impl<S: Store> Row<S> {
    /// Whether an open volume may rest: it was read to its end and owes something. The tail is written to.
    fn may_rest(&self, volume: &OpenVolume<S::Volume>) -> bool {
        volume.id().number + 1 != self.next_number && volume.is_read() && !volume.is_settled()
    }

    /// Whether volumes are open that come to rest if they are left alone.
    pub(in crate::journal) fn is_restive(&self) -> bool {
        self.open.values().any(|volume| self.may_rest(volume))
    }

    /// Lets volumes rest that were left alone.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn let_rest(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        self.open.values_mut().for_each(|volume| volume.note_time(now));
        // A clock that was set back is no reason to wait for it.
        let is_left_alone = |since: UnixMillis| now.abs_diff(since) >= REST_AFTER_MILLIS;
        self.let_rest_if(|volume| volume.left_alone_since().is_some_and(is_left_alone))
    }

    /// Lets volumes rest that are too many, for another is opened.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn make_way(&mut self) -> Result<(), StoreError> {
        self.let_rest_if(|_| false)
    }

    fn let_rest_if(
        &mut self,
        is_left_alone: impl Fn(&OpenVolume<S::Volume>) -> bool,
    ) -> Result<(), StoreError> {
        loop {
            let read = || self.open.values().filter(|volume| self.may_rest(volume));
            let longest = read().min_by_key(|volume| volume.left_alone_since().unwrap_or(UnixMillis::MAX));
            let Some(volume) = longest else { return Ok(()) };
            if read().count() <= READ_OPEN_MAX && !is_left_alone(volume) {
                return Ok(());
            }
            self.put_to_rest(volume.id().number)?;
        }
    }

    fn put_to_rest(&mut self, number: u32) -> Result<(), StoreError> {
        let Some(mut volume) = self.open.remove(&number) else { return Ok(()) };
        volume.sync()?;
        let id = volume.id();
        match self.write_index(id, &volume.closed_index()) {
            // That of an open volume stays, for what it says still holds.
            Ok(()) | Err(StoreError::DiskFull) => {}
            Err(error) => return Err(error),
        }
        let resting = RestingVolume {
            begin: volume.begin_seq(),
            end: volume.next_seq(),
            blocks: volume.pending().map(|block| (block.seq, *block)).collect(),
            settled: BTreeMap::new(),
            disk_bytes: self.store.disk_bytes(id),
        };
        self.resting.volumes.insert(number, resting);
        self.janitor.close(volume.into_store());
        Ok(())
    }

    /// Goes on with opening the volumes of which something was settled, one after the other.
    ///
    /// # Errors
    /// When a volume can't be opened or written to.
    pub(super) fn wake(&mut self) -> Result<(), StoreError> {
        if let Some(arrived) = self.resting.waking.as_ref().and_then(Ahead::poll) {
            self.resting.waking = None;
            self.take_back(arrived?)?;
        }
        if self.resting.waking.is_none()
            && let Some(number) = self.resting.called.front()
        {
            self.resting.waking = self.janitor.open(self.id(*number));
        }
        Ok(())
    }

    /// Writes down whatever was settled of volumes at rest.
    ///
    /// # Errors
    /// When a volume can't be opened or written to.
    pub(in crate::journal) fn wake_all(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        while let Some(number) = self.resting.called.front().copied() {
            let waking = self.resting.waking.take();
            let volume = waking.map_or_else(|| self.janitor.open_now(self.id(number)), Ahead::wait)?;
            self.take_back(volume)?;
            self.tidy(now)?;
        }
        Ok(())
    }

    /// A volume is at rest no more. What it owes was never forgotten, so that nothing of it is lost as long as this process
    /// lives, whatever the disk has done to it: delivery has the texts. If that ends first, the next start finds in the
    /// index what must be there.
    fn take_back(&mut self, mut volume: OpenVolume<S::Volume>) -> Result<(), StoreError> {
        let number = volume.id().number;
        self.resting.called.retain(|called| *called != number);
        let Some(resting) = self.resting.volumes.remove(&number) else { return Ok(()) };
        let again = volume.out_of_rest(&resting.blocks);
        volume.note_begin(resting.begin);
        self.found_again = self.found_again.plus(again);
        self.open.insert(number, volume);
        // No settlement goes into a volume that an index describes as closed.
        self.describe_open(number, resting.end)?;
        let settled: Vec<SettlementRecord> = resting.settled.into_values().collect();
        let Some(volume) = self.open.get_mut(&number) else { return Ok(()) };
        volume.write(&[], &settled)?;
        // It has waited long enough.
        volume.sync()
    }
}
