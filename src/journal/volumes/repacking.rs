//! Rewriting closed volumes of small blocks: what came one by one is joined into full blocks.
//!
//! A block of one event costs the disk more than a kilobyte, nearly all of it the store's own. So a closed volume that
//! nobody reads yet is copied: its blocks, joined, go into a fresh volume beside it, which is read back and compared, and
//! then takes its place. Every event keeps its seq, its time and the road it came by.
//!
//! This happens on a thread of its own. Cut short at any step, either the old volume is in its place or the whole new
//! one is put there at the next start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use super::block_builder::{BLOCK_EVENTS_MAX, BLOCK_TEXT_BYTES_MAX, BlockBuilder};
use super::found::scan_volume;
use super::open_volume::OpenVolume;
use crate::journal::consumer::Block;
use crate::journal::disk::{Store, StoreError, VolumeId, trim_memory};
use crate::journal::format::{BlockEntry, Inventory, VolumeIndex};
use crate::journal::source::Source;

/// A volume is rewritten if it has this many times as many blocks as it needs.
const GAIN_MIN: u64 = 4;

/// Whether so many events are worth rewriting when they lie in so many blocks.
pub(super) fn is_worthwhile(blocks: u64, events: u64, text_bytes: u64) -> bool {
    let by_count = events.div_ceil(BLOCK_EVENTS_MAX as u64);
    let by_bytes = text_bytes.div_ceil(BLOCK_TEXT_BYTES_MAX as u64);
    blocks >= by_count.max(by_bytes).max(1) * GAIN_MIN
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repacked {
    /// The volume has so many blocks now, and takes so much of the disk.
    Done { blocks: u64, disk_bytes: u64 },
    /// The volume is as it was.
    Left,
}

/// What the thread that rewrites and the one who waits for it tell each other.
#[derive(Debug, Default)]
struct Signs {
    stop: AtomicBool,
    /// The volume is being rewritten, no other one.
    begun: AtomicBool,
}

/// A volume to rewrite.
#[derive(Debug)]
pub(super) struct Job {
    id: VolumeId,
    signs: Arc<Signs>,
    ended: SyncSender<Result<Repacked, StoreError>>,
}

/// A volume that is being rewritten. Dropped, it is left as it is unless the copy is about to take its place.
#[derive(Debug)]
pub(super) struct Repacking {
    number: u32,
    signs: Arc<Signs>,
    end: Receiver<Result<Repacked, StoreError>>,
}

impl Repacking {
    /// A volume that will be rewritten, and the job for the thread that does it.
    pub(super) fn of(id: VolumeId) -> (Self, Job) {
        let signs = Arc::<Signs>::default();
        let (ended, end) = std::sync::mpsc::sync_channel(1);
        (Self { number: id.number, signs: Arc::clone(&signs), end }, Job { id, signs, ended })
    }

    /// Which volume of its row.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// What came of it; `None` while it goes on.
    pub(super) fn poll(&self) -> Option<Result<Repacked, StoreError>> {
        match self.end.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Ok(Repacked::Left)),
        }
    }

    /// Wants the volume back: gives the rewriting up, or waits for the last moment of it. One that has not begun, because
    /// another volume has its turn, is not waited for.
    pub(super) fn give_up(self) -> Result<Repacked, StoreError> {
        self.signs.stop.store(true, Ordering::SeqCst);
        if !self.signs.begun.load(Ordering::SeqCst) {
            // Whenever its turn comes, it sees the sign first.
            return Ok(Repacked::Left);
        }
        self.end.recv().unwrap_or(Ok(Repacked::Left))
    }
}

impl Drop for Repacking {
    fn drop(&mut self) {
        self.signs.stop.store(true, Ordering::SeqCst);
    }
}

/// Rewrites one volume after the other.
pub(super) fn work<S: Store>(store: &Arc<S>, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        job.signs.begun.store(true, Ordering::SeqCst);
        if job.signs.stop.load(Ordering::SeqCst) {
            // The volume may be in use.
            continue;
        }
        let result = repack(store.as_ref(), job.id, &job.signs.stop);
        trim_memory();
        // Whoever closes the journal meanwhile no longer wants to know.
        drop(job.ended.send(result));
    }
}

/// Rewrites a closed volume with an index.
///
/// # Errors
/// When the copy could not be put into the volume's place. The journal must stop then; the next start puts it there.
pub(super) fn repack<S: Store>(store: &S, id: VolumeId, stop: &AtomicBool) -> Result<Repacked, StoreError> {
    let ready = copy(store, id, stop).and_then(|copied| {
        let Some(Copied { begin, originals, blocks }) = copied else { return Ok(None) };
        // It holds for the volume and for its copy, whichever a crash leaves in the place: the events are the same.
        let end = originals.last().map_or(begin, |last| last.seq + u64::from(last.events));
        let either = VolumeIndex::Open(Inventory { begin, blocks: originals, end });
        store.write_index(id, &either.encode())?;
        Ok(Some((begin, blocks)))
    });
    let (begin, blocks) = match ready {
        Ok(Some(ready)) => ready,
        Ok(None) => return Ok(left(store, id)),
        Err(error) => {
            // Nothing relies on the copy. Damage is dealt with when the volume is read.
            tracing::warn!(volume = %id, %error, "a volume of small blocks could not be rewritten; it stays as it is");
            return Ok(left(store, id));
        }
    };
    store.swap(id)?;
    let count = blocks.len() as u64;
    store.write_index(id, &VolumeIndex::Pending { begin, blocks }.encode())?;
    Ok(Repacked::Done { blocks: count, disk_bytes: store.disk_bytes(id) })
}

/// Takes away what was copied so far.
fn left<S: Store>(store: &S, id: VolumeId) -> Repacked {
    // The copy is swept at the next start too.
    drop(store.remove(id.aside()));
    Repacked::Left
}

/// What was copied.
struct Copied {
    /// The seq that the volume began with.
    begin: u64,
    /// Its blocks.
    originals: Vec<BlockEntry>,
    /// Those of the copy.
    blocks: Vec<BlockEntry>,
}

/// Fills the copy and proves that it holds what the volume holds; `None` when told to stop.
fn copy<S: Store>(store: &S, id: VolumeId, stop: &AtomicBool) -> Result<Option<Copied>, StoreError> {
    let Some(VolumeIndex::Pending { begin, blocks: originals }) =
        store.read_index(id)?.as_deref().and_then(VolumeIndex::decode)
    else {
        return Ok(None);
    };
    let first_seq = originals.first().map_or(0, |entry| entry.seq);
    let mut found = scan_volume(store.raw(id)?)?;
    if found.block_seqs().len() != originals.len() {
        // Some of it is settled, and kept so that it can be explained and sent again.
        return Ok(None);
    }
    let mut copy = OpenVolume::new(id.aside(), store.create(id.aside())?);
    copy.begin(first_seq)?;
    let mut builder = BlockBuilder::new(id.row, 0, first_seq);
    let mut original = Digest::default();
    for entry in &originals {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let block = found.take_block(entry.seq).ok_or_else(|| missing(id, entry))?;
        original.see(&block);
        builder.push_stored(&block);
        copy.write(&builder.take_full(), &[])?;
    }
    copy.write(&builder.finish(), &[])?;
    copy.sync()?;
    let blocks: Vec<BlockEntry> = copy.pending().copied().collect();
    drop(copy);
    let mut found = scan_volume(store.raw(id.aside())?)?;
    let mut copied = Digest::default();
    for entry in &blocks {
        copied.see(&found.take_block(entry.seq).ok_or_else(|| missing(id.aside(), entry))?);
    }
    if copied != original {
        return Err(StoreError::Damaged(id.aside(), "the copy is not what was copied".to_owned()));
    }
    Ok((!stop.load(Ordering::Relaxed)).then_some(Copied { begin, originals, blocks }))
}

fn missing(id: VolumeId, entry: &BlockEntry) -> StoreError {
    StoreError::Damaged(id, format!("block {} is not whole", entry.seq))
}

/// Everything that is to be the same of the events of two volumes, however they are cut into blocks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Digest {
    events: u64,
    checksum: u32,
}

impl Digest {
    fn see(&mut self, block: &Block) {
        for (position, seq) in (0..block.len()).zip(block.id().seq..) {
            let text = block.event(position).unwrap_or_default();
            let mut add = |bytes: &[u8]| self.checksum = crc32c::crc32c_append(self.checksum, bytes);
            add(&seq.to_le_bytes());
            add(&block.accepted_at(position).to_le_bytes());
            add(&[Source::code(block.source(position))]);
            add(&(text.len() as u64).to_le_bytes());
            add(text);
            self.events += 1;
        }
    }
}
