//! Opening a volume without trusting the store: every intact block that lies in its file comes out of it.
//!
//! sled takes damage for a torn tail and then forgets, or overwrites, what lies behind it; or it panics; or it hangs.
//! So the file is scanned for frames before sled sees it, past every sector that can't be read. A volume that does not
//! open, or opens with less than was found, is put into quarantine, never deleted, and a fresh one is made of what was
//! found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use bytes::Bytes;

use super::bad_sectors::PastBadSectors;
use super::consumer::Block;
use super::continuity::{Span, lost_of, walk};
use super::frame::{self, FrameError, Kind, STORED_BYTES_EVER};
use super::open_volume::{OpenVolume, StoredBlock};
use super::store::{RawFile, Store, StoreError, VolumeId};
use super::volume_index::{BlockEntry, Inventory, VolumeIndex};

/// An open that takes longer counts as damage: an intact volume takes milliseconds.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// What is read of the file at a time; frames are far smaller.
const WINDOW_BYTES: usize = 256 << 10;

/// What became of the damaged volumes of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Salvaged {
    /// Pending events that were intact, and are in their successors.
    pub(super) events: u64,
    /// Events that are gone, as far as the seqs around them tell: what of them had been delivered, and its settlement lost
    /// too, can't be told.
    pub(super) lost_events: u64,
}

/// Opens a volume and proves that nothing in its file is missing from it; salvages it otherwise.
///
/// # Errors
/// When the folder can't be reached, the disk refuses, or a newer sledge wrote it.
pub(super) fn open_verified<S: Store>(
    store: &Arc<S>,
    id: VolumeId,
) -> Result<OpenVolume<S::Volume>, StoreError> {
    let found = scan_at_rest(store.as_ref(), id)?;
    open_as_found(store, id, &found, None)
}

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

/// Opens a volume that was just scanned, and proves that nothing of what was found is missing from it; salvages it
/// otherwise. `follows` is the seq that comes after the volume before it, where that is known.
///
/// # Errors
/// When the folder can't be reached, or the disk refuses.
pub(super) fn open_as_found<S: Store>(
    store: &Arc<S>,
    id: VolumeId,
    found: &Found,
    follows: Option<u64>,
) -> Result<OpenVolume<S::Volume>, StoreError> {
    let reason = match open_guarded(store, id) {
        Ok(mut volume) => {
            volume.settle_as_found(found.settled.keys());
            match (found.unreadable_in(&volume), found.missing_from(&volume)) {
                (0, missing) if missing.is_empty() => return Ok(volume),
                // A power cut may leave a whole block behind that the store had not come to count yet. That is no damage.
                (0, missing) if found.is_whole() => {
                    tracing::info!(volume = %id, blocks = missing.len(), "blocks that were not counted yet are taken in");
                    missing.into_iter().try_for_each(|block| volume.write(&[block], &[]))?;
                    volume.sync()?;
                    return Ok(volume);
                }
                (0, missing) => {
                    format!("the store has lost {} blocks that lie intact in its file", missing.len())
                }
                (unreadable, _) => format!("{unreadable} blocks can't be read through the store"),
            }
        }
        Err(StoreError::Damaged(_, reason)) => reason,
        // The store met what the scan went past.
        Err(StoreError::Io(reason)) if found.unreadable_bytes > 0 => reason,
        Err(error) => return Err(error),
    };
    // Filled beside the damaged one, and put in its place only when it is whole: a salvage that is cut short begins anew.
    let mut fresh = OpenVolume::new(id.aside(), store.create(id.aside())?);
    fresh.begin(found.next_seq)?;
    let blocks = found.pending();
    let events: u64 = blocks.iter().map(|(entry, _)| u64::from(entry.events)).sum();
    let count = blocks.len();
    for (entry, stored) in blocks {
        fresh.write(&[(entry, stored)], &[])?;
    }
    fresh.sync()?;
    drop(fresh);
    // The fresh one does not tell what was lost, nor what was settled: where whoever salvages dies before the loss is told,
    // the next start finds it here.
    store.write_index(id, &VolumeIndex::Open(found.inventory(follows)).encode())?;
    let quarantine = store.replace(id)?;
    tracing::error!(
        volume = %id, reason, blocks = count, events, lost_events = found.lost_events(),
        unreadable_bytes = found.unreadable_bytes, quarantine,
        "a volume is damaged: every intact pending block of it was salvaged into a fresh one, and the damaged one is kept for inspection"
    );
    Ok(open_guarded(store, id)?.out_of_salvage(events))
}

/// Opens and reads a volume on a thread of its own, where a panic or a hang is only damage.
fn open_guarded<S: Store>(store: &Arc<S>, id: VolumeId) -> Result<OpenVolume<S::Volume>, StoreError> {
    let (opened, opening) = sync_channel(1);
    let store = Arc::clone(store);
    std::thread::Builder::new().name("journal-open".into()).spawn(move || {
        let open = || OpenVolume::load(id, store.open(id)?);
        let result = catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
            Err(StoreError::Damaged(id, "the store panicked while it was opened".into()))
        });
        // After the time limit nobody listens any more.
        drop(opened.send(result));
    })?;
    match opening.recv_timeout(OPEN_TIMEOUT) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            Err(StoreError::Damaged(id, format!("it did not open within {} s", OPEN_TIMEOUT.as_secs())))
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(StoreError::Damaged(id, "the store ended while it was opened".into()))
        }
    }
}

/// What a raw scan found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Parts of blocks by seq; a block is complete when all its parts are there.
    blocks: BTreeMap<u64, BTreeMap<u16, Vec<u8>>>,
    /// The settled blocks by seq, with their events; 0 where that is not known.
    settled: BTreeMap<u64, u64>,
    next_seq: u64,
    /// What of the file could not be read.
    pub(super) unreadable_bytes: u64,
    /// A newer sledge wrote into it, in this format.
    newer_format: Option<u8>,
    /// What must be in it, where an index tells.
    noted: Option<Inventory>,
}

impl Found {
    pub(super) fn take(&mut self, frame: &[u8], header: &frame::Header) {
        match header.kind {
            Kind::Settlement => {
                self.next_seq = self.next_seq.max(header.seq.saturating_add(header.due.max(1)));
                self.settled.insert(header.seq, header.due);
            }
            Kind::Block => {
                self.next_seq = self.next_seq.max(header.seq + u64::from(header.events));
                let parts = self.blocks.entry(header.seq).or_default();
                parts.entry(header.part).or_insert_with(|| frame.to_vec());
            }
        }
    }

    /// Every complete block without a settlement.
    pub(super) fn pending(&self) -> Vec<(BlockEntry, StoredBlock)> {
        let unsettled = self.blocks.iter().filter(|(seq, _)| !self.settled.contains_key(seq));
        unsettled.filter_map(|(_, parts)| complete(parts)).collect()
    }

    /// Takes the block at `seq` out, if it is whole.
    pub(super) fn take_block(&mut self, seq: u64) -> Option<Block> {
        let parts = self.blocks.remove(&seq)?;
        let stored: StoredBlock = parts.into_values().collect();
        frame::decode_block(&stored).ok().map(|(_, block)| block)
    }

    /// The blocks of which something was found, by seq and checksum: the same in every copy.
    pub(super) fn block_names(&self) -> BTreeSet<(u64, u32)> {
        let checksum = |parts: &BTreeMap<u16, Vec<u8>>| {
            parts.values().fold(0, |checksum, frame| crc32c::crc32c_append(checksum, frame))
        };
        self.blocks.iter().map(|(seq, parts)| (*seq, checksum(parts))).collect()
    }

    /// The seqs of all blocks of which something was found.
    pub(super) fn block_seqs(&self) -> Vec<u64> {
        self.blocks.keys().copied().collect()
    }

    /// The events of complete blocks, settled or not, the latest blocks first: at most so many.
    pub(super) fn latest_texts(&self, events_max: usize) -> Vec<Bytes> {
        let blocks = self.blocks.values().rev().filter_map(|parts| {
            let stored: StoredBlock = parts.values().cloned().collect();
            frame::decode_block(&stored).ok()
        });
        let texts = |block: Block| {
            (0..block.len()).filter_map(|at| block.event(at).map(Bytes::copy_from_slice)).collect::<Vec<_>>()
        };
        blocks.flat_map(|(_, block)| texts(block)).take(events_max).collect()
    }

    /// How many complete blocks there are.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.values().filter(|parts| complete(parts).is_some()).count()
    }

    /// Above every seq found.
    pub(super) fn next_seq(&self) -> u64 {
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
        let begins_a_group =
            |parts: &BTreeMap<u16, Vec<u8>>| header_of(parts).is_some_and(|header| !header.goes_on);
        let groups = self.blocks.iter().filter(|(_, parts)| begins_a_group(parts)).map(|(seq, _)| *seq);
        let settled = self.settled.iter().map(|(seq, events)| seq.saturating_add(*events));
        groups.chain(settled).max().unwrap_or_default()
    }

    /// It was found where this must be.
    pub(super) fn note(&mut self, noted: Option<Inventory>) {
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
    fn inventory(&self, follows: Option<u64>) -> Inventory {
        let begin = self.noted.as_ref().map(|noted| noted.begin).or(follows).unwrap_or_default();
        // Behind a settled block of unknown length a gap can't be told from the block.
        let knows_lengths = self.settled.values().all(|events| *events > 0);
        let end = if knows_lengths { self.proved_to() } else { self.proved_to().max(self.next_seq) };
        let owed = self.pending().into_iter().map(|(entry, _)| entry).filter(|entry| entry.seq < end);
        let lost = self.lost(follows).into_iter().map(|seqs| BlockEntry {
            seq: seqs.start,
            events: u32::try_from(seqs.end - seqs.start).unwrap_or(u32::MAX),
            text_bytes: 0,
            since: 0,
            from_intake: false,
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
    fn missing_from<V: super::store::Volume>(
        &self,
        volume: &OpenVolume<V>,
    ) -> Vec<(BlockEntry, StoredBlock)> {
        let is_known =
            |seq: u64| volume.owes(seq) || volume.has_settled(seq) || self.settled.contains_key(&seq);
        // Whatever is known is not unpacked: that is nearly always all of it.
        let unknown = self.blocks.iter().filter(|(seq, _)| !is_known(**seq));
        unknown.filter_map(|(_, parts)| complete(parts)).collect()
    }

    /// How many blocks this volume owes and does not give out.
    fn unreadable_in<V: super::store::Volume>(&self, volume: &OpenVolume<V>) -> usize {
        volume.pending().filter(|entry| !self.is_readable_in(volume, entry.seq)).count()
    }

    /// Whether the store gives out the block at `seq`. Where its bytes are those of the file, which the scan has found
    /// intact, there is no need to unpack it.
    fn is_readable_in<V: super::store::Volume>(&self, volume: &OpenVolume<V>, seq: u64) -> bool {
        let is_as_found = |stored: &StoredBlock| {
            self.blocks.get(&seq).is_some_and(|parts| parts.values().eq(stored.iter()))
        };
        volume.stored(seq).is_ok_and(|stored| is_as_found(&stored) || frame::decode_block(&stored).is_ok())
    }
}

fn complete(parts: &BTreeMap<u16, Vec<u8>>) -> Option<(BlockEntry, StoredBlock)> {
    let stored: StoredBlock = parts.values().cloned().collect();
    let (header, block) = frame::decode_block(&stored).ok()?;
    let entry = BlockEntry {
        seq: header.seq,
        events: header.events,
        text_bytes: u32::try_from(block.text_bytes()).unwrap_or(u32::MAX),
        since: header.accepted.max(header.due),
        from_intake: header.from_intake,
    };
    Some((entry, stored))
}

/// What any part of a block says of it.
fn header_of(parts: &BTreeMap<u16, Vec<u8>>) -> Option<frame::Header> {
    parts.values().next().and_then(|frame| frame::read_header(frame).ok())
}

fn events_of(parts: &BTreeMap<u16, Vec<u8>>) -> u64 {
    header_of(parts).map_or(0, |header| u64::from(header.events))
}

/// Finds every intact frame in a volume's file, past the places that can't be read.
///
/// # Errors
/// When nothing of the file can be read.
pub(super) fn scan_volume(file: impl RawFile) -> io::Result<Found> {
    let mut file = PastBadSectors::new(file);
    let found = scan_file(&mut file)?;
    Ok(Found { unreadable_bytes: file.unreadable_bytes(), ..found })
}

/// Shows every intact frame in a file, past the places that can't be read, and says how many bytes these are.
///
/// # Errors
/// When nothing of the file can be read.
pub(super) fn scan_past_damage(
    file: impl RawFile,
    see: &mut dyn FnMut(&frame::Header, &[u8]),
) -> io::Result<u64> {
    let mut file = PastBadSectors::new(file);
    scan_frames(&mut file, see)?;
    Ok(file.unreadable_bytes())
}

/// Finds every block and every settlement that lies intact in a volume's file.
///
/// # Errors
/// When the file can't be read.
pub(super) fn scan_file(file: impl Read) -> io::Result<Found> {
    let mut found = Found::default();
    let newer_format = scan_frames(file, &mut |header, frame| found.take(frame, header))?;
    Ok(Found { newer_format, ..found })
}

/// Shows every intact frame in a volume's file, in windows that overlap by the largest frame. Frames come in the order
/// in which they lie there, some of them more than once. Says which newer format it came across, if any.
///
/// # Errors
/// When the file can't be read.
pub(super) fn scan_frames(
    file: impl Read,
    see: &mut dyn FnMut(&frame::Header, &[u8]),
) -> io::Result<Option<u8>> {
    scan_places(file, &mut Vec::new(), &mut |_, header, frame| see(header, frame))
}

/// The same, and says of each frame where in the file it begins. Whoever scans many files gives the same window each time.
///
/// # Errors
/// When the file can't be read.
pub(super) fn scan_places(
    mut file: impl Read,
    window: &mut Vec<u8>,
    see: &mut dyn FnMut(u64, &frame::Header, &[u8]),
) -> io::Result<Option<u8>> {
    let (mut newer_format, mut window_at) = (None, 0_u64);
    window.clear();
    window.reserve(WINDOW_BYTES + STORED_BYTES_EVER);
    loop {
        let is_last = fill(&mut file, window)?;
        // A frame that begins here may end in the next window.
        let safe = if is_last { window.len() } else { window.len().saturating_sub(STORED_BYTES_EVER) };
        let mut at = 0;
        while let Some(start) = frame::find_magic(window, at).filter(|start| *start < safe) {
            let candidate = window.get(start..).unwrap_or_default();
            at = match frame::decode_frame(candidate) {
                Ok((header, body)) => {
                    let end = frame::HEADER_BYTES + body.len();
                    see(window_at + start as u64, &header, candidate.get(..end).unwrap_or_default());
                    // Past its end: a text may hold the picture of a frame.
                    start + end
                }
                Err(FrameError::NewerFormat(format)) => {
                    newer_format = newer_format.max(Some(format));
                    start + 1
                }
                Err(FrameError::NotAFrame | FrameError::Damaged) => start + 1,
            };
        }
        if is_last {
            return Ok(newer_format);
        }
        let done = safe.max(at).min(window.len());
        window_at += done as u64;
        window.drain(..done);
    }
}

/// Fills the window; `true` when the file has ended.
fn fill(file: &mut impl Read, window: &mut Vec<u8>) -> io::Result<bool> {
    let mut start = window.len();
    window.resize(start.max(STORED_BYTES_EVER) + WINDOW_BYTES, 0);
    while let Some(space) = window.get_mut(start..).filter(|space| !space.is_empty()) {
        match file.read(space) {
            Ok(0) => {
                window.truncate(start);
                return Ok(true);
            }
            Ok(read) => start += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// The seqs of the blocks that a scan of these bytes finds whole.
#[cfg(test)]
pub(super) fn intact_blocks(bytes: &[u8]) -> BTreeSet<u64> {
    let found = scan_file(bytes).unwrap_or_default();
    found.pending().iter().map(|(entry, _)| entry.seq).collect()
}
