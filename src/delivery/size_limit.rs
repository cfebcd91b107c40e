//! The largest batch that passes.
//!
//! Polar fails a request whose events match too many of its meters (4,681 matches), and a gateway before it may take
//! fewer bytes than Polar does. Neither says where its limit lies, so it is learned: what two halves of a batch pass
//! for that failed whole was its size. Then the limit grows back slowly, because meters come and go.

use std::time::Duration;

use tokio::time::Instant;

/// A learned limit grows once in this time.
const GROWTH_EVERY: Duration = Duration::from_secs(10 * 60);
/// By this part of itself.
const GROWTH_PART: usize = 8;
/// A 413 never teaches less. Gateways take far more; one that refuses everything for a while must not leave behind a limit
/// that lets a single event into a request for hours.
const LEARNED_BYTES_MIN: usize = 64 << 10;
/// Nobody has so many meters that fewer events than this match too many of them.
const TOO_MANY_EVENTS_FROM: usize = 64;

/// Limits of a batch's size: those that are set, and what was learned below them.
#[derive(Debug)]
pub(super) struct SizeLimit {
    events: Learned,
    bytes: Learned,
}

#[derive(Debug)]
struct Learned {
    ceiling: usize,
    /// What is allowed now, what passed for certain, and when either was last changed.
    lesson: Option<(usize, usize, Instant)>,
}

impl Learned {
    fn limit(&mut self, now: Instant) -> usize {
        let Some((limit, _, since)) = &mut self.lesson else { return self.ceiling };
        while now.saturating_duration_since(*since) >= GROWTH_EVERY && *limit < self.ceiling {
            *limit += (*limit / GROWTH_PART).max(1);
            *since += GROWTH_EVERY;
        }
        if *limit < self.ceiling {
            return *limit;
        }
        // The last step up is tried like the others before what was learned is forgotten.
        self.ceiling
    }

    fn learn(&mut self, passes: usize, now: Instant) {
        if passes < self.limit(now) {
            self.lesson = Some((passes.max(1), passes.max(1), now));
        }
    }

    fn passed(&mut self, size: usize) {
        let ceiling = self.ceiling;
        if let Some((_, proven, _)) = &mut self.lesson {
            *proven = size.max(*proven);
        }
        if self.lesson.is_some_and(|(limit, proven, _)| limit >= ceiling && proven >= ceiling) {
            self.lesson = None;
        }
    }

    fn exceeds_what_passed(&self, size: usize) -> bool {
        self.lesson.is_some_and(|(_, proven, _)| size > proven)
    }
}

impl SizeLimit {
    pub(super) fn new(events_max: usize, bytes_max: usize) -> Self {
        let learned = |ceiling| Learned { ceiling, lesson: None };
        Self { events: learned(events_max), bytes: learned(bytes_max) }
    }

    /// Other limits are set. What was learned stays.
    pub(super) fn limit_to(&mut self, events_max: usize, bytes_max: usize) {
        (self.events.ceiling, self.bytes.ceiling) = (events_max, bytes_max);
    }

    /// Events and bytes that a batch may have now.
    pub(super) fn now(&mut self, now: Instant) -> (usize, usize) {
        (self.events.limit(now), self.bytes.limit(now))
    }

    /// Whether a batch of this size is larger than what is known to pass, so that its size is the first suspect.
    pub(super) fn is_on_trial(&self, events: usize, bytes: usize) -> bool {
        self.events.exceeds_what_passed(events) || self.bytes.exceeds_what_passed(bytes)
    }

    /// A batch of this size passed.
    pub(super) fn passed(&mut self, events: usize, bytes: usize) {
        self.events.passed(events);
        self.bytes.passed(bytes);
    }

    /// Both halves of a batch of so many events passed, which had failed whole. Returns the new limit when this taught one.
    pub(super) fn halves_passed(&mut self, events: usize, now: Instant) -> Option<usize> {
        let before = self.events.limit(now);
        self.events.learn(events.div_ceil(2), now);
        let after = self.events.limit(now);
        (after < before).then_some(after)
    }

    /// Whether so many events may be too many for Polar by their number alone.
    pub(super) fn may_be_too_many_events(events: usize) -> bool {
        events >= TOO_MANY_EVENTS_FROM
    }

    /// Whether so many bytes may really be too many for somebody.
    pub(super) fn may_be_too_many(bytes: usize) -> bool {
        bytes > LEARNED_BYTES_MIN
    }

    /// Polar, or a gateway, refused so many bytes as too many.
    pub(super) fn too_many_bytes(&mut self, bytes: usize, now: Instant) {
        self.bytes.learn((bytes / 2).max(LEARNED_BYTES_MIN), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learned_limit_grows_back_slowly_and_each_step_is_on_trial_until_it_passes() {
        let now = Instant::now();
        let mut limit = SizeLimit::new(1_000, 1 << 20);
        assert_eq!(limit.halves_passed(1_000, now), Some(500));
        limit.passed(500, 9);
        assert!(!limit.is_on_trial(500, 9) && limit.is_on_trial(501, 9));
        assert_eq!(limit.now(now + GROWTH_EVERY).0, 562);
        assert!(limit.is_on_trial(562, 9));
        limit.passed(562, 9);
        assert!(!limit.is_on_trial(562, 9));
        assert_eq!(limit.now(now + GROWTH_EVERY * 10).0, 1_000);
        assert!(limit.is_on_trial(1_000, 9));
        limit.passed(1_000, 9);
        assert!(!limit.is_on_trial(1_000, 9));
    }

    #[test]
    fn a_refused_number_of_bytes_is_halved_and_a_gateway_that_refuses_all_does_not_leave_a_tiny_limit_behind()
    {
        let now = Instant::now();
        let mut limit = SizeLimit::new(1_000, 4_000_000);
        limit.too_many_bytes(3_000_000, now);
        assert_eq!(limit.now(now).1, 1_500_000);
        limit.too_many_bytes(1, now);
        assert_eq!(limit.now(now).1, LEARNED_BYTES_MIN);
        limit.limit_to(10, 1_000_000);
        assert_eq!(limit.now(now), (10, LEARNED_BYTES_MIN));
    }
}
