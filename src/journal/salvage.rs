//! Opening a volume without trusting the store: every intact block that lies in its file comes out of it.
//!
//! sled takes damage for a torn tail and then forgets, or overwrites, what lies behind it; or it panics; or it hangs.
//! So the file is scanned for frames before sled sees it. A volume that does not open, or opens with less than was
//! found, is put into quarantine, never deleted, and a fresh one is made of what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use bytes::Bytes;

use super::consumer::Block;
use super::frame::{self, Kind, STORED_BYTES_MAX};
use super::open_volume::{OpenVolume, StoredBlock};
use super::store::{Store, StoreError, VolumeId};
use super::volume_index::BlockEntry;

/// An open that takes longer counts as damage: an intact volume takes milliseconds.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// What is read of the file at a time; frames are far smaller.
const WINDOW_BYTES: usize = 1 << 20;

/// Opens a volume and proves that nothing in its file is missing from it; salvages it otherwise.
///
/// # Errors
/// When the file can't be read, the disk refuses, or a newer sledge wrote it.
pub(super) fn open_verified<S: Store>(
    store: &Arc<S>,
    id: VolumeId,
) -> Result<OpenVolume<S::Volume>, StoreError> {
    let found = scan_file(store.raw(id)?)?;
    let reason = match open_guarded(store, id) {
        Ok(volume) => match found.missing_from(&volume) {
            None => return Ok(volume),
            Some(reason) => reason,
        },
        Err(StoreError::Damaged(_, reason)) => reason,
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
    let quarantine = store.replace(id)?;
    tracing::error!(
        volume = %id, reason, blocks = count, events, quarantine,
        "a volume is damaged: every intact pending block of it was salvaged into a fresh one, and the damaged one is kept for inspection"
    );
    open_guarded(store, id)
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
    settled: BTreeSet<u64>,
    next_seq: u64,
}

impl Found {
    fn take(&mut self, frame: &[u8], header: &frame::Header) {
        match header.kind {
            Kind::Settlement => {
                self.next_seq = self.next_seq.max(header.seq + 1);
                self.settled.insert(header.seq);
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
        let unsettled = self.blocks.iter().filter(|(seq, _)| !self.settled.contains(seq));
        unsettled.filter_map(|(_, parts)| complete(parts)).collect()
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

    /// Why this volume is not what lies in its file, or `None`.
    fn missing_from<V: super::store::Volume>(&self, volume: &OpenVolume<V>) -> Option<String> {
        let known = |seq: &u64| volume.owes(*seq) || volume.has_settled(*seq);
        let missing =
            self.blocks.iter().filter(|(seq, parts)| !known(seq) && complete(parts).is_some()).count();
        if missing > 0 {
            return Some(format!("the store has lost {missing} blocks that lie intact in its file"));
        }
        let unreadable = volume.pending().filter(|entry| !self.is_readable_in(volume, entry.seq)).count();
        (unreadable > 0).then(|| format!("{unreadable} blocks can't be read through the store"))
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

/// Finds every block and every settlement that lies intact in a volume's file.
///
/// # Errors
/// When the file can't be read.
pub(super) fn scan_file(file: impl Read) -> io::Result<Found> {
    let mut found = Found::default();
    scan_frames(file, &mut |header, frame| found.take(frame, header))?;
    Ok(found)
}

/// Shows every intact frame in a volume's file, in windows that overlap by the largest frame. Frames come in the order
/// in which they lie there, some of them more than once.
///
/// # Errors
/// When the file can't be read.
pub(super) fn scan_frames(mut file: impl Read, see: &mut dyn FnMut(&frame::Header, &[u8])) -> io::Result<()> {
    let mut window = Vec::with_capacity(WINDOW_BYTES + STORED_BYTES_MAX);
    loop {
        let is_last = fill(&mut file, &mut window)?;
        // A frame that begins here may end in the next window.
        let safe = if is_last { window.len() } else { window.len().saturating_sub(STORED_BYTES_MAX) };
        let mut at = 0;
        while let Some(start) = frame::find_magic(&window, at).filter(|start| *start < safe) {
            let candidate = window.get(start..).unwrap_or_default();
            at = match frame::decode_frame(candidate) {
                Ok((header, body)) => {
                    let end = frame::HEADER_BYTES + body.len();
                    see(&header, candidate.get(..end).unwrap_or_default());
                    // Past its end: a text may hold the picture of a frame.
                    start + end
                }
                Err(_) => start + 1,
            };
        }
        if is_last {
            return Ok(());
        }
        window.drain(..safe.max(at).min(window.len()));
    }
}

/// Fills the window; `true` when the file has ended.
fn fill(file: &mut impl Read, window: &mut Vec<u8>) -> io::Result<bool> {
    let mut start = window.len();
    window.resize(start.max(STORED_BYTES_MAX) + WINDOW_BYTES, 0);
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
