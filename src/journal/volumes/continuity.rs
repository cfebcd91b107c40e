//! What must have been in a row, told by the seqs of what is left of it.
//!
//! Seqs are used without a gap, within a volume and from one volume to the next. So a gap tells of events that were there,
//! even where nothing of their block is left that could be recognised. Two things make a gap that is no loss. Of blocks
//! that were written together and never confirmed, a power cut leaves any and takes any: only a gap before something that
//! was written when all before it was durable is a loss. And what a start has told once is not to be told by the next one:
//! the inventory of an open volume says from where on to look.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::found::Found;
use crate::journal::disk::VolumeId;
use crate::journal::format::{Inventory, VolumeIndex};

/// A stretch of seqs, as it lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) begin: u64,
    /// `None` where only the settlement of a block is left, and that does not tell how long the block was.
    pub(super) end: Option<u64>,
    /// Whether it is a whole block, or one that is settled.
    pub(super) is_accounted_for: bool,
}

/// Goes along spans in the order of their seqs, from `at` if that is known, and notes what is missing among them. Says how
/// far it came; `None` where that can't be told.
pub(super) fn walk(spans: &[Span], mut at: Option<u64>, missing: &mut Vec<Range<u64>>) -> Option<u64> {
    for span in spans {
        let known = at.unwrap_or(span.begin);
        if span.end.is_some_and(|end| end <= known) || span.begin < known && span.end.is_none() {
            continue;
        }
        if known < span.begin {
            missing.push(known..span.begin);
        }
        if let Some(end) = span.end
            && !span.is_accounted_for
        {
            missing.push(span.begin.max(known)..end);
        }
        // Where it is not known how long a settled block was, whatever follows it may have been part of it.
        at = span.end;
    }
    at
}

/// Events that were durable in a volume, and of which nothing is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Loss {
    /// The volume in which they lay.
    pub(in crate::journal) volume: VolumeId,
    /// Their seqs.
    pub(in crate::journal) seqs: Range<u64>,
    /// How many there were.
    pub(in crate::journal) events: u64,
    pub(in crate::journal) kind: LossKind,
}

/// How a loss is told from its seqs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::journal) enum LossKind {
    /// All of these seqs were events, and are lost.
    Blocks,
    /// The row once got so far. How many of them are lost is not known where no event is counted.
    End,
    /// Lost ones are among them. How many is not known where no event is counted.
    Among,
}

impl Loss {
    /// Every event with one of these seqs.
    pub(super) fn of_blocks(volume: VolumeId, seqs: Range<u64>) -> Self {
        let events = seqs.end.saturating_sub(seqs.start);
        Self { volume, seqs, events, kind: LossKind::Blocks }
    }

    /// Whether each of its seqs was an event that is lost.
    pub(super) fn is_exact(&self) -> bool {
        let is_among = match self.kind {
            LossKind::Blocks | LossKind::End => false,
            LossKind::Among => true,
        };
        !is_among && self.events == self.seqs.end.saturating_sub(self.seqs.start)
    }

    /// The part of it in this stretch.
    pub(super) fn within(&self, seqs: Range<u64>) -> Self {
        let events = self.events.min(seqs.end.saturating_sub(seqs.start));
        Self { seqs, events, ..self.clone() }
    }

    /// Adds another of the same volume.
    pub(super) fn join(&mut self, other: &Self) {
        self.events += other.events;
        self.seqs = self.seqs.start.min(other.seqs.start)..self.seqs.end.max(other.seqs.end);
    }
}

/// What of these stretches is in none of the others. Both are in the order of their seqs.
pub(super) fn without(seqs: &[Range<u64>], others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    let mut others = others.iter().peekable();
    for stretch in seqs {
        let mut at = stretch.start;
        while let Some(other) = others.peek().filter(|other| other.start < stretch.end) {
            if at < other.start {
                left.push(at..other.start);
            }
            at = at.max(other.end);
            if other.end > stretch.end {
                // It may reach into the next one.
                break;
            }
            others.next();
        }
        if at < stretch.end {
            left.push(at..stretch.end);
        }
    }
    left
}

/// Follows a row from volume to volume.
#[derive(Debug)]
pub(in crate::journal) struct Continuity {
    /// The seq that comes next, if that is known.
    at: Option<u64>,
    /// Everything before it was durable.
    durable_to: u64,
    /// The number of the volume that comes next, if none are gone.
    next_number: u32,
    missing: Vec<Loss>,
    /// Before this seq lay what was in volumes of which only the index is left.
    missed_to: u64,
}

impl Continuity {
    /// Begins with the first volume that a row ever had.
    pub(in crate::journal) fn of_a_row() -> Self {
        Self { at: Some(0), durable_to: 0, next_number: 1, missing: Vec::new(), missed_to: 0 }
    }

    /// A row of which no volume is left: whoever took all of them away knows what was in them.
    pub(in crate::journal) fn of_an_empty_row() -> Self {
        Self { at: None, ..Self::of_a_row() }
    }

    /// Comes to this volume. What was between it and the one before was settled, and given back to the disk.
    pub(in crate::journal) fn come_to(&mut self, id: VolumeId) {
        if id.number != self.next_number {
            self.forget();
        }
        self.next_number = id.number + 1;
    }

    /// The seq that comes next, if that is known.
    pub(super) fn at(&self) -> Option<u64> {
        self.at
    }

    /// With which seq the next volume begins is not known.
    pub(in crate::journal) fn forget(&mut self) {
        self.at = None;
    }

    /// This volume is closed, and its index answers for it.
    pub(in crate::journal) fn pass(&mut self, id: VolumeId, begin: u64) {
        self.begin(id, begin);
        self.forget();
    }

    /// Of this volume nothing but the index is left. Only one that says that the volume was closed tells how much was owed of
    /// it in the end. What comes after it began at `until`, as far as that is known.
    pub(in crate::journal) fn miss(&mut self, id: VolumeId, index: &VolumeIndex, until: Option<u64>) {
        match index {
            VolumeIndex::Pending { blocks, .. } => {
                let seqs = blocks.iter().map(|block| block.seq..block.seq + u64::from(block.events));
                seqs.for_each(|seqs| self.note_missed(Loss::of_blocks(id, seqs)));
            }
            VolumeIndex::Open(Inventory { begin, blocks, end }) => {
                let first = blocks.first().map_or(*begin, |block| block.seq);
                self.miss_among(id, first..until.unwrap_or(*end).max(*end));
            }
            VolumeIndex::Settled(_) => {}
        }
    }

    /// Of this volume nothing is left that tells more than that it had seqs among these.
    pub(in crate::journal) fn miss_among(&mut self, id: VolumeId, seqs: Range<u64>) {
        if !seqs.is_empty() {
            self.note_missed(Loss { volume: id, seqs, events: 0, kind: LossKind::Among });
        }
    }

    fn note_missed(&mut self, loss: Loss) {
        self.missed_to = self.missed_to.max(loss.seqs.end);
        self.durable_to = self.durable_to.max(self.missed_to);
        self.missing.push(loss);
    }

    /// This volume begins with this seq, so all before it was in the volumes before. Before the first there was none: where
    /// it does not begin with 0, all volumes of an earlier row were taken away, and a start has told that.
    fn begin(&mut self, id: VolumeId, begin: u64) {
        self.durable_to = self.durable_to.max(begin);
        if let Some(at) = self.at.filter(|at| *at < begin) {
            if id.number > 1 {
                let before = VolumeId { number: id.number - 1, ..id };
                self.missing.push(Loss::of_blocks(before, at..begin));
            }
            self.at = Some(begin);
        }
    }

    /// What was found in this volume. `first_seq` is the seq that its store remembers, up to which nothing was missing,
    /// or it was told. Says with which seq the volume begins; 0 where that is not known.
    pub(in crate::journal) fn see(&mut self, id: VolumeId, first_seq: Option<u64>, found: &Found) -> u64 {
        let noted = found.noted();
        let spans = found.spans();
        let first_found = spans.first().map(|span| span.begin);
        let begin = match noted {
            Some(noted) => Some(noted.begin),
            None => first_seq.map(|first| first_found.map_or(first, |found| found.min(first))),
        };
        // One that was only made ahead of time never began.
        let follows = self.at;
        if let Some(begin) = begin {
            self.begin(id, begin);
        }
        let lost = noted.into_iter().flat_map(|noted| lost_of(noted, &spans));
        self.missing.extend(lost.map(|seqs| Loss::of_blocks(id, seqs)));
        let told_to = noted.map(|noted| noted.end).or(first_seq);
        self.durable_to = self.durable_to.max(told_to.unwrap_or_default()).max(found.durable_to());
        let mut missing = Vec::new();
        self.at = walk(&spans, told_to.max(self.at), &mut missing);
        self.missing.extend(missing.into_iter().map(|seqs| Loss::of_blocks(id, seqs)));
        begin.or(follows).unwrap_or_default()
    }

    /// What is lost, when everything before `mark` was durable, and before whatever else proves it.
    pub(super) fn losses(self, mark: u64) -> Vec<Loss> {
        let durable_to = self.durable_to.max(mark);
        self.losses_before(durable_to)
    }

    /// How many events are lost then, those included that lay at the end of the row.
    pub(in crate::journal) fn lost_events(self, mark: u64) -> u64 {
        let tail = self.at.map_or(0, |at| mark.saturating_sub(at.max(self.missed_to)));
        self.losses(mark).iter().map(|loss| loss.events).sum::<u64>() + tail
    }

    /// What is lost, when everything before `durable_to` was durable, and no more is known.
    pub(in crate::journal) fn losses_before(self, durable_to: u64) -> Vec<Loss> {
        let durable = |loss: Loss| loss.within(loss.seqs.start..loss.seqs.end.min(durable_to));
        self.missing.into_iter().map(durable).filter(|loss| !loss.seqs.is_empty()).collect()
    }
}

/// The blocks of an inventory that are neither whole nor settled.
pub(super) fn lost_of(noted: &Inventory, spans: &[Span]) -> Vec<Range<u64>> {
    let is_there = |seq| {
        let at = spans.binary_search_by_key(&seq, |span| span.begin);
        at.ok().and_then(|at| spans.get(at)).is_some_and(|span| span.is_accounted_for)
    };
    let lost = noted.blocks.iter().filter(|block| !is_there(block.seq));
    lost.map(|block| block.seq..block.seq + u64::from(block.events)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_stretches_is_what_no_other_covers() {
        let seqs = [0..10, 20..30, 30..40];
        let left = |others: &[Range<u64>]| without(&seqs, others);
        assert_eq!(left(&[]), seqs);
        assert_eq!(left(&[0..10, 20..40]), []);
        assert_eq!(left(&[3..5, 8..22, 25..26, 39..100]), [0..3, 5..8, 22..25, 26..30, 30..39]);
        assert_eq!(left(&[0..100, 5..6]), []);
        assert_eq!(left(&[10..20, 40..50]), seqs);
    }
}
