//! What the writer does for one who looks back: it tells which volumes there are, opens the files of those at rest, and
//! shows what lies in those that are open, a slice at a time.

use std::fmt;

use tokio::sync::oneshot;

use super::committer::Committer;
use super::frame::{RowName, read_header};
use super::open_volume::{OpenVolume, StoredBlock};
use super::row::Row;
use super::store::{RawFile, Store, StoreError, Volume, VolumeId};
use super::volume_index::VolumeIndex;

/// Blocks in one slice of an open volume. Others wait meanwhile, a millisecond or two.
const SLICE_BLOCKS_MAX: usize = 512;
/// Frames in one slice, in bytes.
const SLICE_BYTES_MAX: usize = 512 << 10;

/// What the writer is asked by one who looks back. Whoever asks waits for the answer before asking more.
#[derive(Debug)]
pub(super) enum LookOrder {
    /// Which volumes a row has, oldest first.
    Volumes { row: RowName, answer: oneshot::Sender<Vec<VolumeId>> },
    /// Show a volume: if it is open, from the block at `from` on.
    Show { id: VolumeId, from: u64, answer: oneshot::Sender<Shown> },
}

/// What there is to see of a volume.
pub(super) enum Shown {
    /// It is open: some of its blocks, and where the next ones begin.
    Open { blocks: Vec<ShownBlock>, next: Option<u64> },
    /// It is not; its file, and whether nothing in it is owed any more.
    AtRest { file: Box<dyn RawFile>, is_settled: bool },
    /// It can't be had (any more).
    Gone,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { blocks, next } => {
                f.debug_struct("Open").field("blocks", &blocks.len()).field("next", next).finish()
            }
            Self::AtRest { is_settled, .. } => {
                f.debug_struct("AtRest").field("is_settled", is_settled).finish_non_exhaustive()
            }
            Self::Gone => f.write_str("Gone"),
        }
    }
}

/// A block of an open volume.
#[derive(Debug, Default)]
pub(super) struct ShownBlock {
    /// Its frames; none where they can't be read.
    pub(super) stored: StoredBlock,
    /// The frame of its settlement, if it is settled.
    pub(super) settlement: Option<Vec<u8>>,
}

impl<S: Store> Committer<S> {
    /// Answers one who looks back. What can't be read is shown as gone: that alone is no reason for the journal to stop.
    pub(super) fn look(&self, order: LookOrder) {
        match order {
            LookOrder::Volumes { row, answer } => drop(answer.send(self.row(row).volumes(row))),
            LookOrder::Show { id, from, answer } => drop(answer.send(self.row(id.row).show_volume(id, from))),
        }
    }
}

impl<S: Store> Row<S> {
    fn volumes(&self, row: RowName) -> Vec<VolumeId> {
        let numbers = self.store.list(row).unwrap_or_else(|error| {
            tracing::error!(row = row.as_str(), %error, "the volumes of a row can't be listed");
            Vec::new()
        });
        numbers.into_iter().map(|number| self.id(number)).collect()
    }

    fn show_volume(&self, id: VolumeId, from: u64) -> Shown {
        if let Some(volume) = self.open.get(&id.number) {
            return volume.slice(from);
        }
        let at_rest = || {
            let index = self.store.read_index(id)?.as_deref().and_then(VolumeIndex::decode);
            let is_settled = matches!(index, Some(VolumeIndex::Settled(_)));
            Ok::<_, StoreError>(Shown::AtRest { file: self.store.raw(id)?, is_settled })
        };
        at_rest().unwrap_or_else(|error| {
            tracing::warn!(volume = %id, %error, "a volume can't be looked into");
            Shown::Gone
        })
    }
}

impl<V: Volume> OpenVolume<V> {
    fn slice(&self, from: u64) -> Shown {
        let (mut blocks, mut bytes, mut next) = (Vec::new(), 0, self.block_from(from));
        while let Some(seq) = next {
            if blocks.len() >= SLICE_BLOCKS_MAX || bytes >= SLICE_BYTES_MAX {
                break;
            }
            let block = self.look(seq).unwrap_or_else(|error| {
                tracing::error!(volume = %self.id(), seq, %error, "a block can't be read");
                ShownBlock::default()
            });
            bytes += block.stored.iter().chain(&block.settlement).map(Vec::len).sum::<usize>();
            blocks.push(block);
            next = self.block_from(seq + 1);
        }
        Shown::Open { blocks, next }
    }

    fn look(&self, seq: u64) -> Result<ShownBlock, StoreError> {
        let settlement = self.settlement(seq)?;
        let Some(first) = self.part(seq, 0)? else {
            return Ok(ShownBlock { stored: Vec::new(), settlement });
        };
        let parts = read_header(&first).map_or(1, |header| header.parts);
        let mut stored = vec![first];
        for part in 1..parts {
            stored.extend(self.part(seq, part)?);
        }
        Ok(ShownBlock { stored, settlement })
    }
}
