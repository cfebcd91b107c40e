//! Whether a request may leave now, as far as Polar's last answers go.

use std::time::Duration;

use tokio::time::Instant;

use super::hold::HoldReason;
use super::retry_policy::RetryPolicy;

/// Polar counts the first request of a token it has not seen for 300 s in a much smaller zone: a burst would be refused.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(240);

/// The way to Polar, as the last answers showed it.
#[derive(Debug)]
pub(super) struct Gate {
    policy: RetryPolicy,
    slow_probe: Duration,
    way: Way,
    /// Nothing leaves before: Polar asked for it.
    quiet_until: Option<Instant>,
    last_answer: Option<Instant>,
    /// Since when another token is used: answers to older requests say nothing of it.
    another_token: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// Nothing is known: one request goes first.
    Unproven,
    /// The last request was answered as it should be.
    Proven,
    /// Requests fail: one at a time, and not before `next`.
    Failing { failures: u32, since_request: Instant, next: Instant, fault: String },
    /// A person must mend something: one at a time and rarely.
    Held { reason: HoldReason, next: Instant },
}

/// What the gate says to the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// It may leave.
    Open,
    /// It may leave if it is the only one.
    Probe,
    /// Not before this instant.
    At(Instant),
}

impl Gate {
    pub(super) fn new(policy: RetryPolicy, slow_probe: Duration) -> Self {
        Self {
            policy,
            slow_probe,
            way: Way::Unproven,
            quiet_until: None,
            last_answer: None,
            another_token: None,
        }
    }

    /// Waits by these from now on.
    pub(super) fn change_pace(&mut self, policy: RetryPolicy, slow_probe: Duration) {
        (self.policy, self.slow_probe) = (policy, slow_probe);
    }

    /// Whether a request may leave. `idle`: none is in flight.
    pub(super) fn opening(&mut self, now: Instant, idle: bool) -> Opening {
        if let Some(until) = self.quiet_until {
            if now < until {
                return Opening::At(until);
            }
            self.quiet_until = None;
        }
        if idle
            && self.way == Way::Proven
            && self.last_answer.is_none_or(|last| now >= last + FORGOTTEN_AFTER)
        {
            self.way = Way::Unproven;
        }
        match &self.way {
            Way::Proven => Opening::Open,
            Way::Unproven => Opening::Probe,
            Way::Failing { next, .. } | Way::Held { next, .. } if now < *next => Opening::At(*next),
            Way::Failing { .. } | Way::Held { .. } => Opening::Probe,
        }
    }

    /// Polar works, as the answer to a request of `sent` shows. Returns what had been wrong until now.
    pub(super) fn proven(&mut self, sent: Instant, now: Instant) -> Option<String> {
        self.last_answer = Some(now);
        if self.way == Way::Unproven && self.another_token.is_some_and(|since| sent < since) {
            return None;
        }
        match std::mem::replace(&mut self.way, Way::Proven) {
            Way::Unproven | Way::Proven => None,
            Way::Failing { fault, .. } => Some(fault),
            Way::Held { reason, .. } => Some(format!("held: {}", reason.as_str())),
        }
    }

    /// A request that left at `sent` failed. Requests that were in flight together fail for one reason and count once.
    /// While delivery is held it stays held: the fault may well be there still.
    pub(super) fn failed(
        &mut self,
        sent: Instant,
        now: Instant,
        retry_after: Option<Duration>,
        fault: String,
        rng: &mut fastrand::Rng,
    ) {
        let failures = match &mut self.way {
            Way::Held { next, .. } => {
                *next = now + self.slow_probe;
                return;
            }
            Way::Failing { since_request, .. } if sent < *since_request => return,
            Way::Failing { failures, .. } => failures.saturating_add(1),
            Way::Unproven | Way::Proven => 1,
        };
        let next = now + self.policy.wait(failures, retry_after, rng);
        self.way = Way::Failing { failures, since_request: now, next, fault };
    }

    /// Polar refused a request for their number.
    pub(super) fn limited(&mut self, now: Instant, retry_after: Option<Duration>, rng: &mut fastrand::Rng) {
        let until = now + self.policy.wait_after_limit(retry_after, rng);
        self.quiet_until = self.quiet_until.max(Some(until));
        if self.way == Way::Proven {
            self.way = Way::Unproven;
        }
    }

    /// A person must mend something. Returns whether that is news.
    pub(super) fn hold(&mut self, reason: HoldReason, now: Instant) -> bool {
        let news = self.held() != Some(reason);
        self.way = Way::Held { reason, next: now + self.slow_probe };
        news
    }

    /// Another token is used from now on: while Polar does not know it, one request goes first.
    pub(super) fn warm_up(&mut self, now: Instant) {
        self.another_token = Some(now);
        if self.way == Way::Proven {
            self.way = Way::Unproven;
        }
    }

    /// Whatever was in the way may be mended: one request goes and finds out.
    pub(super) fn probe_now(&mut self, now: Instant) {
        match &mut self.way {
            Way::Failing { next, .. } | Way::Held { next, .. } => *next = now,
            Way::Unproven | Way::Proven => {}
        }
    }

    /// Why delivery is held, when it is.
    pub(super) fn held(&self) -> Option<HoldReason> {
        match self.way {
            Way::Held { reason, .. } => Some(reason),
            Way::Unproven | Way::Proven | Way::Failing { .. } => None,
        }
    }

    /// What fails, and how often it did in a row.
    pub(super) fn failing(&self) -> Option<(&str, u32)> {
        match &self.way {
            Way::Failing { failures, fault, .. } => Some((fault, *failures)),
            Way::Unproven | Way::Proven | Way::Held { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_secs(30);

    fn gate() -> (Gate, fastrand::Rng, Instant) {
        let policy = RetryPolicy { interval: Duration::from_millis(500), interval_max: SLOW };
        (Gate::new(policy, SLOW), fastrand::Rng::with_seed(1), Instant::now())
    }

    #[test]
    fn the_first_request_goes_alone_and_so_does_the_first_after_a_long_silence() {
        let (mut gate, _, now) = gate();
        assert_eq!(gate.opening(now, true), Opening::Probe);
        gate.proven(now, now);
        assert_eq!(gate.opening(now, true), Opening::Open);
        assert_eq!(gate.opening(now + FORGOTTEN_AFTER, false), Opening::Open);
        assert_eq!(gate.opening(now + FORGOTTEN_AFTER, true), Opening::Probe);
        gate.proven(now, now);
        let later = now + Duration::from_secs(1);
        gate.warm_up(later);
        gate.proven(now, later);
        assert_eq!(gate.opening(later, true), Opening::Probe, "Polar does not know the other token yet");
        gate.proven(later, later);
        assert_eq!(gate.opening(later, true), Opening::Open);
    }

    #[test]
    fn requests_that_fail_together_count_once() {
        let (mut gate, mut rng, now) = gate();
        gate.proven(now, now);
        let later = now + Duration::from_secs(1);
        for _ in 0..8 {
            gate.failed(now, later, None, "x".to_owned(), &mut rng);
        }
        assert_eq!(gate.failing(), Some(("x", 1)));
        gate.failed(later, later, None, "y".to_owned(), &mut rng);
        assert_eq!(gate.failing(), Some(("y", 2)));
        assert_eq!(gate.proven(later, later).as_deref(), Some("y"));
        assert_eq!(gate.failing(), None);
    }

    #[test]
    fn a_429_silences_everything_for_as_long_as_it_asks() {
        let (mut gate, mut rng, now) = gate();
        gate.proven(now, now);
        gate.limited(now, Some(Duration::from_secs(60)), &mut rng);
        gate.limited(now, Some(Duration::from_secs(1)), &mut rng);
        let Opening::At(until) = gate.opening(now, true) else { panic!("open after a 429") };
        assert!(until >= now + Duration::from_secs(60));
        assert_eq!(gate.opening(until, true), Opening::Probe, "one request finds out");
    }

    #[test]
    fn a_hold_survives_an_outage_and_ends_with_a_success() {
        let (mut gate, mut rng, now) = gate();
        assert!(gate.hold(HoldReason::Unauthorized, now));
        assert!(!gate.hold(HoldReason::Unauthorized, now), "told once");
        assert_eq!(gate.opening(now, true), Opening::At(now + SLOW));
        gate.failed(now, now, None, "x".to_owned(), &mut rng);
        assert_eq!(gate.held(), Some(HoldReason::Unauthorized));
        gate.probe_now(now);
        assert_eq!(gate.opening(now, true), Opening::Probe);
        assert!(gate.proven(now, now).is_some());
        assert_eq!(gate.held(), None);
    }
}
