//! A volume that is open: its store, and which of its blocks are still owed.

use std::collections::{BTreeMap, BTreeSet};

use super::totals::Totals;
use crate::event::UnixMillis;
use crate::journal::disk::{Entry, StoreError, Volume, VolumeId};
use crate::journal::format::{BlockEntry, FrameError, Inventory, Kind, SettlementRecord, VolumeIndex, frame};

/// Where a volume keeps the seq it began with; sorts before every block and settlement.
const FIRST_SEQ_KEY: &[u8] = b"\0first_seq";

/// A stored block, part by part, not yet unpacked.
pub(in crate::journal) type StoredBlock = Vec<Vec<u8>>;

/// An open volume of any row.
#[derive(Debug)]
pub(in crate::journal) struct OpenVolume<V> {
    id: VolumeId,
    store: V,
    pending: BTreeMap<u64, PendingBlock>,
    /// Blocks below this seq were handed out in this life.
    unread_from: u64,
    /// Whether the reader has come to this volume.
    is_being_read: bool,
    /// Since when nothing of it was handed out or settled, as far as that was noted.
    left_alone_since: Option<UnixMillis>,
    /// Above every seq this volume has ever held, settled ones too: a seq used twice would be taken for settled.
    next_seq: u64,
    settled: BTreeSet<u64>,
    frame_bytes: u64,
    dirty: bool,
    /// The seq it began with; 0 where that is not known.
    begin: u64,
    /// The seq it remembers: that it began with, or that it went on from later.
    first_seq: Option<u64>,
    /// Pending events that were salvaged into it when it was opened.
    salvaged: u64,
}

/// A pending block, as memory keeps it.
#[derive(Clone, Copy, Debug)]
struct PendingBlock {
    entry: BlockEntry,
    parts: u16,
    /// Whether it was handed out before the volume came to rest.
    was_handed_out: bool,
}

impl<V: Volume> OpenVolume<V> {
    /// A volume just created.
    pub(super) fn new(id: VolumeId, store: V) -> Self {
        Self {
            id,
            store,
            pending: BTreeMap::new(),
            unread_from: 0,
            is_being_read: false,
            left_alone_since: None,
            next_seq: 0,
            settled: BTreeSet::new(),
            frame_bytes: 0,
            dirty: false,
            begin: 0,
            first_seq: None,
            salvaged: 0,
        }
    }

    /// Reads which blocks a volume holds and which of them are settled.
    ///
    /// # Errors
    /// When the store can't be read, or holds what no journal of this format wrote.
    pub(super) fn load(id: VolumeId, store: V) -> Result<Self, StoreError> {
        let mut volume = Self::new(id, store);
        let mut pending = BTreeMap::new();
        let (mut settled, mut frame_bytes, mut next_seq, mut fault) = (BTreeSet::new(), 0_u64, 0_u64, None);
        let mut first_seq = None;
        volume.store.scan(&mut |key, value| {
            if key == FIRST_SEQ_KEY {
                first_seq = Some(frame::u64_at(value, 0));
                next_seq = next_seq.max(frame::u64_at(value, 0));
                return;
            }
            frame_bytes += value.len() as u64;
            match frame::read_header(value) {
                // What is given out otherwise than it was written is no settlement in the file either.
                Ok(header) if header.kind == Kind::Settlement && frame::decode_frame(value).is_err() => {
                    fault = fault.or(Some(FrameError::Damaged));
                }
                Ok(header) if header.kind == Kind::Settlement => {
                    settled.insert(header.seq);
                    next_seq = next_seq.max(header.seq.saturating_add(header.due.max(1)));
                    pending.remove(&header.seq);
                }
                Ok(header) if header.part == 0 => {
                    let entry = BlockEntry::of(&header, header.text_bytes());
                    next_seq = next_seq.max(header.seq + u64::from(header.events));
                    let block = PendingBlock { entry, parts: header.parts, was_handed_out: false };
                    pending.insert(header.seq, block);
                }
                Ok(_) => {}
                Err(error) => fault = fault.or(Some(error)),
            }
        })?;
        match fault {
            None => {}
            Some(FrameError::NewerFormat(format)) => return Err(StoreError::NewerFormat(id, format)),
            Some(fault @ (FrameError::NotAFrame | FrameError::Damaged)) => {
                return Err(StoreError::Damaged(id, fault.to_string()));
            }
        }
        volume.pending = pending;
        Ok(Self { settled, frame_bytes, next_seq, first_seq, ..volume })
    }

    /// Begins a created volume: its seqs start at `first_seq`, which outlives the volumes before it.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn begin(&mut self, first_seq: u64) -> Result<(), StoreError> {
        self.next_seq = first_seq;
        self.first_seq = Some(first_seq);
        self.dirty = true;
        self.store.apply(&[(FIRST_SEQ_KEY.to_vec(), first_seq.to_le_bytes().to_vec())])
    }

    /// The volume was found damaged when it was opened, and so many pending events were left of it.
    pub(super) fn out_of_salvage(self, events: u64) -> Self {
        // What it remembers was written for its successor's sake, and says nothing of what had been in it.
        Self { salvaged: events, first_seq: None, ..self }
    }

    /// Blocks that are settled as their file tells, though the store may have forgotten it: after a power cut it does not
    /// count everything that reached the disk.
    pub(super) fn settle_as_found<'s>(&mut self, settled: impl IntoIterator<Item = &'s u64>) {
        for seq in settled {
            if self.pending.remove(seq).is_some() {
                self.settled.insert(*seq);
            }
        }
    }

    /// The pending events that were salvaged, if it was found damaged when it was opened.
    pub(super) fn salvaged(&self) -> u64 {
        self.salvaged
    }

    /// The seq that its store remembers: up to there nothing is missing, or it was told.
    pub(super) fn first_seq(&self) -> Option<u64> {
        self.first_seq
    }

    /// It is known by now with which seq it began.
    pub(super) fn note_begin(&mut self, begin: u64) {
        self.begin = begin;
    }

    /// The seq it began with; 0 where that is not known.
    pub(super) fn begin_seq(&self) -> u64 {
        self.begin
    }

    /// Its index, if nobody reads it.
    pub(super) fn closed_index(&self) -> VolumeIndex {
        VolumeIndex::Pending { begin: self.begin, blocks: self.pending().copied().collect() }
    }

    /// Its index while it is open, when all before `end` is accounted for.
    pub(super) fn open_index(&self, end: u64) -> VolumeIndex {
        let blocks = self.pending().copied().collect();
        VolumeIndex::Open(Inventory { begin: self.begin, blocks, end: end.max(self.next_seq) })
    }

    pub(in crate::journal) fn id(&self) -> VolumeId {
        self.id
    }

    /// Writes blocks and settlements; durable after the next [`sync`](Self::sync). Each of them is written whole or not at
    /// all. They need not be so together, for nothing of them is relied on before the sync, and a write of
    /// several entries costs sled a sync of its own.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn write(
        &mut self,
        blocks: &[(BlockEntry, StoredBlock)],
        settlements: &[SettlementRecord],
    ) -> Result<(), StoreError> {
        for (entry, frames) in blocks {
            let parts = (0_u16..).zip(frames);
            self.apply(parts.map(|(part, frame)| (block_key(entry.seq, part), frame.clone())).collect())?;
        }
        for record in settlements {
            self.apply(vec![(settlement_key(record.seq), record.encode())])?;
        }
        for (entry, frames) in blocks {
            self.next_seq = self.next_seq.max(entry.seq + u64::from(entry.events));
            let parts = u16::try_from(frames.len()).unwrap_or(u16::MAX);
            let block = PendingBlock { entry: *entry, parts, was_handed_out: false };
            self.pending.insert(entry.seq, block);
        }
        for record in settlements {
            self.settled.insert(record.seq);
            self.pending.remove(&record.seq);
            self.left_alone_since = None;
        }
        Ok(())
    }

    fn apply(&mut self, entries: Vec<Entry>) -> Result<(), StoreError> {
        self.frame_bytes += entries.iter().map(|(_, value)| value.len() as u64).sum::<u64>();
        self.dirty = true;
        self.store.apply(&entries)
    }

    /// Makes everything written durable; does nothing when there is nothing new.
    ///
    /// # Errors
    /// When the sync fails.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        if self.dirty {
            self.store.sync()?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Whether something is written that no sync has covered.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Hands out the next block not handed out yet, if it fits or `must` be taken.
    ///
    /// # Errors
    /// When the store can't be read, lacks a part, or gives out other bytes than were written: the next start salvages
    /// what is left.
    pub(super) fn read_next(
        &mut self,
        events_max: usize,
        bytes_max: usize,
        must: bool,
    ) -> Result<Option<(BlockEntry, StoredBlock)>, StoreError> {
        let Some(block) = self.next_unread() else { return Ok(None) };
        let seq = block.entry.seq;
        let fits = block.entry.events as usize <= events_max && block.entry.text_bytes as usize <= bytes_max;
        if !fits && !must {
            return Ok(None);
        }
        let stored = self.get_block(seq, block.parts)?;
        if stored.iter().any(|frame| frame::decode_frame(frame).is_err()) {
            return Err(StoreError::Damaged(self.id, format!("block {seq} is not what was written")));
        }
        self.unread_from = seq + 1;
        self.is_being_read = true;
        self.left_alone_since = None;
        Ok(Some((block.entry, stored)))
    }

    /// The first pending block at or after `from`.
    pub(in crate::journal) fn first_from(&self, from: u64) -> Option<BlockEntry> {
        self.pending.range(from..).next().map(|(_, block)| block.entry)
    }

    /// Shows a pending block, without handing it out.
    ///
    /// # Errors
    /// When the store can't be read or lacks a part.
    pub(in crate::journal) fn show(&self, seq: u64) -> Result<Option<StoredBlock>, StoreError> {
        self.pending.get(&seq).map(|block| self.get_block(seq, block.parts)).transpose()
    }

    /// The reader has come to this volume, even if its first block did not fit into what was asked for: from now on no
    /// index describes it.
    pub(super) fn begin_reading(&mut self) {
        self.is_being_read = true;
    }

    fn get_block(&self, seq: u64, parts: u16) -> Result<StoredBlock, StoreError> {
        let mut stored = Vec::with_capacity(usize::from(parts));
        for part in 0..parts {
            let missing = || StoreError::Damaged(self.id, format!("part {part} of block {seq} is missing"));
            stored.push(self.store.get(&block_key(seq, part))?.ok_or_else(missing)?);
        }
        Ok(stored)
    }

    /// Whether a block of it waits to be handed out.
    pub(super) fn has_unread(&self) -> bool {
        self.next_unread().is_some()
    }

    fn next_unread(&self) -> Option<PendingBlock> {
        let mut left = self.pending.range(self.unread_from..);
        left.find(|(_, block)| !block.was_handed_out).map(|(_, block)| *block)
    }

    /// Whether the reader has come to its end.
    pub(super) fn is_read(&self) -> bool {
        self.is_being_read && !self.has_unread()
    }

    /// Since when nothing of it was handed out or settled; `None` where something was since the time was last noted.
    pub(super) fn left_alone_since(&self) -> Option<UnixMillis> {
        self.left_alone_since
    }

    /// It is so late now.
    pub(super) fn note_time(&mut self, now: UnixMillis) {
        self.left_alone_since.get_or_insert(now);
    }

    /// It was at rest, and owed these blocks, which were handed out before. What it has beside them lost its settlement to
    /// the disk: that waits to be handed out again. Says how much it is.
    pub(super) fn out_of_rest(&mut self, owed: &BTreeMap<u64, BlockEntry>) -> Totals {
        for (seq, entry) in owed {
            let lost = PendingBlock { entry: *entry, parts: 0, was_handed_out: true };
            self.pending.entry(*seq).or_insert(lost).was_handed_out = true;
        }
        let again: Vec<BlockEntry> =
            self.pending().filter(|entry| !owed.contains_key(&entry.seq)).copied().collect();
        self.unread_from = again.first().map_or(u64::MAX, |entry| entry.seq);
        self.is_being_read = true;
        Totals::of(again.iter())
    }

    /// Whether three quarters of it have been handed out.
    pub(super) fn is_nearly_read(&self) -> bool {
        let first = self.pending.keys().next().into_iter().chain(self.settled.first()).min();
        let all = self.next_seq.saturating_sub(first.copied().unwrap_or_default());
        self.next_seq.saturating_sub(self.unread_from) <= all / 4
    }

    /// Whether none of its blocks was ever handed out or settled: only then does an index describe it fully.
    pub(super) fn is_untouched(&self) -> bool {
        self.settled.is_empty() && !self.is_being_read
    }

    /// Whether a block of it was handed out in this life.
    pub(super) fn is_being_read(&self) -> bool {
        self.is_being_read
    }

    /// Whether nothing in it is owed.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// The events of the block at `seq`, if it is pending here.
    pub(super) fn owed_events(&self, seq: u64) -> Option<u32> {
        self.pending.get(&seq).map(|block| block.entry.events)
    }

    /// Whether `seq` begins a block that is pending here.
    pub(super) fn owes(&self, seq: u64) -> bool {
        self.pending.contains_key(&seq)
    }

    /// Whether the block at `seq` is settled here.
    pub(super) fn has_settled(&self, seq: u64) -> bool {
        self.settled.contains(&seq)
    }

    /// The pending block at `seq` as the store gives it out.
    ///
    /// # Errors
    /// When the store can't be read or lacks a part.
    pub(super) fn stored(&self, seq: u64) -> Result<StoredBlock, StoreError> {
        self.get_block(seq, self.pending.get(&seq).map_or(0, |block| block.parts))
    }

    /// The seqs of its settled blocks, ascending.
    pub(in crate::journal) fn settled(&self) -> impl Iterator<Item = u64> {
        self.settled.iter().copied()
    }

    /// A part of a block, settled or not, where it is there.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(in crate::journal) fn part(&self, seq: u64, part: u16) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(&block_key(seq, part))
    }

    /// The frame of a block's settlement, where it is there.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(in crate::journal) fn settlement(&self, seq: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(&settlement_key(seq))
    }

    /// Every pending block, oldest first.
    pub(in crate::journal) fn pending(&self) -> impl Iterator<Item = &BlockEntry> {
        self.pending.values().map(|block| &block.entry)
    }

    /// From when on the oldest block that is due has waited.
    pub(super) fn waiting_since(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.pending().map(|entry| entry.since).find(|since| *since <= now)
    }

    /// The first seq that was never used, as far as this volume knows.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// All frames written to it, in bytes.
    pub(super) fn frame_bytes(&self) -> u64 {
        self.frame_bytes
    }

    /// Closes it and hands the store back, to be dropped where that may take its time.
    pub(super) fn into_store(self) -> V {
        self.store
    }
}

fn block_key(seq: u64, part: u16) -> Vec<u8> {
    let mut key = Vec::with_capacity(11);
    key.push(b'b');
    key.extend_from_slice(&seq.to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

fn settlement_key(seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(b's');
    key.extend_from_slice(&seq.to_be_bytes());
    key
}
