//! What was said in the log of Polar's failures.

use std::time::Duration;

use tokio::time::Instant;

/// Between two lines that say that Polar does not take events.
const DOWN_EVERY: Duration = Duration::from_secs(60);

/// Keeps the log readable: behind something that refuses some events Polar seems to fail, and to work again, many times a
/// minute. What lasts is told within a minute, and each end is told whose beginning was.
#[derive(Debug, Default)]
pub(super) struct Said {
    is_down: bool,
    told_at: Option<Instant>,
}

impl Said {
    /// A request failed. Whether it is told.
    pub(super) fn tells_down(&mut self, now: Instant) -> bool {
        if self.is_down || self.told_at.is_some_and(|told| now < told + DOWN_EVERY) {
            return false;
        }
        (self.is_down, self.told_at) = (true, Some(now));
        true
    }

    /// A request passed. Whether it is told.
    pub(super) fn tells_up(&mut self) -> bool {
        std::mem::take(&mut self.is_down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_and_ends_many_times_a_minute_is_told_once_and_what_lasts_is_told_for_certain() {
        let (mut said, begun) = (Said::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert!(said.tells_down(begun) && !said.tells_down(begun + second));
        assert!(said.tells_up() && !said.tells_up());
        for number in 2..60 {
            assert!(!said.tells_down(begun + second * number) && !said.tells_up(), "{number}");
        }
        assert!(said.tells_down(begun + DOWN_EVERY), "it fails still");
        assert!(said.tells_up());
    }
}
