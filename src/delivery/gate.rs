//! Whether a request may leave now, as far as Polar's last answers go.

use std::time::Duration;

use tokio::time::Instant;

use super::hold::HoldReason;
use super::retry_policy::RetryPolicy;
use super::witness::Witness;

/// Polar counts the first request of a token it has not seen for 300 s in a much smaller zone: a burst would be refused.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(240);

/// An answer that may mean only the events that got it holds delivery when so many requests in a row got it: a few batches
/// with such events may well come together.
const HELD_FROM: u32 = 4;

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
    /// Requests fail: one at a time, and not before `next`. `barred`: what the last of them may be barred by, and how
    /// many in a row.
    Failing {
        failures: u32,
        since_request: Instant,
        next: Instant,
        fault: String,
        witness: Witness,
        barred: Option<(HoldReason, u32)>,
    },
    /// A person must mend something: one at a time and rarely. What is not certain, answers of another kind refute.
    Held { reason: HoldReason, failures: u32, next: Instant, witness: Witness, is_certain: bool },
}

/// A request that failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// When it left.
    pub(super) sent: Instant,
    /// The least to wait, when the answer says.
    pub(super) retry_after: Option<Duration>,
    /// What went wrong, for people.
    pub(super) fault: String,
    /// Who met it.
    pub(super) witness: Witness,
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
    /// Not before this instant, unless with events that were never sent: what is wrong may be wrong with the batch alone
    /// that met it.
    AtUnlessFresh(Instant),
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
            Way::Failing { next, witness, .. } | Way::Held { next, witness, .. } if now < *next => {
                if witness.is_sound() { Opening::At(*next) } else { Opening::AtUnlessFresh(*next) }
            }
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

    /// A request failed. Requests that were in flight together fail for one reason and count once. While delivery is
    /// held for certain it stays held: the fault may well be there still. Returns what it was held for when it is no
    /// longer.
    pub(super) fn failed(
        &mut self,
        failure: Failure,
        now: Instant,
        rng: &mut fastrand::Rng,
    ) -> Option<HoldReason> {
        let before = self.held();
        self.note(failure, None, now, rng);
        before.filter(|_| self.held().is_none())
    }

    /// A request met what either bars every request or means only the events in it. The next ones tell: delivery is held
    /// when they meet it too. Returns whether it is held now, and that is news.
    pub(super) fn perhaps_hold(
        &mut self,
        reason: HoldReason,
        failure: Failure,
        now: Instant,
        rng: &mut fastrand::Rng,
    ) -> bool {
        let of_others = failure.witness != Witness::Suspect;
        self.note(failure, Some(reason), now, rng);
        match self.way {
            Way::Held { reason: held, failures, witness, is_certain, .. } if of_others => {
                self.hold_for(reason, failures, witness, is_certain && held == reason, now)
            }
            Way::Failing { failures, witness, barred: Some((barred, times)), .. }
                if of_others && barred == reason && times >= HELD_FROM =>
            {
                self.hold_for(reason, failures, witness, false, now)
            }
            Way::Held { .. } | Way::Failing { .. } | Way::Unproven | Way::Proven => false,
        }
    }

    /// Counts a failure. `reason`: what it may be barred by.
    fn note(&mut self, failure: Failure, reason: Option<HoldReason>, now: Instant, rng: &mut fastrand::Rng) {
        let of_a_suspect = failure.witness == Witness::Suspect;
        let (failures, witness, barred) = match &mut self.way {
            Way::Held { reason: held, failures, witness, is_certain, .. }
                if *is_certain || of_a_suspect || reason.is_some() =>
            {
                let (held, failures, is_certain) = (*held, failures.saturating_add(1), *is_certain);
                let witness = witness.and(failure.witness);
                self.hold_for(held, failures, witness, is_certain, now);
                return;
            }
            Way::Failing { since_request, witness, .. } if failure.sent < *since_request => {
                *witness = witness.and(failure.witness);
                return;
            }
            Way::Held { failures, witness, .. } => {
                (failures.saturating_add(1), witness.and(failure.witness), None)
            }
            Way::Failing { failures, witness, barred, .. } => {
                (failures.saturating_add(1), witness.and(failure.witness), *barred)
            }
            Way::Unproven | Way::Proven => (1, failure.witness, None),
        };
        let barred = match (barred, reason) {
            (Some((before, times)), Some(reason)) if before == reason => {
                Some((reason, times.saturating_add(1)))
            }
            // What it met alone breaks no row of the others.
            (Some(before), _) if of_a_suspect => Some(before),
            (_, reason) => reason.map(|reason| (reason, 1)),
        };
        let next = now + self.policy.wait(failures, failure.retry_after, rng);
        self.way = Way::Failing { failures, since_request: now, next, fault: failure.fault, witness, barred };
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
        self.hold_for(reason, u32::MAX, Witness::Sound, true, now)
    }

    /// The probes of a hold are slow; those of one that may be about some events become so.
    fn hold_for(
        &mut self,
        reason: HoldReason,
        failures: u32,
        witness: Witness,
        is_certain: bool,
        now: Instant,
    ) -> bool {
        let news = self.held() != Some(reason);
        let pace = RetryPolicy { interval_max: self.slow_probe, ..self.policy };
        let next = now + pace.interval_after(failures).min(self.slow_probe);
        self.way = Way::Held { reason, failures, next, witness, is_certain };
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

    /// Whether requests fail, whatever they carry.
    pub(super) fn is_shut(&self) -> bool {
        match &self.way {
            Way::Failing { witness, .. } | Way::Held { witness, .. } => witness.is_sound(),
            Way::Unproven | Way::Proven => false,
        }
    }

    /// Whether the last request was answered as it should be.
    pub(super) fn is_proven(&self) -> bool {
        self.way == Way::Proven
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
    use crate::event::Lane;

    const SLOW: Duration = Duration::from_secs(30);

    fn failure(sent: Instant, fault: &str, witness: Witness) -> Failure {
        Failure { sent, retry_after: None, fault: fault.to_owned(), witness }
    }

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
            gate.failed(failure(now, "x", Witness::Sound), later, &mut rng);
        }
        assert_eq!(gate.failing(), Some(("x", 1)));
        gate.failed(failure(later, "y", Witness::Sound), later, &mut rng);
        assert_eq!(gate.failing(), Some(("y", 2)));
        assert_eq!(gate.proven(later, later).as_deref(), Some("y"));
        assert_eq!(gate.failing(), None);
    }

    #[test]
    fn what_one_batch_alone_meets_keeps_no_fresh_events_back_until_another_one_meets_it() {
        let (one, other) = (Witness::One(Lane::Usage, 1), Witness::One(Lane::Usage, 2));
        for is_500 in [true, false] {
            let (mut gate, mut rng, now) = gate();
            let mut meet = |gate: &mut Gate, at: Instant, witness| match is_500 {
                true => {
                    gate.failed(failure(at, "x", witness), at, &mut rng);
                }
                false => {
                    gate.perhaps_hold(HoldReason::NotFound, failure(at, "x", witness), at, &mut rng);
                }
            };
            gate.proven(now, now);
            let later = now + SLOW;
            for _ in 1..HELD_FROM {
                meet(&mut gate, later, one);
                assert_eq!(gate.held(), None, "it may be about this batch");
            }
            meet(&mut gate, later, one);
            assert_eq!(gate.held().is_none(), is_500, "nothing else was heard since");
            meet(&mut gate, later, Witness::Suspect);
            assert!(matches!(gate.opening(later, true), Opening::AtUnlessFresh(_)));
            meet(&mut gate, later, other);
            assert!(matches!(gate.opening(later, true), Opening::At(_)));
            assert!(gate.proven(later, later).is_some());
            for _ in 0..2 * HELD_FROM {
                meet(&mut gate, later, Witness::Suspect);
            }
            assert!(gate.held().is_none() && gate.failing().is_some(), "a suspect holds up nobody");
        }
    }

    #[test]
    fn one_404_among_the_503s_of_an_outage_holds_nothing() {
        let (mut gate, mut rng, now) = gate();
        let mut fail = |gate: &mut Gate, reason: Option<HoldReason>, number| {
            let failure = failure(now, "x", Witness::One(Lane::Usage, number));
            match reason {
                Some(reason) => gate.perhaps_hold(reason, failure, now, &mut rng),
                None => {
                    gate.failed(failure, now, &mut rng);
                    false
                }
            }
        };
        let [not_found, redirected] = [HoldReason::NotFound, HoldReason::Redirected].map(Some);
        for number in 1..HELD_FROM {
            fail(&mut gate, None, number.into());
        }
        for reason in [not_found, not_found, not_found, None, not_found, redirected, not_found] {
            assert!(!fail(&mut gate, reason, 9), "so many of one reason were not in a row");
        }
        assert_eq!(gate.held(), None);
        for _ in 2..HELD_FROM {
            assert!(!fail(&mut gate, not_found, 9));
        }
        assert!(fail(&mut gate, not_found, 9));
        assert_eq!(gate.held(), not_found);
    }

    #[test]
    fn a_hold_for_a_404_ends_when_an_outage_follows_and_its_retry_after_is_waited_for() {
        let (mut gate, mut rng, now) = gate();
        for number in 0..HELD_FROM {
            let failure = failure(now, "x", Witness::One(Lane::Usage, number.into()));
            gate.perhaps_hold(HoldReason::NotFound, failure, now, &mut rng);
        }
        assert_eq!(gate.held(), Some(HoldReason::NotFound));
        gate.failed(failure(now, "y", Witness::Suspect), now, &mut rng);
        assert_eq!(gate.held(), Some(HoldReason::NotFound), "a suspect says nothing of the others");
        let ten_minutes = Duration::from_secs(600);
        let busy = Failure { retry_after: Some(ten_minutes), ..failure(now, "z", Witness::Sound) };
        assert_eq!(gate.failed(busy, now, &mut rng), Some(HoldReason::NotFound), "that is told");
        assert_eq!((gate.held(), gate.failing()), (None, Some(("z", HELD_FROM + 2))));
        let Opening::At(until) = gate.opening(now, true) else { panic!("open while Polar asks for a wait") };
        assert!(until >= now + ten_minutes);
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
        gate.failed(failure(now, "x", Witness::Sound), now, &mut rng);
        assert_eq!(gate.held(), Some(HoldReason::Unauthorized));
        gate.probe_now(now);
        assert_eq!(gate.opening(now, true), Opening::Probe);
        assert!(gate.proven(now, now).is_some());
        assert_eq!(gate.held(), None);
    }
}
