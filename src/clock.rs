//! The only wall clock in the house. Everything that decides by time takes `now` as an argument.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Polar tells its time in whole seconds, and its answers travel: closer than this, clocks agree.
const TOLERANCE_MILLIS: u64 = 2_000;
/// Two clocks that are not corrected part by less than a millisecond in so many.
const DRIFT_PART: u64 = 10_000;

/// Where the time of day comes from: the system, or a test's hand. Clones share what is known of Polar's clock.
#[derive(Clone, Debug)]
pub struct Clock {
    hands: Option<Hands>,
    polars: Arc<Mutex<PolarsClock>>,
}

#[derive(Clone, Debug)]
struct Hands {
    wall: Arc<AtomicU64>,
    steady: Arc<AtomicU64>,
}

/// Polar's clock, carried on by a clock that nobody can set.
#[derive(Debug, Default)]
struct PolarsClock {
    known: Option<Reading>,
    /// One that nothing confirms yet: a gateway on the way may have written it.
    doubtful: Option<Reading>,
}

/// What Polar's clock and ours that runs steadily showed at one moment, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Reading {
    polars: u64,
    steady: u64,
}

impl Reading {
    /// What Polar's clock shows when the steady one shows `steady`.
    fn at(self, steady: u64) -> u64 {
        self.polars.saturating_add(steady.saturating_sub(self.steady))
    }

    fn tolerance_at(self, steady: u64) -> u64 {
        TOLERANCE_MILLIS + steady.saturating_sub(self.steady) / DRIFT_PART
    }

    fn agrees_with(self, later: Self) -> bool {
        self.at(later.steady).abs_diff(later.polars) <= self.tolerance_at(later.steady)
    }
}

impl Clock {
    /// The system's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self { hands: None, polars: Arc::default() }
    }

    /// A clock that shows whatever `hand` holds, for tests.
    #[must_use]
    pub fn by_hand(hand: Arc<AtomicU64>) -> Self {
        Self::by_hands(Arc::clone(&hand), hand)
    }

    /// A clock whose time of day can be set without its steady time knowing, for tests.
    #[must_use]
    pub fn by_hands(wall: Arc<AtomicU64>, steady: Arc<AtomicU64>) -> Self {
        Self { hands: Some(Hands { wall, steady }), ..Self::system() }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, now. A system clock set before 1970 reads as 0.
    #[must_use]
    pub fn now(&self) -> u64 {
        match &self.hands {
            Some(hands) => hands.wall.load(Ordering::Relaxed),
            None => u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z, now, as [`now`](Self::now). Polar compares timestamps this finely.
    #[must_use]
    pub fn now_micros(&self) -> u64 {
        match &self.hands {
            Some(hands) => hands.wall.load(Ordering::Relaxed).saturating_mul(1000),
            None => u64::try_from(since_1970().as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// The time of day by Polar's clock, never ahead of it: ours while the two agree, or while nothing is known of
    /// Polar's. Setting our clock does not move it.
    #[must_use]
    pub fn polars_now(&self) -> u64 {
        let now = self.now();
        let known = self.polars.lock().unwrap_or_else(PoisonError::into_inner).known;
        let Some(known) = known else { return now };
        let steady = self.steady();
        let polars = known.at(steady);
        if polars.abs_diff(now) <= known.tolerance_at(steady) { now } else { polars }
    }

    /// An answer of Polar's that has just arrived says what time it is there. One that differs from what is known
    /// counts once a second one agrees with it.
    pub fn sync_to(&self, polars: u64) {
        let reading = Reading { polars, steady: self.steady() };
        let mut clock = self.polars.lock().unwrap_or_else(PoisonError::into_inner);
        let is_confirmed =
            [clock.known, clock.doubtful].into_iter().flatten().any(|earlier| earlier.agrees_with(reading));
        *clock = if is_confirmed {
            PolarsClock { known: Some(reading), doubtful: None }
        } else {
            PolarsClock { doubtful: Some(reading), ..*clock }
        };
    }

    /// Milliseconds of a clock that nobody sets and that goes on while the machine sleeps.
    fn steady(&self) -> u64 {
        match &self.hands {
            Some(hands) => hands.steady.load(Ordering::Relaxed),
            None => {
                let since_boot = clock_gettime(ClockId::Boottime);
                let seconds = u64::try_from(since_boot.tv_sec).unwrap_or_default();
                let millis = u64::try_from(since_boot.tv_nsec).unwrap_or_default() / 1_000_000;
                seconds.saturating_mul(1_000).saturating_add(millis)
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_800_000_000_000;
    const HOUR: u64 = 3_600_000;

    fn hands() -> (Arc<AtomicU64>, Arc<AtomicU64>, Clock) {
        let (wall, steady) = (Arc::new(AtomicU64::new(NOON)), Arc::new(AtomicU64::new(77)));
        let clock = Clock::by_hands(Arc::clone(&wall), Arc::clone(&steady));
        (wall, steady, clock)
    }

    #[test]
    fn a_clock_that_is_set_by_an_hour_does_not_move_polars_time() {
        for set_by in [HOUR, HOUR.wrapping_neg()] {
            let (wall, steady, clock) = hands();
            assert_eq!(clock.polars_now(), NOON, "nothing is known yet");
            for _ in 0..2 {
                clock.sync_to(NOON - 700);
                assert_eq!(clock.polars_now(), NOON, "they agree");
            }
            wall.fetch_add(set_by, Ordering::Relaxed);
            assert_eq!(clock.polars_now(), NOON - 700, "set by {set_by}");
            steady.fetch_add(5_000, Ordering::Relaxed);
            assert_eq!(clock.polars_now(), NOON + 4_300);
            wall.store(NOON + 5_000, Ordering::Relaxed);
            assert_eq!(clock.polars_now(), NOON + 5_000, "set right again");
        }
    }

    #[test]
    fn one_wild_date_counts_for_nothing_and_two_that_agree_do() {
        let (_, steady, clock) = hands();
        clock.sync_to(NOON + HOUR);
        assert_eq!(clock.polars_now(), NOON);
        clock.sync_to(NOON);
        clock.sync_to(NOON);
        clock.sync_to(NOON - HOUR);
        clock.sync_to(NOON + HOUR);
        clock.sync_to(NOON);
        clock.sync_to(NOON + HOUR);
        assert_eq!(clock.polars_now(), NOON, "never two of them together");
        steady.fetch_add(1_000, Ordering::Relaxed);
        clock.sync_to(NOON + HOUR + 1_000);
        assert_eq!(clock.polars_now(), NOON + HOUR + 1_000);
    }

    #[test]
    fn the_systems_steady_clock_runs() {
        let clock = Clock::system();
        let begun = clock.steady();
        while clock.steady() == begun {}
        assert!(clock.polars_now().abs_diff(clock.now()) < 1_000);
    }
}
