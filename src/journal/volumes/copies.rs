//! Files that hold the same blocks: what one of them has lost another may still have.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::continuity::{Span, walk};
use super::found::Found;
use crate::journal::format::RowName;

/// What was found in files, put together where one is a copy of another, whole or in part.
#[derive(Debug, Default)]
pub(in crate::journal) struct Copies {
    groups: Vec<Group>,
}

/// Files of one journal's row that have a block in common. Two journals count from the same number, so that a seq alone
/// makes no copy.
#[derive(Debug)]
struct Group {
    row: RowName,
    /// The blocks that were found, by seq and checksum.
    blocks: BTreeSet<(u64, u32)>,
    spans: BTreeMap<u64, Span>,
    durable_to: u64,
}

impl Group {
    fn is_of_the_same_journal(&self, other: &Self) -> bool {
        self.row == other.row && !self.blocks.is_disjoint(&other.blocks)
    }

    fn take_in(&mut self, other: Self) {
        self.blocks.extend(other.blocks);
        self.durable_to = self.durable_to.max(other.durable_to);
        for (begin, span) in other.spans {
            let known = self.spans.entry(begin).or_insert(span);
            known.is_accounted_for |= span.is_accounted_for;
            known.end = known.end.max(span.end);
        }
    }

    fn lost_events(&self) -> u64 {
        let spans: Vec<Span> = self.spans.values().copied().collect();
        let mut missing = Vec::new();
        walk(&spans, None, &mut missing);
        let lost = |seqs: Range<u64>| seqs.end.min(self.durable_to).saturating_sub(seqs.start);
        missing.into_iter().map(lost).sum()
    }
}

impl Copies {
    /// Adds what was found of a row in one more file.
    pub(in crate::journal) fn add(&mut self, row: RowName, found: &Found) {
        let spans = found.spans().into_iter().map(|span| (span.begin, span)).collect();
        let mut group = Group { row, blocks: found.block_names(), spans, durable_to: found.durable_to() };
        for other in std::mem::take(&mut self.groups) {
            if group.is_of_the_same_journal(&other) {
                group.take_in(other);
            } else {
                self.groups.push(other);
            }
        }
        self.groups.push(group);
    }

    /// How many events no copy has, as far as the seqs around them tell.
    pub(in crate::journal) fn lost_events(&self) -> u64 {
        self.groups.iter().map(Group::lost_events).sum()
    }
}
