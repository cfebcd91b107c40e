//! What is known of the events that are suspected of what failed, and how often it is their turn.

use super::offenders::Offenders;
use super::passing_size::PassingSize;

/// Suspected batches may have every so manyth request while others wait: a hundred poisons hold nobody up.
const SUSPECTED_EVERY: u32 = 4;
/// Trials of events that seem to be bad may have every so manyth: good ones are likelier among the other suspected.
const OFFENDERS_EVERY: u32 = 16;
/// So many suspected batches may fail one after the other before Polar itself is suspected.
const FAILED_IN_A_ROW_MAX: u32 = 64;

/// The events that are suspected, but for the batches of them that wait with all else that is to be sent again.
#[derive(Debug)]
pub(super) struct Suspects {
    /// Events alone that seem to be bad.
    pub(super) offenders: Offenders,
    /// How many fresh events at once pass.
    pub(super) passing: PassingSize,
    /// Whether the offenders take so much memory that the end of some is what makes room.
    is_crowded: bool,
    /// Suspected batches that failed one after the other, with no other answer between.
    failed_in_a_row: u32,
    /// Requests since the last one with a suspected batch.
    since_suspected: u32,
    /// Requests since the last one with an offender.
    since_offender: u32,
}

/// Who waits for the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Grants that are suspected of nothing.
    pub(super) grants: bool,
    /// Those, or other events that are suspected of nothing.
    pub(super) others: bool,
    /// Suspected batches.
    pub(super) suspected: bool,
    /// Nobody needs the budget for anything better.
    pub(super) is_budget_ample: bool,
}

impl Default for Suspects {
    fn default() -> Self {
        Self {
            offenders: Offenders::default(),
            passing: PassingSize::ANY,
            is_crowded: false,
            failed_in_a_row: 0,
            since_suspected: 0,
            since_offender: 0,
        }
    }
}

impl Suspects {
    /// An answer came. `failed_alone`: it says that a suspected batch failed, and nothing of Polar.
    pub(super) fn answered(&mut self, failed_alone: bool) {
        self.failed_in_a_row = if failed_alone { self.failed_in_a_row.saturating_add(1) } else { 0 };
    }

    /// Whether so many of them failed, one after the other, that only others can tell whether Polar works.
    pub(super) fn failed_too_often(&self) -> bool {
        self.failed_in_a_row > FAILED_IN_A_ROW_MAX
    }

    /// Whether it is high time to hear of something that is suspected of nothing, or may well pass.
    pub(super) fn failed_often(&self) -> bool {
        self.failed_in_a_row > FAILED_IN_A_ROW_MAX / 2
    }

    /// Looks how much memory the offenders take, of so many bytes that all events may take.
    pub(super) fn look_for_a_crowd(&mut self, bytes_max: usize) {
        // Once begun it makes room for a while, rather than for one event at a time.
        let limit = if self.is_crowded { bytes_max / 2 } else { bytes_max / 4 * 3 };
        self.is_crowded = self.offenders.bytes() > limit;
    }

    /// Whether the offenders take so much memory that the end of some is what makes room to read on.
    pub(super) fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// Whether their trials go before usage that is suspected of nothing, to make room. Now and then something else must
    /// tell that Polar works.
    pub(super) fn must_make_room(&self) -> bool {
        self.is_crowded && !self.failed_often()
    }

    /// A request leaves; whose it may be is asked next.
    pub(super) fn next_request(&mut self) {
        self.since_suspected = self.since_suspected.saturating_add(1);
        self.since_offender = self.since_offender.saturating_add(1);
    }

    /// Whether it is an offender's turn: it has its share, what nobody else needs, and what makes room.
    pub(super) fn is_offenders_turn(&self, waiting: Waiting) -> bool {
        let does_nobody_wait = !waiting.others && !waiting.suspected && waiting.is_budget_ample;
        let makes_room = !waiting.grants && self.must_make_room();
        does_nobody_wait || makes_room || self.since_offender >= OFFENDERS_EVERY
    }

    /// An offender left.
    pub(super) fn offender_left(&mut self) {
        self.since_offender = 0;
    }

    /// Whether it is the turn of a suspected batch.
    pub(super) fn is_suspected_turn(&self, waiting: Waiting) -> bool {
        !waiting.others || self.since_suspected >= SUSPECTED_EVERY
    }

    /// A suspected batch left.
    pub(super) fn suspected_left(&mut self) {
        self.since_suspected = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::batch::Batch;
    use crate::delivery::tests::fixture::{block, run_of};
    use crate::event::Lane;

    #[test]
    fn a_crowd_makes_room_until_half_of_the_memory_is_free_and_hears_others_now_and_then() {
        let mut suspects = Suspects::default();
        for seq in 0..100 {
            suspects.offenders.push(Batch::new(vec![run_of(&block(Lane::Usage, seq, 1))]), 0);
        }
        let bytes = suspects.offenders.bytes();
        let mut is_crowded = |bytes_max| {
            suspects.look_for_a_crowd(bytes_max);
            suspects.must_make_room()
        };
        assert_eq!([20, 14, 12].map(|tenths| is_crowded(bytes * tenths / 10)), [false, false, true]);
        assert_eq!([19, 21].map(|tenths| is_crowded(bytes * tenths / 10)), [true, false]);
        assert!(is_crowded(bytes));
        for _ in 0..=FAILED_IN_A_ROW_MAX / 2 {
            suspects.answered(true);
        }
        assert!(suspects.is_crowded() && !suspects.must_make_room());
        suspects.answered(false);
        assert!(suspects.must_make_room());
    }
}
