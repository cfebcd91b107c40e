//! Finding a row as the last process left it: what each of its volumes holds, what is owed of it, and what is lost.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::continuity::{Continuity, Loss, LossKind};
use super::found::{Found, scan_at_rest};
use super::janitor::Janitor;
use super::loss_book::LossBook;
use super::promise::not_lost;
use super::resting::Resting;
use super::row::{Retained, Row, RowLimits};
use super::salvage::open_as_found;
use super::totals::Totals;
use crate::journal::disk::{Store, StoreError, VolumeId};
use crate::journal::format::{BlockEntry, RowName, VolumeIndex};

/// How a row was found.
#[derive(Debug)]
pub(in crate::journal) struct AsFound<S: Store> {
    pub(super) row: Row<S>,
    /// How many events came out of damaged volumes.
    pub(in crate::journal) salvaged_events: u64,
    /// What is gone.
    pub(in crate::journal) losses: Vec<Loss>,
    /// Of volumes that lie closed from now on, what is to be written down.
    indices: Vec<(VolumeId, VolumeIndex)>,
    /// The numbers of volumes of which nothing but the index is left.
    bereft: Vec<u32>,
}

impl<S: Store> AsFound<S> {
    /// Goes on with the row as it was found, once its losses are in the book: the next start finds none of them again.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::journal) fn accept(self) -> Result<Row<S>, StoreError> {
        let Self { mut row, indices, bereft, .. } = self;
        if let Some(mut tail) = row.open.last_entry()
            && tail.get().next_seq() < row.next_seq
        {
            // It may be one that was made ahead of time and never written to, or the disk lost its end.
            tail.get_mut().begin(row.next_seq)?;
        }
        // First of all, for the tail's index tells how far the row got: that of a closed volume whose last blocks are settled
        // does not. A process that did not end well may have left something unsynced: it must not be promised by a durable
        // index and then go with the power.
        for number in row.open.keys().copied().collect::<Vec<_>>() {
            row.store.sync_raw(row.id(number))?;
            row.describe_open(number, row.next_seq)?;
        }
        for (id, index) in indices {
            row.store.sync_raw(id)?;
            row.write_index(id, &index)?;
        }
        // What a full disk has kept out of the book is told by the index alone: it stays until the next start.
        if row.book.is_written() {
            row.store.remove_indices(row.name, &bereft)?;
        }
        Ok(row)
    }
}

impl<S: Store> Row<S> {
    /// Finds a row's volumes: those with an index stay closed, the others are opened and read. Everything before `mark`
    /// was durable; the row goes on from there at least.
    ///
    /// # Errors
    /// When the store can't be listed, or a volume can't be opened.
    pub(in crate::journal) fn open(
        name: RowName,
        store: &Arc<S>,
        janitor: &Janitor<S>,
        book: &LossBook<S>,
        limits: RowLimits,
        mark: u64,
    ) -> Result<AsFound<S>, StoreError> {
        let row = Self {
            name,
            store: Arc::clone(store),
            janitor: janitor.clone(),
            book: book.clone(),
            limits,
            retained: VecDeque::new(),
            open: BTreeMap::new(),
            closed: VecDeque::new(),
            resting: Resting::default(),
            looked_at: None,
            next_number: 1,
            next_seq: 0,
            ahead: None,
            described: None,
            arriving: None,
            repacking: None,
            lost: Totals::default(),
            found_again: Totals::default(),
        };
        let mut opening = Opening {
            row,
            salvaged_events: 0,
            continuity: Continuity::of_a_row(),
            indices: Vec::new(),
            bereft: Vec::new(),
            known: book.known(name)?,
            used_to: book.end(name)?,
        };
        let numbers = store.list(name)?;
        for number in &numbers {
            opening.find(*number, Some(number) == numbers.last())?;
        }
        if numbers.is_empty() {
            // Whoever took all of them away knows what was in them.
            opening.continuity.forget();
        }
        for number in store.list_bereft(name)? {
            opening.miss(number)?;
        }
        Ok(opening.end(mark))
    }

    /// Has an index say of an open volume what is in it, and that all before `end` is accounted for. On a full disk an
    /// earlier one of an open volume stays, for what it says still holds; where there is none the volume does without. It is
    /// delivered from all the same.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn describe_open(&mut self, number: u32, end: u64) -> Result<(), StoreError> {
        let Some(index) = self.open.get(&number).map(|volume| volume.open_index(end)) else { return Ok(()) };
        let id = self.id(number);
        match self.write_index(id, &index) {
            Err(StoreError::DiskFull) => {
                match self.store.read_index(id)?.as_deref().and_then(VolumeIndex::decode) {
                    Some(VolumeIndex::Open(_)) => Ok(()),
                    Some(VolumeIndex::Pending { .. } | VolumeIndex::Settled(_)) | None => {
                        self.store.remove_index(id)
                    }
                }
            }
            written => written,
        }
    }
}

/// A row that is being found.
struct Opening<S: Store> {
    row: Row<S>,
    salvaged_events: u64,
    continuity: Continuity,
    indices: Vec<(VolumeId, VolumeIndex)>,
    bereft: Vec<u32>,
    /// The seqs of events of which it is known that they are lost.
    known: Vec<Range<u64>>,
    /// Before this one each seq was used once, whatever is left of the row.
    used_to: u64,
}

impl<S: Store> Opening<S> {
    /// Of this volume nothing but the index is left. Its number is not used again: the index must not be taken for another's.
    fn miss(&mut self, number: u32) -> Result<(), StoreError> {
        let id = self.row.id(number);
        self.row.next_number = self.row.next_number.max(number + 1);
        let closed = self.row.closed.iter().map(|closed| (closed.number, closed.begin));
        let open = self.row.open.values().map(|volume| (volume.id().number, volume.begin_seq()));
        let next = closed.chain(open).filter(|(after, _)| *after > number).min().map(|(_, begin)| begin);
        match self.row.store.read_index(id)?.as_deref().and_then(VolumeIndex::decode) {
            Some(index) => {
                self.continuity.miss(id, &index, next);
                let end = index.into_inventory().map_or(0, |noted| noted.end);
                self.row.next_seq = self.row.next_seq.max(end);
            }
            // The seqs around it tell.
            None => {
                let closed = self.row.closed.iter().map(|closed| (closed.number, closed.seqs.end));
                let open = self.row.open.values().map(|volume| (volume.id().number, volume.next_seq()));
                let before = closed.chain(open).filter(|(before, _)| *before < number).map(|(_, end)| end);
                let begin = before.max().unwrap_or_default();
                self.continuity.miss_among(id, begin..next.unwrap_or(begin));
            }
        }
        self.bereft.push(number);
        Ok(())
    }

    fn find(&mut self, number: u32, is_last: bool) -> Result<(), StoreError> {
        let id = self.row.id(number);
        self.continuity.come_to(id);
        self.row.next_number = number + 1;
        let index = self.row.store.read_index(id)?.as_deref().and_then(VolumeIndex::decode);
        match index {
            Some(VolumeIndex::Pending { begin, blocks }) if !is_last => {
                let blocks = not_lost(blocks, &self.known);
                self.continuity.pass(id, begin);
                self.row.close_entry(id, begin, &blocks);
                return Ok(());
            }
            Some(VolumeIndex::Settled(settled_at)) if !is_last => {
                self.continuity.forget();
                let disk_bytes = self.row.store.disk_bytes(id);
                self.row.retained.push_back(Retained { number, settled_at, disk_bytes });
                return Ok(());
            }
            Some(VolumeIndex::Pending { .. } | VolumeIndex::Settled(_) | VolumeIndex::Open(_)) | None => {}
        }
        let found = scan_at_rest(self.row.store.as_ref(), id)?;
        let noted_end = found.noted().map_or(0, |noted| noted.end);
        self.row.next_seq = self.row.next_seq.max(found.next_seq()).max(noted_end);
        if !is_last && self.describe(id, &found) {
            return Ok(());
        }
        self.open(id, is_last, &found)
    }

    /// Describes a volume without opening it, for that costs the store a segment of disk each time: its file tells as well
    /// what is pending in it. `false` where it can't be told for sure, or nothing is.
    fn describe(&mut self, id: VolumeId, found: &Found) -> bool {
        let blocks: Vec<BlockEntry> = found.pending().into_iter().map(|(entry, _)| entry).collect();
        // Without an index only its store knows where it began, and how far all was told: after a salvage that is not where
        // its first block begins.
        if !found.is_whole() || found.noted().is_none() || blocks.is_empty() {
            return false;
        }
        let begin = self.continuity.see(id, None, found);
        self.row.close_entry(id, begin, &blocks);
        self.indices.push((id, VolumeIndex::Pending { begin, blocks }));
        true
    }

    fn open(&mut self, id: VolumeId, is_last: bool, found: &Found) -> Result<(), StoreError> {
        let mut volume = open_as_found(&self.row.store, id, found, self.continuity.at())?;
        volume.note_begin(self.continuity.see(id, volume.first_seq(), found));
        self.salvaged_events += volume.salvaged();
        self.row.next_seq = self.row.next_seq.max(volume.next_seq());
        // Between the first volume with something owed and the tail, untouched volumes wait closed.
        let waits = !is_last && volume.is_untouched() && !volume.is_settled() && !self.row.open.is_empty();
        if waits {
            volume.sync()?;
            self.row.close_entry(id, volume.begin_seq(), &volume.pending().copied().collect::<Vec<_>>());
            self.indices.push((id, volume.closed_index()));
            self.row.janitor.close(volume.into_store());
        } else {
            self.row.open.insert(id.number, volume);
        }
        Ok(())
    }

    fn end(self, mark: u64) -> AsFound<S> {
        let Self { mut row, salvaged_events, continuity, indices, bereft, used_to, .. } = self;
        let missing_tail = mark.saturating_sub(row.next_seq);
        row.next_seq = row.next_seq.max(mark).max(used_to);
        // Where nothing tells how far the row got, neither can it be told what of the tail was still in it.
        let events = continuity.at().map_or(0, |_| missing_tail);
        let mut losses = continuity.losses(mark);
        if missing_tail > 0 {
            let volume = row.id(row.next_number.saturating_sub(1));
            losses.push(Loss { volume, seqs: mark - missing_tail..mark, events, kind: LossKind::End });
        }
        AsFound { row, salvaged_events, losses, indices, bereft }
    }
}
