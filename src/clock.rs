//! The only wall clock in the house. Everything that decides by time takes `now` as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the time of day comes from: the system, or a test's hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    hand: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The system's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self { hand: None }
    }

    /// A clock that shows whatever `hand` holds, for tests.
    #[must_use]
    pub fn by_hand(hand: Arc<AtomicU64>) -> Self {
        Self { hand: Some(hand) }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, now. A system clock set before 1970 reads as 0.
    #[must_use]
    pub fn now(&self) -> u64 {
        match &self.hand {
            Some(hand) => hand.load(Ordering::Relaxed),
            None => u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z, now, as [`now`](Self::now). Polar compares timestamps this finely.
    #[must_use]
    pub fn now_micros(&self) -> u64 {
        match &self.hand {
            Some(hand) => hand.load(Ordering::Relaxed).saturating_mul(1000),
            None => u64::try_from(since_1970().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
