//! How far our clock is from Polar's, and what that means for timestamps that Polar refuses.
//!
//! Polar refuses any timestamp later than its own clock. A timestamp is never altered: the event is sent later. All that
//! waits for a time waits for Polar's, which [`Clock`](crate::clock::Clock) carries on from Polar's answers, so that
//! setting this machine's clock neither holds an event back nor sends it early.

use crate::event::UnixMillis;

/// The longest that an event is kept from being tried again for the first time, in milliseconds. When it was accepted by a
/// clock that was set wrong, nothing here tells its timestamp.
const FIRST_WAIT_MAX_MILLIS: u64 = 60_000;

/// How far ours is ahead, in seconds, when an answer with this `Date` arrives at `received` by our clock.
pub(super) fn seconds_ahead(date: UnixMillis, received: UnixMillis) -> f64 {
    // The second was half over on average when it was written.
    let polars = i64::try_from(date).unwrap_or(i64::MAX).saturating_add(500);
    let ahead = i64::try_from(received).unwrap_or(i64::MAX).saturating_sub(polars);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a difference of clocks")]
    let seconds = ahead as f64 / 1_000.0;
    seconds
}

/// When an event that Polar refused for its timestamp, for the time after `times` others, is sent again by Polar's clock.
/// `latest` is the latest timestamp that it should have; should Polar still refuse it, the wait grows.
pub(super) fn due_again(latest: UnixMillis, polars_now: UnixMillis, times: u32) -> UnixMillis {
    let times = times.min(5);
    let wait = latest.saturating_sub(polars_now).min(FIRST_WAIT_MAX_MILLIS << times);
    polars_now + wait + (1_000 << times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_half_second_that_date_hides_is_allowed_for() {
        for (date, received, ahead) in
            [(10_000, 10_500, 0.0), (10_000, 20_500, 10.0), (20_000, 10_500, -10.0)]
        {
            assert!((seconds_ahead(date, received) - ahead).abs() < 1e-9);
        }
    }

    #[test]
    fn a_refused_timestamp_is_tried_again_later_and_later() {
        assert_eq!(due_again(5_000, 4_000, 0), 6_000);
        assert_eq!(due_again(5_000, 8_000, 1), 10_000);
        assert_eq!(due_again(5_000, 8_000, 99), 40_000);
        assert_eq!(
            due_again(3_600_000, 0, 0),
            61_000,
            "a clock set wrong holds nothing back for an hour at once"
        );
        assert_eq!(due_again(3_600_000, 61_000, 1), 183_000);
    }
}
