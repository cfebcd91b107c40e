//! What the writer does for one who looks back: it tells which volumes there are, opens their files, and says of an open
//! one which blocks it has. Only what is not found in the file of an open one is read through the store, a few blocks at
//! a time: whoever takes events in does not wait for it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::sync::oneshot;

use super::committer::Committer;
use crate::journal::disk::{RawFile, Store, StoreError, Volume, VolumeId};
use crate::journal::format::{RowName, read_header};
use crate::journal::volumes::{OpenVolume, Row, StoredBlock};

/// Blocks that are read through the store in one go. Others wait meanwhile, a fraction of a millisecond.
pub(in crate::journal) const FETCH_BLOCKS_MAX: usize = 16;

/// A volume's file is away while another takes its place: for two renames, and for as long as the disk may take for them.
/// Whoever reads files looks so often, with such a pause in between.
pub(in crate::journal) const AWAY_LOOKS_MAX: u32 = 2_000;
pub(in crate::journal) const AWAY_PAUSE: Duration = Duration::from_millis(5);

/// What the writer is asked by one who looks back. Whoever asks waits for the answer before asking more.
#[derive(Debug)]
pub(in crate::journal) enum LookOrder {
    /// Which volumes a row has, oldest first.
    Volumes { row: RowName, answer: oneshot::Sender<Vec<VolumeId>> },
    /// Show a volume.
    Show { id: VolumeId, answer: oneshot::Sender<Shown> },
    /// Read these blocks of an open volume through the store, [`FETCH_BLOCKS_MAX`] at most; nothing comes back when it is
    /// not open (any more).
    Fetch { id: VolumeId, seqs: Vec<u64>, answer: oneshot::Sender<Option<Vec<ShownBlock>>> },
}

/// What there is to see of a volume.
pub(in crate::journal) enum Shown {
    /// Its file, and what should lie in it.
    File { file: Box<dyn RawFile>, content: Content },
    /// Its file is not in its place at this moment: another takes it. Look again.
    Away,
    /// It is not one of the journal's (any more).
    Gone,
}

/// What lies in a volume, as its row knows it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::journal) enum Content {
    /// It is open, and has these blocks. Some of it may still be on its way to the file.
    Open(Vec<KnownBlock>),
    /// It is closed, and so many events in it have no settlement there. Some of these may have one that waits until it is open.
    Closed { pending_events: u64, waiting_settlements: BTreeMap<u64, Vec<u8>> },
    /// Nothing in it is owed any more.
    Settled,
}

/// A block of an open volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct KnownBlock {
    pub(in crate::journal) seq: u64,
    pub(in crate::journal) is_settled: bool,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { content, .. } => {
                f.debug_struct("File").field("content", content).finish_non_exhaustive()
            }
            Self::Away => f.write_str("Away"),
            Self::Gone => f.write_str("Gone"),
        }
    }
}

/// A block that was read through the store.
#[derive(Debug, Default)]
pub(in crate::journal) struct ShownBlock {
    /// Its frames; none where they can't be read.
    pub(in crate::journal) stored: StoredBlock,
    /// The frame of its settlement, if it is settled.
    pub(in crate::journal) settlement: Option<Vec<u8>>,
}

impl ShownBlock {
    /// Whether every part is there, and the settlement of one that `is_settled`.
    pub(in crate::journal) fn is_whole(&self, is_settled: bool) -> bool {
        let header = self.stored.first().and_then(|first| read_header(first).ok());
        header.is_some_and(|header| usize::from(header.parts) == self.stored.len())
            && (!is_settled || self.settlement.is_some())
    }
}

impl<S: Store> Committer<S> {
    /// Answers one who looks back. What can't be read is shown as gone: that alone is no reason for the journal to stop.
    pub(super) fn look(&self, order: LookOrder) {
        match order {
            LookOrder::Volumes { row, answer } => drop(answer.send(self.row(row).volumes())),
            LookOrder::Show { id, answer } => drop(answer.send(self.row(id.row).show_volume(id))),
            LookOrder::Fetch { id, seqs, answer } => {
                let volume = self.row(id.row).open.get(&id.number);
                drop(answer.send(volume.map(|volume| volume.fetch(&seqs))));
            }
        }
    }
}

impl<S: Store> Row<S> {
    fn volumes(&self) -> Vec<VolumeId> {
        let closed = self.closed.iter().map(|closed| closed.number);
        let open = self.open.keys().copied();
        let mut numbers: Vec<u32> =
            self.retained().chain(closed).chain(self.resting.numbers()).chain(open).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|number| self.id(number)).collect()
    }

    fn show_volume(&self, id: VolumeId) -> Shown {
        let closed = || self.closed.iter().find(|closed| closed.number == id.number);
        let content = if let Some(volume) = self.open.get(&id.number) {
            Content::Open(volume.known_blocks())
        } else if let Some(closed) = closed() {
            Content::Closed { pending_events: closed.pending_events(), waiting_settlements: BTreeMap::new() }
        } else if let Some(resting) = self.resting.get(id.number) {
            Content::Closed {
                pending_events: resting.unsettled_events(),
                waiting_settlements: resting.waiting_settlements(),
            }
        } else if self.retained().any(|number| number == id.number) {
            Content::Settled
        } else {
            return Shown::Gone;
        };
        match self.store.find_raw(id) {
            Ok(Some(file)) => Shown::File { file, content },
            Ok(None) => Shown::Away,
            Err(error) => {
                tracing::warn!(volume = %id, %error, "a volume can't be looked into");
                Shown::Gone
            }
        }
    }
}

impl<V: Volume> OpenVolume<V> {
    fn known_blocks(&self) -> Vec<KnownBlock> {
        let pending = self.pending().map(|entry| KnownBlock { seq: entry.seq, is_settled: false });
        let settled = self.settled().map(|seq| KnownBlock { seq, is_settled: true });
        let mut known: Vec<KnownBlock> = pending.chain(settled).collect();
        known.sort_unstable_by_key(|block| block.seq);
        known
    }

    fn fetch(&self, seqs: &[u64]) -> Vec<ShownBlock> {
        let fetched = seqs.iter().take(FETCH_BLOCKS_MAX).map(|seq| {
            self.look(*seq).unwrap_or_else(|error| {
                tracing::error!(volume = %self.id(), seq, %error, "a block can't be read");
                ShownBlock::default()
            })
        });
        fetched.collect()
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
