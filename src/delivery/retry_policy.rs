//! How long to wait after a failure.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;

/// The longest wait an answer can ask for: a `Retry-After` in days is a mistake, and events should not wait for it.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);
/// The interval has long reached its limit after so many failures.
const STEPS_MAX: u32 = 64;

/// An exponential interval with full jitter. It never gives up: what is pending is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The interval after the first failure.
    pub interval: Duration,
    /// The longest interval.
    pub interval_max: Duration,
}

impl RetryPolicy {
    /// The interval after so many failures in a row.
    #[must_use]
    pub fn interval_after(&self, failures: u32) -> Duration {
        let mut backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.interval)
            .with_max_interval(self.interval_max)
            .with_multiplier(2.0)
            // The jitter is drawn over the whole interval below, from a source that tests can seed.
            .with_randomization_factor(0.0)
            // Otherwise it would end after 15 minutes, and an outage can be longer.
            .with_max_elapsed_time(None)
            .build();
        let steps = failures.clamp(1, STEPS_MAX);
        (0..steps).filter_map(|_| backoff.next_backoff()).last().unwrap_or(self.interval_max)
    }

    /// The wait after so many failures in a row: anything up to the interval, so that many senders don't return
    /// together; and never less than the answer asked for.
    pub fn wait(&self, failures: u32, floor: Option<Duration>, rng: &mut fastrand::Rng) -> Duration {
        let jitter = self.interval_after(failures).mul_f64(rng.f64());
        floor.unwrap_or_default().min(RETRY_AFTER_MAX) + jitter
    }

    /// The wait after a 429. Others were refused with us, so the jitter grows with what was asked for.
    pub fn wait_after_limit(&self, floor: Option<Duration>, rng: &mut fastrand::Rng) -> Duration {
        let floor = floor.unwrap_or(self.interval_max).min(RETRY_AFTER_MAX);
        let jitter = (floor / 8).max(Duration::from_secs(1)).mul_f64(rng.f64());
        floor + jitter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { interval: Duration::from_millis(500), interval_max: Duration::from_secs(30) };

    #[test]
    fn the_interval_doubles_to_its_limit_and_never_ends() {
        let millis = |failures| POLICY.interval_after(failures).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(millis), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
        assert_eq!(millis(u32::MAX), 30_000);
        assert_eq!(millis(0), 500);
    }

    #[test]
    fn the_jitter_covers_the_whole_interval() {
        let mut rng = fastrand::Rng::with_seed(7);
        let waits: Vec<Duration> = (0..1_000).map(|_| POLICY.wait(7, None, &mut rng)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(30)));
        assert!(waits.iter().any(|wait| *wait < Duration::from_secs(1)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(29)));
    }

    #[test]
    fn what_polar_asks_for_is_the_least_that_is_waited() {
        let mut rng = fastrand::Rng::with_seed(7);
        let minute = Duration::from_secs(60);
        for _ in 0..100 {
            assert!(POLICY.wait(1, Some(minute), &mut rng) >= minute);
            let after_limit = POLICY.wait_after_limit(Some(minute), &mut rng);
            assert!(after_limit >= minute && after_limit < minute + minute / 4);
        }
        let years = Some(Duration::from_secs(u64::MAX));
        assert!(POLICY.wait_after_limit(years, &mut rng) <= 2 * RETRY_AFTER_MAX);
    }
}
