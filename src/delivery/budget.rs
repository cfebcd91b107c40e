//! How many requests a minute: Polar's limit is shared by everything the organization runs.

use std::time::Duration;

use tokio::time::Instant;

/// Polar counts in windows of a minute.
const WINDOW: Duration = Duration::from_secs(60);
const WINDOW_SECONDS: usize = 60;
/// The least that a 429 leaves, as a part of the limit. Who sends less than that is not the one to slow down.
const RATE_MIN_PART: f64 = 0.05;
/// The least that a 429 leaves without a limit.
const RATE_MIN_WITHOUT_LIMIT: f64 = 60.0;
/// 429s of requests that were in flight together are one refusal.
const ONE_REFUSAL: Duration = Duration::from_secs(10);

/// A token bucket that fills within a minute, and learns from refusals how large Polar's limit really is: less at
/// once, more by and by, so that several senders of one organization share it without talking to each other.
///
/// A tenth of the rate may leave in one burst, the rest flows evenly; together they never exceed the rate in any
/// minute, wherever Polar's window begins.
#[derive(Debug)]
pub struct Budget {
    ceiling: Option<f64>,
    rate: Option<f64>,
    tokens: f64,
    filled: Instant,
    raised: Instant,
    refused: Option<Instant>,
    sent: SentInWindow,
}

impl Budget {
    /// A full budget of so many requests per minute; `None` for no limit until the first 429.
    #[must_use]
    pub fn new(per_minute: Option<u32>, now: Instant) -> Self {
        let rate = per_minute.map(f64::from);
        Self {
            ceiling: rate,
            rate,
            tokens: rate.map_or(0.0, burst),
            filled: now,
            raised: now,
            refused: None,
            sent: SentInWindow::new(now),
        }
    }

    /// Allows so many requests per minute from now on. A rate that refusals have lowered stays low and grows towards the
    /// new limit; one that was never lowered is the new limit at once.
    pub fn limit_to(&mut self, per_minute: Option<u32>, now: Instant) {
        let ceiling = per_minute.map(f64::from);
        if ceiling == self.ceiling {
            return;
        }
        self.fill(now);
        let was_lowered = self.rate != self.ceiling;
        self.rate = match (self.rate, ceiling) {
            (Some(rate), Some(ceiling)) if was_lowered => Some(rate.min(ceiling)),
            (Some(rate), None) if was_lowered => Some(rate),
            _ => ceiling,
        };
        self.ceiling = ceiling;
        self.filled = now;
        self.tokens = self.rate.map_or(0.0, |rate| self.tokens.min(burst(rate)));
    }

    /// Requests per minute as they are allowed now; `None` for no limit.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// When the next request may leave: `now` at the earliest.
    pub fn opens_at(&mut self, now: Instant) -> Instant {
        let Some(rate) = self.fill(now) else { return now };
        if self.tokens >= 1.0 {
            return now;
        }
        // A millisecond more than computed, so that the token is really there on waking.
        now + Duration::from_secs_f64((1.0 - self.tokens) / per_second(rate)) + Duration::from_millis(1)
    }

    /// A request leaves.
    pub fn spend(&mut self, now: Instant) {
        self.fill(now);
        self.sent.count(now);
        if let Some(rate) = self.rate {
            // What was spent elsewhere can't be refused; it is paid back by waiting, but for no longer than a minute.
            self.tokens = (self.tokens - 1.0).max(-rate);
        }
    }

    /// Polar refused a request for their number.
    pub fn refused(&mut self, now: Instant) {
        if self.refused.is_some_and(|last| now < last + ONE_REFUSAL) {
            return;
        }
        self.refused = Some(now);
        self.raised = now;
        let sent = f64::from(self.sent.total(now));
        let reached = self.rate.map_or(sent, |rate| sent.min(rate));
        let least = self.ceiling.map_or(RATE_MIN_WITHOUT_LIMIT, |ceiling| (ceiling * RATE_MIN_PART).max(1.0));
        self.rate = Some((reached / 2.0).max(least));
        self.tokens = self.tokens.min(0.0);
    }

    /// How long batches that are not full should gather: `least` while little is being sent, and as long as keeps them
    /// to a quarter of the budget otherwise. The rest is for full batches, and for whatever else the organization does.
    pub fn linger(&mut self, least: Duration, now: Instant) -> Duration {
        match self.rate {
            Some(rate) if f64::from(self.sent.total(now)) >= rate / 4.0 => {
                least.max(WINDOW.div_f64(rate / 4.0))
            }
            Some(_) | None => least,
        }
    }

    /// Whether a batch may leave without gathering at all.
    pub fn is_spare(&mut self, now: Instant) -> bool {
        self.rate.is_none_or(|rate| f64::from(self.sent.total(now)) < rate / 4.0)
    }

    fn fill(&mut self, now: Instant) -> Option<f64> {
        let mut rate = self.rate?;
        let minutes_without_refusal = now.saturating_duration_since(self.raised).as_secs() / 60;
        if minutes_without_refusal > 0 {
            self.raised += WINDOW * u32::try_from(minutes_without_refusal).unwrap_or(u32::MAX);
            #[expect(clippy::cast_precision_loss, reason = "a count of minutes")]
            let minutes = minutes_without_refusal as f64;
            let step = self.ceiling.map_or(25.0, |ceiling| (ceiling / 20.0).max(1.0));
            rate = (rate + step * minutes).min(self.ceiling.unwrap_or(f64::INFINITY));
            self.rate = Some(rate);
        }
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + elapsed * per_second(rate)).min(burst(rate));
        Some(rate)
    }
}

fn burst(rate: f64) -> f64 {
    (rate / 10.0).max(1.0)
}

/// What flows in a second, so that flow and burst together make the rate of a minute.
fn per_second(rate: f64) -> f64 {
    (rate - burst(rate)).max(rate / 2.0) / 60.0
}

/// Requests of the last minute, counted by the second.
#[derive(Debug)]
struct SentInWindow {
    begun: Instant,
    latest: u64,
    seconds: [u32; WINDOW_SECONDS],
}

impl SentInWindow {
    fn new(now: Instant) -> Self {
        Self { begun: now, latest: 0, seconds: [0; WINDOW_SECONDS] }
    }

    fn advance(&mut self, now: Instant) -> &mut u32 {
        let second = now.saturating_duration_since(self.begun).as_secs().max(self.latest);
        for passed in (self.latest + 1..=second).take(WINDOW_SECONDS) {
            *slot(&mut self.seconds, passed) = 0;
        }
        if second - self.latest > WINDOW_SECONDS as u64 {
            self.seconds = [0; WINDOW_SECONDS];
        }
        self.latest = second;
        slot(&mut self.seconds, second)
    }

    fn count(&mut self, now: Instant) {
        let second = self.advance(now);
        *second = second.saturating_add(1);
    }

    fn total(&mut self, now: Instant) -> u32 {
        self.advance(now);
        self.seconds.iter().fold(0, |total, second| total.saturating_add(*second))
    }
}

#[expect(clippy::indexing_slicing, reason = "the remainder is always below the length")]
fn slot(seconds: &mut [u32; WINDOW_SECONDS], second: u64) -> &mut u32 {
    let index = usize::try_from(second % WINDOW_SECONDS as u64).unwrap_or_default();
    &mut seconds[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greedy(budget: &mut Budget, from: Instant, length: Duration) -> Vec<Instant> {
        let mut sent = Vec::new();
        let mut now = from;
        while now < from + length {
            let opens = budget.opens_at(now);
            if opens <= now {
                budget.spend(now);
                sent.push(now);
            } else {
                now = opens;
            }
        }
        sent
    }

    #[test]
    fn no_minute_sees_more_than_the_limit_wherever_it_begins() {
        for limit in [10, 60, 100, 500, 6_000] {
            let begun = Instant::now();
            let sent = greedy(&mut Budget::new(Some(limit), begun), begun, Duration::from_secs(300));
            for (index, first) in sent.iter().enumerate() {
                let in_window = sent[index..].iter().take_while(|at| **at < *first + WINDOW).count();
                assert!(in_window <= limit as usize, "{in_window} of {limit} in a minute");
            }
            assert!(sent.len() >= limit as usize * 4, "only {} of {limit} a minute were used", sent.len());
        }
    }

    #[test]
    fn a_changed_limit_holds_at_once_and_what_was_learned_stays() {
        let begun = Instant::now();
        let mut budget = Budget::new(Some(100), begun);
        budget.limit_to(Some(500), begun);
        assert_eq!(budget.rate(), Some(500.0));
        for _ in 0..80 {
            budget.spend(begun);
        }
        budget.refused(begun);
        budget.limit_to(Some(1_000), begun);
        assert_eq!(budget.rate(), Some(40.0), "a raised limit is no news from Polar");
        budget.limit_to(Some(20), begun);
        assert_eq!(budget.rate(), Some(20.0));
        budget.limit_to(None, begun);
        assert_eq!(budget.rate(), None, "never lowered below the limit of 20");
        let mut unlimited = Budget::new(None, begun);
        unlimited.limit_to(Some(60), begun);
        let sent = greedy(&mut unlimited, begun, Duration::from_secs(60));
        assert!(sent.len() <= 60, "{} in the first minute of a limit of 60", sent.len());
    }

    #[test]
    fn without_a_limit_nothing_waits_until_the_first_refusal() {
        let begun = Instant::now();
        let mut budget = Budget::new(None, begun);
        for _ in 0..10_000 {
            assert_eq!(budget.opens_at(begun), begun);
            budget.spend(begun);
        }
        budget.refused(begun);
        assert_eq!(budget.rate(), Some(5_000.0));
        assert!(budget.opens_at(begun) > begun);
    }

    #[test]
    fn a_refusal_halves_what_was_really_sent_and_quiet_minutes_give_it_back() {
        let begun = Instant::now();
        let mut budget = Budget::new(Some(500), begun);
        for _ in 0..80 {
            budget.spend(begun);
        }
        budget.refused(begun);
        assert_eq!(budget.rate(), Some(40.0));
        budget.refused(begun + Duration::from_secs(1));
        assert_eq!(budget.rate(), Some(40.0), "requests in flight together are refused once");
        budget.opens_at(begun + Duration::from_secs(121));
        assert_eq!(budget.rate(), Some(90.0));
        budget.opens_at(begun + Duration::from_secs(3_600));
        assert_eq!(budget.rate(), Some(500.0));
        budget.refused(begun + Duration::from_secs(7_200));
        assert_eq!(budget.rate(), Some(25.0), "nothing of ours was sent in that minute");
    }

    #[test]
    fn two_senders_that_share_a_limit_come_to_share_it_evenly() {
        let begun = Instant::now();
        let mut senders = [Budget::new(Some(500), begun), Budget::new(Some(500), begun)];
        let mut last_ten = [0_u32; 2];
        let mut resume = begun;
        for minute in 0..60_u32 {
            let from = begun + WINDOW * minute;
            let mut in_window = 0;
            for step in 0..6_000_u64 {
                let now = from + Duration::from_millis(step * 10);
                for (budget, sent) in senders.iter_mut().zip(&mut last_ten) {
                    if now < resume || budget.opens_at(now) > now {
                        continue;
                    }
                    budget.spend(now);
                    in_window += 1;
                    if in_window > 500 {
                        budget.refused(now);
                        resume = from + WINDOW;
                    } else if minute >= 50 {
                        *sent += 1;
                    }
                }
            }
        }
        let [first, second] = last_ten.map(f64::from);
        assert!(first + second > 3_500.0, "{first} and {second} of 5,000");
        assert!(first / second < 1.8 && second / first < 1.8, "{first} and {second}");
    }

    #[test]
    fn a_trickle_leaves_at_once_until_it_would_eat_a_quarter_of_the_budget() {
        let begun = Instant::now();
        let mut budget = Budget::new(Some(100), begun);
        let least = Duration::from_millis(50);
        assert!(budget.is_spare(begun));
        for _ in 0..25 {
            budget.spend(begun);
        }
        assert!(!budget.is_spare(begun));
        assert_eq!(budget.linger(least, begun), Duration::from_millis(2_400));
        assert_eq!(budget.linger(least, begun + Duration::from_secs(61)), least);
    }
}
