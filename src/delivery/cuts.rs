//! Batches that failed and were cut in two: when both halves pass, it was neither of them.

use std::collections::VecDeque;

use super::size_limit::SizeLimit;

/// Batches whose one half passed and whose other half is still to be heard of; older ones are forgotten.
const HALF_PASSED_MAX: usize = 64;

/// Where a piece comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutFrom {
    /// Which cut; two pieces share it.
    cut: u64,
    /// Events of the batch that was cut.
    pub(super) events: usize,
    /// Trials in which it failed whole.
    pub(super) trials: u32,
    /// Whether it may have been too large for somebody.
    pub(super) may_be_too_large: bool,
}

/// The cuts of which one half is still to be heard of.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    half_passed: VecDeque<u64>,
    cuts: u64,
}

impl Cuts {
    /// A batch of so many events and bytes, which had failed so often, is cut in two.
    pub(super) fn cut(&mut self, events: usize, bytes: usize, trials: u32) -> CutFrom {
        self.cuts += 1;
        let may_be_too_large = SizeLimit::may_be_too_many_events(events) || SizeLimit::may_be_too_many(bytes);
        CutFrom { cut: self.cuts, events, trials, may_be_too_large }
    }

    /// A half passed as that cut left it. Returns whether the other one had, too.
    pub(super) fn passed(&mut self, from: CutFrom) -> bool {
        let Some(at) = self.half_passed.iter().position(|cut| *cut == from.cut) else {
            if self.half_passed.len() == HALF_PASSED_MAX {
                self.half_passed.pop_front();
            }
            self.half_passed.push_back(from.cut);
            return false;
        };
        self.half_passed.remove(at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_second_half_of_one_cut_proves_something_of_it() {
        let mut cuts = Cuts::default();
        let (whole, other) = (cuts.cut(1_000, 9_000, 3), cuts.cut(800, 9_000, 1));
        let passed = [whole, other, whole, other].map(|from| cuts.passed(from));
        assert_eq!(passed, [false, false, true, true]);
        assert!(!cuts.passed(whole), "that is over");
    }

    #[test]
    fn what_is_never_heard_of_is_forgotten() {
        let mut cuts = Cuts::default();
        let first = cuts.cut(2, 99, 1);
        assert!(!cuts.passed(first));
        for _ in 0..HALF_PASSED_MAX {
            let next = cuts.cut(2, 99, 1);
            assert!(!cuts.passed(next));
        }
        assert!(!cuts.passed(first) && cuts.half_passed.len() == HALF_PASSED_MAX);
    }

    #[test]
    fn a_few_small_events_are_too_many_for_nobody() {
        let mut cuts = Cuts::default();
        let mut may_be = |events, bytes| cuts.cut(events, bytes, 1).may_be_too_large;
        assert!(may_be(1_000, 9_000) && may_be(2, 1 << 20) && !may_be(20, 9_000));
    }
}
