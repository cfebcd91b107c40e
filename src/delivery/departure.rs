//! Which batch leaves next, and when.

use tokio::time::Instant;

use super::batch::Batch;
use super::consume::Consume;
use super::delivery::Delivery;
use super::gate::Opening;
use super::resend::Kind;
use crate::event::Lane;
use crate::polar::Ingest;

/// Of the probes with many batches at hand that failed, every so manyth is of fresh events.
const FRESH_PROBE_EVERY: u64 = 4;
/// Suspected batches may have every so manyth request while others wait: a hundred poisons hold nobody up.
const SUSPECTED_EVERY: u32 = 4;
/// The fresh probes after a failed one are smaller and smaller, each by this factor, for so many of them: a full batch
/// may be too large for Polar, or hold a poison like the one before it.
const SMALLER_PROBES: u32 = 3;
const SMALLER_BY: usize = 4;

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
        let hopeless = self.polar.lacks_token() || (self.draining.is_some() && self.is_hopeless());
        if hopeless || (self.batcher.is_empty() && self.resend.is_empty()) {
            return Departure::Nothing;
        }
        let probing = match self.gate.opening(now, in_flight == 0) {
            Opening::Open => false,
            Opening::Probe if in_flight == 0 => true,
            Opening::Probe => return Departure::AfterAnAnswer,
            Opening::At(instant) => return Departure::At(instant),
            Opening::AtUnlessFresh(instant) => {
                return self.second_opinion(now, in_flight).unwrap_or(Departure::At(instant));
            }
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

    /// Fresh events to ask with, at once, whether what one batch met is met by others too.
    fn second_opinion(&mut self, now: Instant, in_flight: usize) -> Option<Departure> {
        if in_flight > 0 || self.batcher.is_empty() {
            return None;
        }
        let opens = self.budget.opens_at(now);
        if opens > now {
            return Some(Departure::At(opens));
        }
        self.fresh_probe(now).map(Departure::Leave)
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

    /// While Polar works: grants first, and what was sent before ahead of what was not. What is suspected has a share
    /// of the requests, so that it neither waits for ever nor makes others wait.
    fn next_in_turn(&mut self, now: Instant, may_cut: bool) -> Option<Batch> {
        let do_others_wait = may_cut || self.resend.has_ready(now, Kind::Unsuspected);
        if !do_others_wait || self.others_in_turn + 1 >= SUSPECTED_EVERY {
            let suspected = self.resend.take_ready(now, Kind::Suspected);
            if suspected.is_some() {
                self.others_in_turn = 0;
                return suspected;
            }
        }
        self.others_in_turn = self.others_in_turn.saturating_add(1);
        if may_cut && self.batcher.has_grants() && !self.resend.has_ready(now, Kind::UnsuspectedGrants) {
            return self.cut();
        }
        match self.resend.take_ready(now, Kind::Unsuspected) {
            None if may_cut => self.cut(),
            batch => batch,
        }
    }

    /// A batch of fresh events. One that is larger than what is known to pass is suspected from the start.
    fn cut(&mut self) -> Option<Batch> {
        let mut batch = self.batcher.cut()?;
        if self.size.is_on_trial(batch.len(), batch.body_bytes()) {
            batch.history = batch.history.of_a_piece(self.tally.confirmed, None);
        }
        Some(batch)
    }

    /// While it is unknown whether Polar works: a grant may go first; else batches take turns, and while all of them
    /// have failed, fresh events are the better probe. With several batches at hand they are so only now and then, so
    /// that an outage does not chop what trickles in into small requests.
    fn probe(&mut self, now: Instant) -> Option<Batch> {
        self.probes += 1;
        let is_waiting_grant_the_first = self.batcher.has_grants() && !self.resend.has_grants();
        let has_few = self.resend.unsuspected() < self.settings.requests_in_flight_max;
        let is_turn_of_the_fresh = self.probes.is_multiple_of(FRESH_PROBE_EVERY)
            || (has_few && (self.resend.unsuspected() == self.resend.len() || self.probes.is_multiple_of(2)));
        if is_waiting_grant_the_first || (is_turn_of_the_fresh && self.resend.have_all_failed()) {
            let fresh = self.fresh_probe(now);
            if fresh.is_some() {
                return fresh;
            }
        }
        self.resend.take_probe(now).or_else(|| self.fresh_probe(now))
    }

    fn fresh_probe(&mut self, now: Instant) -> Option<Batch> {
        let (events_max, bytes_max) = self.size.now(now);
        let smaller = if self.fresh_probes > SMALLER_PROBES { 0 } else { self.fresh_probes };
        self.batcher.limit_to((events_max / SMALLER_BY.pow(smaller)).max(1), bytes_max);
        let batch = self.cut();
        self.batcher.limit_to(events_max, bytes_max);
        self.fresh_probes = self.fresh_probes.saturating_add(u32::from(batch.is_some()));
        batch
    }
}
