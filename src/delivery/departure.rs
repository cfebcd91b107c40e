//! Which batch leaves next, and when.

use tokio::time::Instant;

use super::batch::Batch;
use super::consume::Consume;
use super::delivery::Delivery;
use super::gate::Opening;
use crate::event::Lane;
use crate::polar::Ingest;

/// Of the probes with many suspects at hand, every so manyth is of fresh events.
const FRESH_PROBE_EVERY: u64 = 4;

/// What can be done for the next request.
#[derive(Debug)]
pub(super) enum Departure {
    /// This batch leaves now.
    Leave(Batch),
    /// Nothing leaves before this instant.
    At(Instant),
    /// Nothing leaves before a request in flight is answered.
    AfterAnAnswer,
    /// There is nothing to send, or no use in sending it.
    Nothing,
}

impl<J: Consume, P: Ingest + 'static> Delivery<J, P> {
    /// Decides on the next request, with so many in flight.
    pub(super) fn departure(&mut self, now: Instant, in_flight: usize) -> Departure {
        let hopeless = self.polar.lacks_token() || (self.draining.is_some() && self.is_unavailable());
        if hopeless || (self.batcher.is_empty() && self.resend.is_empty()) {
            return Departure::Nothing;
        }
        let probing = match self.gate.opening(now, in_flight == 0) {
            Opening::Open => false,
            Opening::Probe if in_flight == 0 => true,
            Opening::Probe => return Departure::AfterAnAnswer,
            Opening::At(instant) => return Departure::At(instant),
        };
        if in_flight >= self.settings.requests_in_flight_max {
            return Departure::AfterAnAnswer;
        }
        let fresh = self.fresh_at(now, in_flight, probing);
        let Some(ready) = [fresh, self.resend.next_at(now, probing)].into_iter().flatten().min() else {
            return Departure::Nothing;
        };
        let at = ready.max(self.budget.opens_at(now));
        if at > now {
            return Departure::At(at);
        }
        let may_cut = fresh.is_some_and(|fresh| fresh <= now);
        let batch = if probing { self.probe(now) } else { self.next_in_turn(now, may_cut) };
        batch.map_or(Departure::Nothing, Departure::Leave)
    }

    /// When what is gathered may leave.
    fn fresh_at(&mut self, now: Instant, in_flight: usize, probing: bool) -> Option<Instant> {
        let linger = self.settings.linger;
        let until = self.batcher.lingers_until(linger, self.budget.linger(linger, now))?;
        let at_once = probing
            || self.draining.is_some()
            || self.batcher.is_full(Lane::Usage)
            || (in_flight == 0 && self.budget.is_spare(now));
        Some(if at_once { now } else { until.max(now) })
    }

    /// While Polar works: grants first, and what was sent before ahead of what was not.
    fn next_in_turn(&mut self, now: Instant, may_cut: bool) -> Option<Batch> {
        let with_grants = self.resend.take_ready(now, true);
        if with_grants.is_some() {
            return with_grants;
        }
        if may_cut && self.batcher.has_grants() {
            return self.batcher.cut();
        }
        match self.resend.take_ready(now, false) {
            None if may_cut => self.batcher.cut(),
            batch => batch,
        }
    }

    /// While it is unknown whether Polar works: a grant may go first; else batches take turns, and while all of them
    /// are suspected of their failures themselves, fresh events are the better probe. With several suspects at hand
    /// they are so only now and then, so that an outage does not chop what trickles in into small requests.
    fn probe(&mut self, now: Instant) -> Option<Batch> {
        self.probes += 1;
        let is_waiting_grant_the_first = self.batcher.has_grants() && !self.resend.has_grants();
        let is_turn_of_the_fresh = self.resend.len() < self.settings.requests_in_flight_max
            || self.probes.is_multiple_of(FRESH_PROBE_EVERY);
        if is_waiting_grant_the_first || (is_turn_of_the_fresh && self.resend.are_all_suspects()) {
            let fresh = self.batcher.cut();
            if fresh.is_some() {
                return fresh;
            }
        }
        self.resend.take_probe(now).or_else(|| self.batcher.cut())
    }
}
