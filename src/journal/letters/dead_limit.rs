//! The limit on dead letters, counted as they are written down, before compression, and how loudly it is reached: often enough to be heard, seldom enough to be read.

use std::time::{Duration, Instant};

/// What happens in between is summed up.
const SILENCE: Duration = Duration::from_secs(60);

/// The limit of the `dead` row.
#[derive(Debug)]
pub(in crate::journal) struct DeadLimit {
    bytes_max: u64,
    refused: Bell,
    given_up: Bell,
}

/// One kind of trouble, counted always and heard now and then.
#[derive(Debug, Default)]
struct Bell {
    quiet_until: Option<Instant>,
    unheard: u64,
}

impl Bell {
    fn ring(&mut self, cases: u64, now: Instant) -> Option<u64> {
        self.unheard += cases;
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now + SILENCE);
        Some(std::mem::take(&mut self.unheard))
    }
}

impl DeadLimit {
    pub(in crate::journal) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, refused: Bell::default(), given_up: Bell::default() }
    }

    /// Why nothing more is kept that need not be, or `None`.
    pub(in crate::journal) fn refusal(&self, bytes: u64) -> Option<String> {
        (bytes >= self.bytes_max).then(|| {
            format!("its dead letters hold {bytes} of the {} bytes of dead_bytes_max", self.bytes_max)
        })
    }

    /// Refused events were not kept at `now`. Says of how many to speak, when it is time to speak.
    pub(in crate::journal) fn not_kept(&mut self, events: u64, now: Instant) -> Option<u64> {
        self.refused.ring(events, now)
    }

    /// Events that delivery gave up were kept beyond the limit at `now`. Says of how many to speak, when it is time.
    pub(in crate::journal) fn kept_beyond(&mut self, events: u64, now: Instant) -> Option<u64> {
        self.given_up.ring(events, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_reached_when_its_last_byte_is() {
        let limit = DeadLimit::new(1_000);
        assert_eq!(limit.refusal(999), None);
        assert!(limit.refusal(1_000).unwrap().contains("1000 of the 1000 bytes of dead_bytes_max"));
    }

    #[test]
    fn a_full_row_is_spoken_of_at_once_and_then_now_and_then_with_nothing_left_out() {
        let mut limit = DeadLimit::new(0);
        let start = Instant::now();
        assert_eq!(limit.not_kept(3, start), Some(3));
        assert_eq!(limit.not_kept(5, start + SILENCE / 2), None);
        assert_eq!(limit.kept_beyond(1, start + SILENCE / 2), Some(1), "the two are told apart");
        assert_eq!(limit.not_kept(1, start + SILENCE), Some(6));
    }
}
