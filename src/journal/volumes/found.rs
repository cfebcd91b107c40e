//! What lies in a volume's file, found without asking the store: whole blocks, parts of some, and settlements.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::ops::Range;

use bytes::Bytes;

use super::continuity::{Span, lost_of, walk};
use super::open_volume::{OpenVolume, StoredBlock};
use super::scan::scan_frames;
use crate::journal::consumer::Block;
use crate::journal::disk::{PastBadSectors, RawFile, Store, StoreError, Volume, VolumeId};
use crate::journal::format::{BlockEntry, Inventory, Kind, VolumeIndex, frame};

/// Scans the file of a volume that is not open, and reads what its index says of it.
///
/// # Errors
/// When the folder can't be reached, the disk refuses, or a newer sledge wrote it.
pub(super) fn scan_at_rest<S: Store>(store: &S, id: VolumeId) -> Result<Found, StoreError> {
    let found = scan_volume(store.raw(id)?)?;
    if let Some(format) = found.newer_format {
        // Before the store has touched anything.
        return Err(StoreError::NewerFormat(id, format));
    }
    let index = store.read_index(id)?.as_deref().and_then(VolumeIndex::decode);
    Ok(Found { noted: index.and_then(VolumeIndex::into_inventory), ..found })
}

/// What a raw scan found.
#[derive(Debug, Default)]
pub(in crate::journal) struct Found {
    /// Parts of blocks by seq; a block is complete when all its parts are there.
    blocks: BTreeMap<u64, Parts>,
    /// The settled blocks by seq, with their events; 0 where that is not known.
    settled: BTreeMap<u64, u64>,
    next_seq: u64,
    /// What of the file could not be read.
    pub(in crate::journal) unreadable_bytes: u64,
    /// A newer sledge wrote into it, in this format.
    newer_format: Option<u8>,
    /// What must be in it, where an index tells.
    noted: Option<Inventory>,
}

impl Found {
    pub(in crate::journal) fn take(&mut self, frame: &[u8], header: &frame::Header) {
        match header.kind {
            Kind::Settlement => {
                self.next_seq = self.next_seq.max(header.seq.saturating_add(header.due.max(1)));
                self.settled.insert(header.seq, header.due);
            }
            Kind::Block => {
                self.next_seq = self.next_seq.max(header.seq + u64::from(header.events));
                self.blocks.entry(header.seq).or_default().keep(header.part, frame);
            }
        }
    }

    /// Every complete block without a settlement.
    pub(in crate::journal) fn pending(&self) -> Vec<(BlockEntry, StoredBlock)> {
        let unsettled = self.blocks.iter().filter(|(seq, _)| !self.settled.contains_key(seq));
        unsettled.filter_map(|(_, parts)| complete(parts)).collect()
    }

    /// Takes the block at `seq` out, if it is whole.
    pub(in crate::journal) fn take_block(&mut self, seq: u64) -> Option<Block> {
        let parts = self.blocks.remove(&seq)?;
        frame::decode_block(&parts.into_stored()).ok().map(|(_, block)| block)
    }

    /// The blocks of which something was found, by seq and checksum: the same in every copy.
    pub(super) fn block_names(&self) -> BTreeSet<(u64, u32)> {
        let checksum =
            |parts: &Parts| parts.frames().fold(0, |checksum, frame| crc32c::crc32c_append(checksum, frame));
        self.blocks.iter().map(|(seq, parts)| (*seq, checksum(parts))).collect()
    }

    /// The seqs of all settled blocks.
    pub(super) fn settled_seqs(&self) -> impl Iterator<Item = &u64> {
        self.settled.keys()
    }

    /// The seqs of all blocks of which something was found.
    pub(in crate::journal) fn block_seqs(&self) -> Vec<u64> {
        self.blocks.keys().copied().collect()
    }

    /// The events of complete blocks, settled or not, the latest blocks first: at most so many.
    pub(in crate::journal) fn latest_texts(&self, events_max: usize) -> Vec<Bytes> {
        let blocks = self.blocks.values().rev().filter_map(|parts| {
            let stored: StoredBlock = parts.frames().cloned().collect();
            frame::decode_block(&stored).ok()
        });
        let texts = |block: Block| {
            (0..block.len()).filter_map(|at| block.event(at).map(Bytes::copy_from_slice)).collect::<Vec<_>>()
        };
        blocks.flat_map(|(_, block)| texts(block)).take(events_max).collect()
    }

    /// How many complete blocks there are.
    pub(in crate::journal) fn blocks(&self) -> usize {
        self.blocks.values().filter(|parts| complete(parts).is_some()).count()
    }

    /// Above every seq found.
    pub(in crate::journal) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Which seqs are in it: whole blocks, parts of blocks, and settlements of blocks that are gone.
    pub(super) fn spans(&self) -> Vec<Span> {
        let seqs: BTreeSet<u64> = self.blocks.keys().chain(self.settled.keys()).copied().collect();
        let span = |begin: u64| {
            let parts = self.blocks.get(&begin);
            let settled = self.settled.get(&begin);
            let events = parts.map(events_of).or(settled.copied()).filter(|events| *events > 0);
            let is_accounted_for = settled.is_some() || parts.is_some_and(|parts| complete(parts).is_some());
            Span { begin, end: events.map(|events| begin.saturating_add(events)), is_accounted_for }
        };
        seqs.into_iter().map(span).collect()
    }

    /// Everything in the row before this seq was durable when what was found here was written. A block is settled only
    /// after it was.
    pub(super) fn durable_to(&self) -> u64 {
        let begins_a_group = |parts: &Parts| header_of(parts).is_some_and(|header| !header.goes_on);
        let groups = self.blocks.iter().filter(|(_, parts)| begins_a_group(parts)).map(|(seq, _)| *seq);
        let settled = self.settled.iter().map(|(seq, events)| seq.saturating_add(*events));
        groups.chain(settled).max().unwrap_or_default()
    }

    /// It was found where this must be.
    pub(in crate::journal) fn note(&mut self, noted: Option<Inventory>) {
        self.noted = noted;
    }

    /// What must be in it, where an index tells.
    pub(super) fn noted(&self) -> Option<&Inventory> {
        self.noted.as_ref()
    }

    /// How many events were durable in the file and are not whole in it, as far as it and its index tell; what lay before
    /// the first or after the last of what was found can't be known from here.
    pub(super) fn lost_events(&self) -> u64 {
        self.lost(None).into_iter().map(|seqs| seqs.end - seqs.start).sum()
    }

    /// The seqs of these events, from `follows` on if no index tells where to begin.
    fn lost(&self, follows: Option<u64>) -> Vec<Range<u64>> {
        let spans = self.spans();
        let noted = self.noted.as_ref();
        let mut missing = noted.map_or_else(Vec::new, |noted| lost_of(noted, &spans));
        walk(&spans, noted.map(|noted| noted.end).max(follows), &mut missing);
        let durable_to = self.proved_to();
        let durable = missing.into_iter().map(|seqs| seqs.start..seqs.end.min(durable_to));
        durable.filter(|seqs| !seqs.is_empty()).collect()
    }

    /// Everything in the row before this seq was durable, as the file and its index prove.
    fn proved_to(&self) -> u64 {
        self.durable_to().max(self.noted.as_ref().map_or(0, |noted| noted.end))
    }

    /// What must have been in the volume: what is owed, and what is lost. It says the same of a volume that has nothing but
    /// the former.
    pub(super) fn inventory(&self, follows: Option<u64>) -> Inventory {
        let begin = self.noted.as_ref().map(|noted| noted.begin).or(follows).unwrap_or_default();
        // Behind a settled block of unknown length a gap can't be told from the block.
        let knows_lengths = self.settled.values().all(|events| *events > 0);
        let end = if knows_lengths { self.proved_to() } else { self.proved_to().max(self.next_seq) };
        let owed = self.pending().into_iter().map(|(entry, _)| entry).filter(|entry| entry.seq < end);
        let lost = self.lost(follows).into_iter().map(|seqs| {
            let events = u32::try_from(seqs.end - seqs.start).unwrap_or(u32::MAX);
            let nameless =
                BlockEntry { seq: seqs.start, events, text_bytes: 0, since: 0, from_intake: false };
            let is_it = |entry: &&BlockEntry| (entry.seq, entry.events) == (seqs.start, events);
            let noted = self.noted.iter().flat_map(|noted| &noted.blocks).find(is_it);
            noted.copied().unwrap_or(nameless)
        });
        let mut blocks: Vec<BlockEntry> = owed.chain(lost).collect();
        blocks.sort_unstable_by_key(|entry| entry.seq);
        Inventory { begin, blocks, end }
    }

    /// Whether nothing of the file is known to be damaged.
    pub(super) fn is_whole(&self) -> bool {
        self.unreadable_bytes == 0 && self.lost_events() == 0
    }

    /// Complete blocks that are owed, and that this volume knows nothing of.
    pub(super) fn missing_from<V: Volume>(&self, volume: &OpenVolume<V>) -> Vec<(BlockEntry, StoredBlock)> {
        let is_known =
            |seq: u64| volume.owes(seq) || volume.has_settled(seq) || self.settled.contains_key(&seq);
        // Whatever is known is not unpacked: that is nearly always all of it.
        let unknown = self.blocks.iter().filter(|(seq, _)| !is_known(**seq));
        unknown.filter_map(|(_, parts)| complete(parts)).collect()
    }

    /// How many blocks this volume owes and does not give out.
    pub(super) fn unreadable_in<V: Volume>(&self, volume: &OpenVolume<V>) -> usize {
        volume.pending().filter(|entry| !self.is_readable_in(volume, entry.seq)).count()
    }

    /// Whether the store gives out the block at `seq`. Where its bytes are those of the file, which the scan has found
    /// intact, there is no need to unpack it.
    fn is_readable_in<V: Volume>(&self, volume: &OpenVolume<V>, seq: u64) -> bool {
        let is_as_found = |stored: &StoredBlock| {
            self.blocks.get(&seq).is_some_and(|parts| parts.frames().eq(stored.iter()))
        };
        volume.stored(seq).is_ok_and(|stored| is_as_found(&stored) || frame::decode_block(&stored).is_ok())
    }
}

/// The parts of a block, in order. Nearly always it is one, and thousands of blocks are in memory at a time.
#[derive(Debug, Default)]
struct Parts(Vec<(u16, Vec<u8>)>);

impl Parts {
    /// Keeps a part, unless it was found before.
    fn keep(&mut self, part: u16, frame: &[u8]) {
        if let Err(at) = self.0.binary_search_by_key(&part, |(part, _)| *part) {
            self.0.reserve_exact(1);
            self.0.insert(at, (part, frame.to_vec()));
        }
    }

    fn frames(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.iter().map(|(_, frame)| frame)
    }

    fn into_stored(self) -> StoredBlock {
        self.0.into_iter().map(|(_, frame)| frame).collect()
    }
}

fn complete(parts: &Parts) -> Option<(BlockEntry, StoredBlock)> {
    let stored: StoredBlock = parts.frames().cloned().collect();
    let (header, block) = frame::decode_block(&stored).ok()?;
    let entry = BlockEntry::of(&header, block.text_bytes() as u64);
    Some((entry, stored))
}

/// What any part of a block says of it.
fn header_of(parts: &Parts) -> Option<frame::Header> {
    parts.frames().next().and_then(|frame| frame::read_header(frame).ok())
}

fn events_of(parts: &Parts) -> u64 {
    header_of(parts).map_or(0, |header| u64::from(header.events))
}

/// Finds every intact frame in a volume's file, past the places that can't be read.
///
/// # Errors
/// When nothing of the file can be read.
pub(in crate::journal) fn scan_volume(file: impl RawFile) -> io::Result<Found> {
    let mut file = PastBadSectors::new(file);
    let found = scan_file(&mut file)?;
    Ok(Found { unreadable_bytes: file.unreadable_bytes(), ..found })
}

/// Finds every block and every settlement that lies intact in a volume's file.
///
/// # Errors
/// When the file can't be read.
pub(in crate::journal) fn scan_file(file: impl Read) -> io::Result<Found> {
    let mut found = Found::default();
    let newer_format = scan_frames(file, &mut |header, frame| found.take(frame, header))?;
    Ok(Found { newer_format, ..found })
}

/// The seqs of the blocks that a scan of these bytes finds whole.
#[cfg(test)]
pub(in crate::journal) fn intact_blocks(bytes: &[u8]) -> BTreeSet<u64> {
    let found = scan_file(bytes).unwrap_or_default();
    found.pending().iter().map(|(entry, _)| entry.seq).collect()
}
