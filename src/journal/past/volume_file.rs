//! The file of a volume, looked through without being held in memory: where each frame begins is remembered, and what is in
//! it is read when it is asked for. A frame that was written over meanwhile counts as one that is not there.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use super::pace::Pace;
use crate::journal::disk::{PastBadSectors, RawFile, VolumeId};
use crate::journal::format::{Kind, decode_frame};
use crate::journal::volumes::scan_places;
use crate::journal::writer::{KnownBlock, ShownBlock};

/// Where a frame lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    len: u32,
    /// The events of its block.
    events: u32,
}

/// A volume's file, and where everything lies in it.
pub(in crate::journal) struct VolumeFile {
    file: Box<dyn RawFile>,
    /// By the seq of the block and the number of the part.
    blocks: BTreeMap<(u64, u16), Place>,
    settlements: BTreeMap<u64, Place>,
    /// Frames of settlements that wait to be written to it.
    waiting_settlements: BTreeMap<u64, Vec<u8>>,
}

impl VolumeFile {
    /// Looks through the file of this volume, past the places that can't be read, for as long as it `is_wanted`.
    pub(in crate::journal) fn scan(
        id: VolumeId,
        mut file: Box<dyn RawFile>,
        window: &mut Vec<u8>,
        pace: &Pace,
        is_wanted: &dyn Fn() -> bool,
    ) -> Self {
        let (mut blocks, mut settlements) = (BTreeMap::new(), BTreeMap::new());
        let pieces = WhileWanted { file: PastBadSectors::new(&mut file), is_wanted };
        let scanned = scan_places(pieces, window, &mut |at, header, frame| {
            pace.step();
            let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            let place = Place { at, len, events: header.events };
            match header.kind {
                Kind::Block => blocks.entry((header.seq, header.part)).or_insert(place),
                Kind::Settlement => settlements.entry(header.seq).or_insert(place),
            };
        });
        if let Err(error) = scanned {
            tracing::error!(volume = %id, %error, "a volume can't be read to its end");
        }
        Self { file, blocks, settlements, waiting_settlements: BTreeMap::new() }
    }

    /// These settlements of blocks in it wait to be written.
    pub(super) fn settle(&mut self, waiting: BTreeMap<u64, Vec<u8>>) {
        self.waiting_settlements = waiting;
    }

    /// The seqs of all blocks of which something was found, from `from` on.
    pub(in crate::journal) fn seqs_from(&self, from: u64) -> Vec<u64> {
        let mut seqs: Vec<u64> = self.blocks.range((from, 0)..).map(|((seq, _), _)| *seq).collect();
        seqs.dedup();
        seqs
    }

    /// The events of the blocks without a settlement.
    pub(super) fn pending_events(&self) -> u64 {
        let firsts = self.blocks.iter().filter(|((_, part), _)| *part == 0);
        let pending = firsts.filter(|((seq, _), _)| !self.settlements.contains_key(seq));
        pending.map(|(_, place)| u64::from(place.events)).sum()
    }

    /// Whether all that there is of this block was found.
    pub(super) fn has(&self, block: &KnownBlock) -> bool {
        self.blocks.contains_key(&(block.seq, 0))
            && (!block.is_settled || self.settlements.contains_key(&block.seq))
    }

    /// A block and its settlement, as far as they are there.
    pub(in crate::journal) fn show(&mut self, seq: u64) -> ShownBlock {
        let parts: Vec<(u16, Place)> =
            self.blocks.range((seq, 0)..=(seq, u16::MAX)).map(|((_, part), place)| (*part, *place)).collect();
        let stored = parts.into_iter().map_while(|(part, place)| self.frame(place, Kind::Block, seq, part));
        let stored = stored.collect();
        let settlement = self.settlements.get(&seq).copied();
        let settlement = settlement.and_then(|place| self.frame(place, Kind::Settlement, seq, 0));
        let settlement = settlement.or_else(|| self.waiting_settlements.get(&seq).cloned());
        ShownBlock { stored, settlement }
    }

    /// How many settlements there are of blocks from `from` on.
    pub(super) fn settled_from(&self, from: u64) -> u64 {
        self.settlements.range(from..).count() as u64
    }

    fn frame(&mut self, place: Place, kind: Kind, seq: u64, part: u16) -> Option<Vec<u8>> {
        self.file.seek(SeekFrom::Start(place.at)).ok()?;
        let mut frame = vec![0; place.len as usize];
        self.file.read_exact(&mut frame).ok()?;
        let (header, _) = decode_frame(&frame).ok()?;
        ((header.kind, header.seq, header.part) == (kind, seq, part)).then_some(frame)
    }
}

/// A file that ends where nobody wants more of it. A machine that is busy may take minutes to read one to its end.
struct WhileWanted<'a, R> {
    file: R,
    is_wanted: &'a dyn Fn() -> bool,
}

impl<R: Read> Read for WhileWanted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if (self.is_wanted)() { self.file.read(into) } else { Ok(0) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Cursor;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::journal::format::RowName;

    /// Counts what is read of it.
    struct Counted {
        file: Cursor<Vec<u8>>,
        read: Arc<AtomicU64>,
    }

    impl Read for Counted {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let read = self.file.read(into)?;
            self.read.fetch_add(read as u64, Ordering::Relaxed);
            Ok(read)
        }
    }

    impl Seek for Counted {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            self.file.seek(to)
        }
    }

    #[test]
    fn a_volume_that_nobody_wants_to_see_any_more_is_not_read_to_its_end() {
        let id = VolumeId { row: RowName::Usage, number: 1 };
        let len = 8 << 20;
        let read_when_wanted_for = |pieces: u32| {
            let read = Arc::<AtomicU64>::default();
            let file = Counted { file: Cursor::new(vec![0; len]), read: Arc::clone(&read) };
            let left = Cell::new(pieces);
            let is_wanted = || left.replace(left.get().saturating_sub(1)) > 0;
            VolumeFile::scan(id, Box::new(file), &mut Vec::new(), &Pace::make_way(), &is_wanted);
            read.load(Ordering::Relaxed)
        };
        assert_eq!(read_when_wanted_for(u32::MAX), len as u64);
        assert_eq!(read_when_wanted_for(0), 0);
        let some = read_when_wanted_for(2);
        assert!(some > 0 && some <= 1 << 20, "{some}");
    }
}
