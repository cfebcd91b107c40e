//! What the index of a closed volume promised, and what is in it when it is opened.

use std::ops::Range;

use super::continuity::{Loss, LossKind, without};
use super::loss_lines::not_in;
use super::open_volume::OpenVolume;
use super::row::Row;
use super::totals::Totals;
use crate::journal::disk::{Store, StoreError, VolumeId};
use crate::journal::format::{BlockEntry, VolumeIndex};

impl<S: Store> Row<S> {
    /// A closed volume was opened. What its index had promised and is not in it was lost on the disk: from now on it is
    /// no longer pending. What is in it beside that came back with a settlement that a power cut took: it is owed again.
    /// Says whether there was anything of either. Losses are in the book before anything else is written.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn compare_with_index(
        &mut self,
        opened: &mut OpenVolume<S::Volume>,
    ) -> Result<bool, StoreError> {
        let id = opened.id();
        let Some(at) = self.closed.iter().position(|closed| closed.number == id.number) else {
            return Ok(false);
        };
        let Some(closed) = self.closed.get_mut(at) else { return Ok(false) };
        opened.note_begin(closed.begin);
        let promised = closed.totals;
        let found = Totals::of(opened.pending());
        closed.totals = found;
        let all = closed.seqs.clone();
        let known = self.book.known(self.name)?;
        let index = self.store.read_index(id)?.as_deref().and_then(VolumeIndex::decode);
        let (lost, losses) = match index.and_then(VolumeIndex::into_inventory) {
            // What is in the book was told before, and is not counted as pending.
            Some(noted) => lost_of(id, &not_lost(noted.blocks, &known), opened.pending()),
            // The index was damaged since: of what it promised only the sums are known.
            None => {
                let lost = promised.without(found);
                let pending: Vec<Range<u64>> = opened.pending().map(seqs_of).collect();
                let gaps = without(&without(std::slice::from_ref(&all), &pending), &known);
                (lost, lost_in(id, &all, &gaps, lost.events))
            }
        };
        let found_again = found.plus(lost).without(promised);
        self.lost = self.lost.plus(lost);
        self.found_again = self.found_again.plus(found_again);
        if !losses.is_empty() {
            self.book.enter(&losses)?;
        }
        Ok(lost.events > 0 || found_again.events > 0)
    }
}

/// These blocks without those of which it is known that they are lost.
pub(super) fn not_lost(blocks: Vec<BlockEntry>, known: &[Range<u64>]) -> Vec<BlockEntry> {
    if known.is_empty() {
        return blocks;
    }
    let is_left = |entry: &BlockEntry| !not_in(&seqs_of(entry), known).is_empty();
    blocks.into_iter().filter(is_left).collect()
}

fn seqs_of(entry: &BlockEntry) -> Range<u64> {
    entry.seq..entry.seq + u64::from(entry.events)
}

/// What of the promised blocks is not there, and where that lay. A block may have been joined with others since.
fn lost_of<'a>(
    id: VolumeId,
    promised: &[BlockEntry],
    found: impl Iterator<Item = &'a BlockEntry>,
) -> (Totals, Vec<Loss>) {
    let found: Vec<Range<u64>> = found.map(seqs_of).collect();
    let is_gone = |entry: &&BlockEntry| !not_in(&seqs_of(entry), &found).is_empty();
    let gone: Vec<&BlockEntry> = promised.iter().filter(is_gone).collect();
    let losses = gone.iter().map(|entry| Loss::of_blocks(id, seqs_of(entry))).collect();
    (Totals::of(gone.into_iter()), losses)
}

/// So many lost events of these seqs, in these gaps between what is there. Where they fill the gaps, they are what is
/// missing; otherwise some of it was settled, and nothing tells which.
fn lost_in(id: VolumeId, all: &Range<u64>, gaps: &[Range<u64>], events: u64) -> Vec<Loss> {
    if events == gaps.iter().map(|gap| gap.end - gap.start).sum::<u64>() {
        return gaps.iter().map(|gap| Loss::of_blocks(id, gap.clone())).collect();
    }
    let first = gaps.first().map_or(all.start, |gap| gap.start);
    let last = gaps.last().map_or(all.end, |gap| gap.end);
    let among = Loss { volume: id, seqs: first..last, events, kind: LossKind::Among };
    if events > 0 { vec![among] } else { Vec::new() }
}
