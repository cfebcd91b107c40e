//! Events whose time has not come yet, by Polar's clock.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::batch::Batch;
use crate::event::UnixMillis;
use crate::journal::Block;

/// What waits for Polar's clock.
#[derive(Debug)]
pub(super) enum Early {
    /// A block that was not sent yet.
    Fresh(Arc<Block>),
    /// Events that Polar refused for a timestamp ahead of its clock.
    Refused(Batch),
}

/// Everything that waits for Polar's clock, the soonest first.
#[derive(Debug, Default)]
pub(super) struct SetAside {
    waiting: BinaryHeap<Reverse<Entry>>,
    entries: u64,
}

#[derive(Debug)]
struct Entry {
    due: UnixMillis,
    number: u64,
    early: Early,
}

impl SetAside {
    pub(super) fn put(&mut self, due: UnixMillis, early: Early) {
        self.entries += 1;
        self.waiting.push(Reverse(Entry { due, number: self.entries, early }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes one whose time has come.
    pub(super) fn take_due(&mut self, now: UnixMillis) -> Option<Early> {
        if self.next_due()? > now {
            return None;
        }
        self.waiting.pop().map(|Reverse(entry)| entry.early)
    }

    /// When the next one is due, by Polar's clock.
    pub(super) fn next_due(&self) -> Option<UnixMillis> {
        self.waiting.peek().map(|Reverse(entry)| entry.due)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::fixture::block;
    use crate::event::Lane;

    #[test]
    fn the_soonest_comes_back_first_and_none_before_its_time() {
        let mut aside = SetAside::default();
        for (due, seq) in [(30, 3), (10, 1), (20, 2), (10, 4)] {
            aside.put(due, Early::Fresh(block(Lane::Usage, seq, 1)));
        }
        let mut take = |now| match aside.take_due(now) {
            Some(Early::Fresh(block)) => Some(block.id().seq),
            Some(Early::Refused(_)) | None => None,
        };
        assert_eq!(
            [take(9), take(20), take(20), take(20), take(20)],
            [None, Some(1), Some(4), Some(2), None]
        );
        assert_eq!(aside.next_due(), Some(30));
    }
}
