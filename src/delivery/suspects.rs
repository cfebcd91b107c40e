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
    /// Events that are suspected of nothing.
    pub(super) others: bool,
    /// Suspected batches.
    pub(super) suspected: bool,
    /// Nobody needs the budget for anything better.
    pub(super) is_budget_ample: bool,
    /// Whether the offenders take more memory than is good.
    pub(super) are_offenders_crowded: bool,
}

impl Default for Suspects {
    fn default() -> Self {
        Self {
            offenders: Offenders::default(),
            passing: PassingSize::ANY,
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

    /// A request leaves; whose it may be is asked next.
    pub(super) fn next_request(&mut self) {
        self.since_suspected = self.since_suspected.saturating_add(1);
        self.since_offender = self.since_offender.saturating_add(1);
    }

    /// Whether it is an offender's turn: it has its share, what nobody else needs, and where there are too many of them all
    /// but what tells that Polar works, for only the end of some makes room for others.
    pub(super) fn is_offenders_turn(&self, waiting: Waiting) -> bool {
        let does_nobody_wait = !waiting.others && !waiting.suspected && waiting.is_budget_ample;
        let makes_room = waiting.are_offenders_crowded && !self.failed_often();
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
