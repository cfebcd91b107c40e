//! How far our clock is from Polar's, and what that means for timestamps.

use crate::event::UnixMillis;
use crate::journal::Block;

/// `Date` tells whole seconds, and the answer travels: closer than this the clocks are taken to agree.
const TOLERANCE_MILLIS: i64 = 2_000;

/// The difference of the clocks, measured from Polar's answers.
///
/// Polar refuses any timestamp later than its own clock. With a clock ahead of Polar's, what was stamped here just now
/// lies in Polar's future; it is never altered, only sent later. To wait costs time, so fresh events wait only
/// once Polar has refused one for it.
#[derive(Debug, Default)]
pub(super) struct ClockSkew {
    ahead_millis: Option<i64>,
    is_guarding: bool,
}

impl ClockSkew {
    /// An answer with this `Date` arrived at `received` by our clock. Returns how far ours is ahead, in seconds.
    pub(super) fn observe(&mut self, date: UnixMillis, received: UnixMillis) -> f64 {
        // The second was half over on average when it was written.
        let polars = i64::try_from(date).unwrap_or(i64::MAX).saturating_add(500);
        let ahead = i64::try_from(received).unwrap_or(i64::MAX).saturating_sub(polars);
        self.ahead_millis = Some(ahead);
        self.is_guarding = self.is_guarding && ahead > TOLERANCE_MILLIS;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a difference of clocks")]
        let seconds = ahead as f64 / 1_000.0;
        seconds
    }

    /// Polar refused a timestamp as lying in the future.
    pub(super) fn refused(&mut self) {
        self.is_guarding = self.ahead() > TOLERANCE_MILLIS;
    }

    /// When a fresh block may be sent, by our clock; 0 for at once.
    pub(super) fn due(&self, block: &Block) -> UnixMillis {
        match (self.is_guarding, block.due()) {
            (true, due) => due.max(block.accepted_last()) + self.wait_millis(),
            (false, 0) => 0,
            (false, due) => due + self.wait_millis(),
        }
    }

    /// When an event that Polar refused for its timestamp is sent again, by our clock. No timestamp here lies beyond
    /// its block's due and accept times; should Polar still refuse it, the wait grows.
    pub(super) fn due_again(&self, latest_timestamp: UnixMillis, now: UnixMillis, times: u32) -> UnixMillis {
        let pause = 1_000 << times.min(5);
        (latest_timestamp + self.wait_millis()).max(now) + pause
    }

    fn ahead(&self) -> i64 {
        self.ahead_millis.unwrap_or(0)
    }

    fn wait_millis(&self) -> u64 {
        if self.ahead() > TOLERANCE_MILLIS { u64::try_from(self.ahead()).unwrap_or(0) + 500 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::fixture::block_due;

    #[test]
    fn the_half_second_that_date_hides_is_allowed_for() {
        let mut skew = ClockSkew::default();
        assert!((skew.observe(10_000, 10_500) - 0.0).abs() < 1e-9);
        assert!((skew.observe(10_000, 20_500) - 10.0).abs() < 1e-9);
        assert!((skew.observe(20_000, 10_500) + 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_clock_ahead_delays_fresh_events_only_once_polar_refused_one() {
        let mut skew = ClockSkew::default();
        skew.observe(10_000, 20_500);
        assert_eq!(skew.due(&block_due(19_000, 0)), 0);
        skew.refused();
        assert_eq!(skew.due(&block_due(19_000, 0)), 29_500);
        assert_eq!(skew.due(&block_due(19_000, 25_000)), 35_500);
        skew.observe(30_000, 30_700);
        assert_eq!(skew.due(&block_due(19_000, 0)), 0, "the clock was set right");
    }

    #[test]
    fn a_future_timestamp_waits_by_polars_clock() {
        let mut skew = ClockSkew::default();
        assert_eq!(skew.due(&block_due(1_000, 60_000)), 60_000);
        skew.observe(10_000, 15_500);
        assert_eq!(skew.due(&block_due(1_000, 60_000)), 65_500);
    }

    #[test]
    fn a_refused_timestamp_is_tried_again_later_and_later() {
        let skew = ClockSkew::default();
        assert_eq!(skew.due_again(5_000, 4_000, 0), 6_000);
        assert_eq!(skew.due_again(5_000, 8_000, 1), 10_000);
        assert_eq!(skew.due_again(5_000, 8_000, 99), 40_000);
    }
}
