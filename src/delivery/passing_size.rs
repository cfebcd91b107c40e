//! How many events at once pass, where something takes offence at some of them.
//!
//! A silent poison, or a firewall's dislike, fails the whole request. Where one event in a hundred is like that, hardly a
//! request with a thousand passes and most with fifty do. How many are like that is not known, and changes when a
//! rule somewhere is changed; so requests become smaller while they fail and larger while they pass, and about half of them
//! pass. That is close to the most events per request that can be had.

/// From one event alone nothing smaller can be tried.
const LEAST: usize = 1;
/// After so many requests in a row that passed, whatever their size, nothing takes offence any more.
const PASSES_UNTIL_FORGOTTEN: u32 = 24;

/// How many events a request may have so that it may well pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassingSize {
    events: usize,
    passes_in_a_row: u32,
    failures_in_a_row: u32,
    failed_alone: u32,
}

impl PassingSize {
    /// Any number.
    pub(super) const ANY: Self =
        Self { events: usize::MAX, passes_in_a_row: 0, failures_in_a_row: 0, failed_alone: 0 };
    /// One at a time, until that passes.
    pub(super) const ONE: Self = Self { events: LEAST, ..Self::ANY };

    /// So many events, but not more than `ceiling`.
    pub(super) fn within(&self, ceiling: usize) -> usize {
        self.events.min(ceiling)
    }

    /// Whether nothing was refused lately.
    pub(super) fn is_any(&self) -> bool {
        self.events == usize::MAX
    }

    /// How many events failed alone since anything passed.
    pub(super) fn failed_alone(&self) -> u32 {
        self.failed_alone
    }

    /// A request with so many events passed. Those that were in flight together are one experience.
    pub(super) fn passed(&mut self, events: usize) {
        self.events = self.events.max(events.saturating_mul(2));
        (self.failures_in_a_row, self.failed_alone) = (0, 0);
        self.passes_in_a_row = self.passes_in_a_row.saturating_add(1);
        if self.passes_in_a_row >= PASSES_UNTIL_FORGOTTEN {
            self.events = usize::MAX;
        }
    }

    /// A request with so many events failed: once `enough` did in a row, the next have the `divisor`th part of that.
    pub(super) fn failed(&mut self, events: usize, divisor: usize, enough: u32) {
        self.passes_in_a_row = 0;
        if events == LEAST {
            self.failed_alone = self.failed_alone.saturating_add(1);
        }
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if self.failures_in_a_row >= enough {
            self.failures_in_a_row = 0;
            self.events = self.events.min((events / divisor).max(LEAST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many good events a request delivers on average, and the share of requests that pass, where this share of
    /// events is bad.
    fn live(share: f64) -> (f64, f64) {
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut size, mut events, mut passed) = (PassingSize::ANY, 0, 0);
        for _ in 0..10_000 {
            let now = size.within(1_000);
            if (0..now).all(|_| rng.f64() >= share) {
                size.passed(now);
                (events, passed) = (events + now, passed + 1);
            } else {
                size.failed(now, 2, 1);
            }
        }
        (events as f64 / 10_000.0, f64::from(passed) / 10_000.0)
    }

    #[test]
    fn whatever_share_of_events_is_bad_most_of_what_can_be_delivered_is() {
        for share in [0.001_f64, 0.01, 0.05, 0.1, 0.25, 0.5] {
            let best = (1..=1_000).map(|size| f64::from(size) * (1.0 - share).powi(size)).fold(0.0, f64::max);
            let (delivered, passed) = live(share);
            assert!(delivered > 0.6 * best, "{share}: {delivered} events a request, of {best}");
            assert!((0.3..0.7).contains(&passed), "{share}: {passed} of all requests pass");
        }
        assert_eq!(live(0.0).0, 1_000.0);
    }

    #[test]
    fn what_was_in_flight_together_is_one_experience() {
        let mut size = PassingSize::ANY;
        for _ in 0..8 {
            size.failed(1_000, 4, 1);
        }
        assert_eq!(size.within(1_000), 250);
        for _ in 0..8 {
            size.passed(100);
        }
        assert_eq!(size.within(1_000), 250, "what passes is smaller");
        for _ in 0..8 {
            size.passed(250);
        }
        assert_eq!(size.within(1_000), 500);
    }

    #[test]
    fn it_asks_with_one_alone_in_the_end_and_forgets_once_everything_passes() {
        let mut size = PassingSize::ANY;
        for events in [1_000, 250, 62, 15, 3, 1, 1] {
            assert_eq!(size.failed_alone(), 0);
            size.failed(events, 4, 1);
            if events == 1 {
                break;
            }
        }
        assert_eq!((size.within(1_000), size.failed_alone()), (1, 1));
        for _ in 1..PASSES_UNTIL_FORGOTTEN {
            size.passed(1);
            assert_eq!((size.within(1_000), size.failed_alone()), (2, 0));
        }
        size.passed(1);
        assert!(size.is_any());
    }
}
