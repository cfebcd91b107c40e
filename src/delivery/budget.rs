//! How many requests a minute: Polar's limit is shared by everything the organization runs.

use std::time::Duration;

use tokio::time::Instant;

/// Polar counts in windows of a minute.
const WINDOW: Duration = Duration::from_secs(60);
const WINDOW_SECONDS: usize = 60;
/// The pace of a sender shows in its last seconds, long before a minute is over.
const PACE_SECONDS: usize = 5;
/// The least that a 429 leaves, as a part of the limit: a hundred senders at their least still fit into it.
const RATE_MIN_PART: f64 = 0.01;
/// The least that a 429 leaves without a limit.
const RATE_MIN_WITHOUT_LIMIT: f64 = 5.0;
/// Who sends less than this without a limit is not the one to slow down.
const NEXT_TO_NOTHING: f64 = 60.0;
/// Beyond this, a rate that was learned without a limit holds nobody up any more.
const RATE_THAT_IS_NONE: f64 = 60_000.0;
/// What was refused is reached again after so many of the waits that Polar asked for.
const WAITS_UNTIL_RECOVERED: u32 = 10;
/// What a refusal takes from a sender of next to nothing, and how much more from one that has all of the limit: who
/// holds more gives more, and that is what makes the shares of several senders even in time.
const CUT_LEAST: f64 = 0.15;
const CUT_MORE: f64 = 0.35;
/// What a sender without a limit gives.
const CUT_WITHOUT_LIMIT: f64 = 0.25;
/// Every share grows by this part of the limit a minute beside what it regains, so that a small one does not stay small.
const GROWTH_PART: f64 = 0.000_2;

/// A token bucket that fills within a minute, and learns from refusals how large its share of Polar's limit really is,
/// so that several senders of one organization share the limit without talking to each other.
///
/// A tenth of the rate may leave in one burst, the rest flows evenly; together they never exceed the rate in any
/// minute, wherever Polar's window begins.
#[derive(Debug)]
pub struct Budget {
    ceiling: Option<f64>,
    lesson: Option<Lesson>,
    tokens: f64,
    filled: Instant,
    sent: SentInWindow,
    sent_since_refusal: u32,
    /// When a refusal was last taken to be the fault of others.
    spared: Option<Instant>,
}

/// What a refusal taught. From `bottom` the rate rises quickly towards `top`, stays near it for long, because that is
/// where the limit is, and then rises faster and faster, because the limit is not there any more.
#[derive(Clone, Copy, Debug)]
struct Lesson {
    at: Instant,
    /// What was being sent when it was too much.
    top: f64,
    /// What was allowed after that.
    bottom: f64,
    /// How long until `top` is allowed again.
    recovery: Duration,
}

impl Lesson {
    fn rate(&self, now: Instant, ceiling: Option<f64>) -> f64 {
        let elapsed = now.saturating_duration_since(self.at);
        let way = elapsed.as_secs_f64() / self.recovery.as_secs_f64() - 1.0;
        let ahead = if way < 0.0 { self.top - self.bottom } else { 2.0 * self.top };
        let growth = ceiling.unwrap_or(0.0) * GROWTH_PART * elapsed.as_secs_f64() / 60.0;
        self.top + ahead * way.powi(3) + growth
    }
}

impl Budget {
    /// A full budget of so many requests per minute; `None` for no limit until the first 429.
    #[must_use]
    pub fn new(per_minute: Option<u32>, now: Instant) -> Self {
        let ceiling = per_minute.map(f64::from);
        Self {
            ceiling,
            lesson: None,
            tokens: ceiling.map_or(0.0, burst),
            filled: now,
            sent: SentInWindow::new(now),
            sent_since_refusal: 0,
            spared: None,
        }
    }

    /// Allows so many requests per minute from now on. What refusals taught stays: a raised limit is no news from Polar.
    pub fn limit_to(&mut self, per_minute: Option<u32>, now: Instant) {
        let ceiling = per_minute.map(f64::from);
        if ceiling == self.ceiling {
            return;
        }
        self.fill(now);
        self.ceiling = ceiling;
        self.filled = now;
        self.tokens = self.rate(now).map_or(0.0, |rate| self.tokens.min(burst(rate)));
    }

    /// Requests per minute as they are allowed now; `None` for no limit.
    pub fn rate(&mut self, now: Instant) -> Option<f64> {
        let Some(lesson) = self.lesson else { return self.ceiling };
        let rate = lesson.rate(now, self.ceiling);
        if rate < self.ceiling.unwrap_or(RATE_THAT_IS_NONE) {
            return Some(rate);
        }
        self.lesson = None;
        self.ceiling
    }

    /// When the next request may leave: `now` at the earliest.
    pub fn opens_at(&mut self, now: Instant) -> Instant {
        self.holds_at(|_| 1.0, now)
    }

    /// When one that can wait may leave, so that half a burst is always left for the others.
    pub fn is_ample_at(&mut self, now: Instant) -> Instant {
        self.holds_at(|rate| (burst(rate) / 2.0).max(1.0), now)
    }

    fn holds_at(&mut self, wanted: impl FnOnce(f64) -> f64, now: Instant) -> Instant {
        let Some(rate) = self.fill(now) else { return now };
        let wanted = wanted(rate);
        if self.tokens >= wanted {
            return now;
        }
        // A millisecond more than computed, so that the token is really there on waking.
        now + Duration::from_secs_f64((wanted - self.tokens) / per_second(rate)) + Duration::from_millis(1)
    }

    /// A request leaves.
    pub fn spend(&mut self, now: Instant) {
        self.sent.count(now);
        self.sent_since_refusal = self.sent_since_refusal.saturating_add(1);
        if let Some(rate) = self.fill(now) {
            // What was spent elsewhere can't be refused; it is paid back by waiting, but for no longer than a minute.
            self.tokens = (self.tokens - 1.0).max(-rate);
        }
    }

    /// Polar refused a request for their number, and asked for this wait.
    pub fn refused(&mut self, now: Instant, retry_after: Option<Duration>) {
        // Requests that were in flight together are refused once, and the one that finds out whether the window is over
        // says only that it is not.
        let is_the_same = (self.lesson.is_some() || self.spared.is_some()) && self.sent_since_refusal <= 1;
        self.sent_since_refusal = 0;
        self.fill(now);
        (self.tokens, self.filled) = (self.tokens.min(0.0), now);
        if is_the_same {
            return;
        }
        let recovery =
            retry_after.unwrap_or(WINDOW).clamp(Duration::from_secs(1), WINDOW) * WAITS_UNTIL_RECOVERED;
        let sent = f64::from(self.sent.total(now, WINDOW_SECONDS)) - 1.0;
        let pace = f64::from(self.sent.total(now, PACE_SECONDS)) * 60.0 / PACE_SECONDS as f64;
        let rate = self.rate(now);
        // Who sends next to nothing is not the one to slow down, unless it happens again.
        let is_innocent = pace.max(sent) < rate.map_or(NEXT_TO_NOTHING, |rate| rate / 4.0);
        if is_innocent && self.spared.is_none_or(|spared| now >= spared + recovery) {
            self.spared = Some(now);
            return;
        }
        let least = self.ceiling.map_or(RATE_MIN_WITHOUT_LIMIT, |ceiling| (ceiling * RATE_MIN_PART).max(1.0));
        let top = sent.min(rate.unwrap_or(f64::INFINITY)).max(least);
        let cut = self.ceiling.map_or(CUT_WITHOUT_LIMIT, |ceiling| CUT_LEAST + CUT_MORE * top / ceiling);
        self.lesson = Some(Lesson { at: now, top, bottom: (top * (1.0 - cut)).max(least), recovery });
    }

    /// How long batches that are not full should gather: `least` while little is being sent, and as long as keeps them
    /// to their part of the budget otherwise. The rest is for full batches, and for whatever else the organization does.
    pub fn linger(&mut self, least: Duration, now: Instant) -> Duration {
        match self.part_of_small_batches(now) {
            Some(part) if f64::from(self.sent.total(now, WINDOW_SECONDS)) >= part => {
                least.max(WINDOW.div_f64(part))
            }
            Some(_) | None => least,
        }
    }

    /// Whether a batch may leave without gathering at all.
    pub fn is_spare(&mut self, now: Instant) -> bool {
        let part = self.part_of_small_batches(now);
        part.is_none_or(|part| f64::from(self.sent.total(now, WINDOW_SECONDS)) < part)
    }

    /// A quarter of the limit; of a share that was learned, what the others leave to us, three quarters.
    fn part_of_small_batches(&mut self, now: Instant) -> Option<f64> {
        let rate = self.rate(now)?;
        let learned = self.lesson.map(|_| rate * 0.75);
        let part =
            [self.ceiling.map(|ceiling| ceiling / 4.0), learned].into_iter().flatten().reduce(f64::min);
        Some(part.unwrap_or(rate))
    }

    fn fill(&mut self, now: Instant) -> Option<f64> {
        let rate = self.rate(now)?;
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

    /// How many in the last `seconds` of the window.
    fn total(&mut self, now: Instant, seconds: usize) -> u32 {
        self.advance(now);
        let latest = self.latest + WINDOW_SECONDS as u64;
        let last = (0..seconds.min(WINDOW_SECONDS) as u64).map(|ago| *slot(&mut self.seconds, latest - ago));
        last.fold(0, u32::saturating_add)
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
        assert_eq!(budget.rate(begun), Some(500.0));
        for _ in 0..81 {
            budget.spend(begun);
        }
        budget.refused(begun, None);
        let learned = budget.rate(begun).unwrap();
        assert!(learned < 80.0);
        budget.limit_to(Some(1_000), begun);
        assert_eq!(budget.rate(begun), Some(learned), "a raised limit is no news from Polar");
        budget.limit_to(Some(20), begun);
        assert_eq!(budget.rate(begun), Some(20.0));
        let mut unlimited = Budget::new(None, begun);
        assert_eq!(unlimited.rate(begun), None);
        unlimited.limit_to(Some(60), begun);
        let sent = greedy(&mut unlimited, begun, Duration::from_secs(60));
        assert!(sent.len() <= 60, "{} in the first minute of a limit of 60", sent.len());
    }

    #[test]
    fn without_a_limit_nothing_waits_until_the_first_refusal() {
        let begun = Instant::now();
        let mut budget = Budget::new(None, begun);
        for _ in 0..10_001 {
            assert_eq!(budget.opens_at(begun), begun);
            budget.spend(begun);
        }
        budget.refused(begun, None);
        assert_eq!(budget.rate(begun), Some(7_500.0));
        assert!(budget.opens_at(begun) > begun);
    }

    #[test]
    fn without_a_limit_refusals_of_probes_leave_no_trace_and_others_are_forgotten_at_the_pace_that_is_asked_for()
     {
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        let after = |seconds| begun + second * seconds;
        for wait in [second, WINDOW] {
            // One request at a time finds out whether Polar is back after an outage, and each is refused.
            let mut budget = Budget::new(None, begun);
            for number in 0..3 {
                budget.spend(after(number));
                budget.refused(after(number), Some(wait));
            }
            assert_eq!(budget.rate(after(3)), None, "a backlog waits for nothing more");
        }
        for (wait, sent_in_the_next_minute) in [(second, 2_000..60_000), (WINDOW, 60..120)] {
            let mut budget = Budget::new(None, begun);
            for _ in 0..101 {
                budget.spend(begun);
            }
            budget.refused(begun, Some(wait));
            assert_eq!(budget.rate(begun), Some(75.0));
            let sent = greedy(&mut budget, begun, WINDOW).len();
            assert!(
                sent_in_the_next_minute.contains(&sent),
                "{sent} in the minute after a 429 that asks for {wait:?}"
            );
        }
    }

    #[test]
    fn a_refusal_leaves_most_of_what_was_really_sent_and_what_was_lost_comes_back() {
        let begun = Instant::now();
        let mut budget = Budget::new(Some(500), begun);
        for _ in 0..201 {
            budget.spend(begun);
        }
        budget.refused(begun, None);
        let bottom = budget.rate(begun).unwrap();
        assert!((bottom - 142.0).abs() < 1e-9, "{bottom} of 200: a large share gives more than a small one");
        budget.refused(begun + Duration::from_secs(1), None);
        budget.spend(begun + WINDOW);
        budget.refused(begun + WINDOW, None);
        let rate = budget.rate(begun + WINDOW).unwrap();
        assert!(rate > bottom, "in flight together, or finding out whether the minute is over: refused once");
        let minutes: Vec<f64> = (0..40).map_while(|minute| budget.rate(begun + WINDOW * minute)).collect();
        assert!(minutes.is_sorted());
        assert!((minutes[10] - 201.0).abs() < 1e-6, "{minutes:?}");
        assert!(minutes[5] > 190.0 && minutes[14] < 240.0, "long near what was refused: {minutes:?}");
        assert_eq!(minutes[30], 500.0);
    }

    #[test]
    fn who_sends_next_to_nothing_is_slowed_down_only_when_it_is_refused_again() {
        let begun = Instant::now();
        let mut budget = Budget::new(Some(500), begun);
        for second in 0..60 {
            budget.spend(begun + Duration::from_secs(second));
        }
        budget.refused(begun + WINDOW, None);
        assert_eq!(budget.rate(begun + WINDOW), Some(500.0), "others used the limit up");
        for second in 120..180 {
            budget.spend(begun + Duration::from_secs(second));
        }
        budget.refused(begun + WINDOW * 3, None);
        assert!(budget.rate(begun + WINDOW * 3).unwrap() < 60.0);
    }

    #[test]
    fn two_senders_that_share_a_limit_come_to_share_it_evenly() {
        let begun = Instant::now();
        let mut senders = [Budget::new(Some(500), begun), Budget::new(Some(500), begun)];
        // One of them was alone before.
        senders[1].ceiling = Some(20.0);
        let mut last_ten = [0_u32; 2];
        let mut resume = begun;
        for minute in 0..120_u32 {
            let from = begun + WINDOW * minute;
            if minute == 10 {
                senders[1].limit_to(Some(500), from);
            }
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
                        budget.refused(now, Some(WINDOW));
                        resume = from + WINDOW;
                    } else if minute >= 110 {
                        *sent += 1;
                    }
                }
            }
        }
        let [first, second] = last_ten.map(f64::from);
        assert!(first + second > 3_500.0, "{first} and {second} of 5,000");
        assert!(first / second < 2.0 && second / first < 2.0, "{first} and {second}");
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
