//! Which batch leaves next, and when.

use tokio::time::Instant;

use super::batch::Batch;
use super::consume::Consume;
use super::delivery::Delivery;
use super::gate::Opening;
use super::resend::Kind;
use super::suspects::Waiting;
use crate::event::Lane;
use crate::polar::Ingest;

/// Of the probes with many batches at hand that failed, every so manyth is of fresh events.
const FRESH_PROBE_EVERY: u64 = 4;
/// Once so many events failed alone, it is an outage rather than a poison in each of the fresh probes.
const LONE_PROBES_MAX: u32 = 4;
/// Where few events pass at once a batch gathers so many times longer: none should have fewer than it may.
const SMALL_GATHER: u32 = 4;
/// While more suspected batches than this wait, nothing but grants is sent that may add to them.
const SUSPECTED_MAX: usize = 4_096;

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
        if hopeless || self.has_nothing() {
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
        let offenders = self.offenders_at(now, probing);
        let Some(ready) = [fresh, self.resend.next_at(now, probing), offenders].into_iter().flatten().min()
        else {
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

    fn has_nothing(&self) -> bool {
        self.batcher.is_empty() && self.resend.is_empty() && self.suspects.offenders.is_empty()
    }

    /// Events and bytes that a batch of fresh events may have now.
    pub(super) fn size_now(&mut self, now: Instant) -> (usize, usize) {
        let (events_max, bytes_max) = self.size.now(now);
        (self.suspects.passing.within(events_max), bytes_max)
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
        let gathering =
            self.budget.linger(linger, now) * if self.suspects.passing.is_any() { 1 } else { SMALL_GATHER };
        let until = self.batcher.lingers_until(linger, gathering)?;
        if !probing && !self.batcher.has_grants() && self.resend.suspected() > SUSPECTED_MAX {
            return None;
        }
        let at_once = probing
            || self.draining.is_some()
            || self.batcher.is_full(Lane::Usage)
            || (in_flight == 0 && self.budget.is_spare(now));
        Some(if at_once { now } else { until.max(now) })
    }

    /// When what failed alone may leave, beside its share.
    fn offenders_at(&mut self, now: Instant, probing: bool) -> Option<Instant> {
        let due = self.suspects.offenders.next_at(now)?;
        Some(match probing {
            true => now,
            false if self.suspects.must_make_room() => due,
            false => due.max(self.budget.is_ample_at(now)),
        })
    }

    /// While Polar works: grants first, and what was sent before ahead of what was not. What is suspected has a share
    /// of the requests, so that it neither waits for ever nor makes others wait.
    fn next_in_turn(&mut self, now: Instant, may_cut: bool) -> Option<Batch> {
        let suspected = self.resend.has_ready(now, Kind::Suspected);
        // Where memory is short, what is suspected has to make room first.
        let may_add = !(suspected && self.is_memory_short());
        let may_cut = may_cut && (may_add || self.batcher.has_grants());
        let waiting = Waiting {
            grants: self.resend.has_ready(now, Kind::UnsuspectedGrants)
                || (may_cut && self.batcher.has_grants()),
            others: may_cut || self.resend.has_ready(now, Kind::Unsuspected),
            suspected,
            is_budget_ample: self.budget.is_ample_at(now) <= now,
        };
        self.suspects.next_request();
        if self.suspects.is_offenders_turn(waiting) {
            let (limits, is_crowded) = (self.size.now(now), self.suspects.is_crowded());
            let offender = self.suspects.offenders.take_due(now, self.tally.confirmed, limits, is_crowded);
            if offender.is_some() {
                self.suspects.offender_left();
                return offender;
            }
        }
        if self.suspects.is_suspected_turn(waiting) {
            let suspected = self.suspected_in_turn(now);
            if suspected.is_some() {
                self.suspects.suspected_left();
                return suspected;
            }
        }
        if may_cut && self.batcher.has_grants() && !self.resend.has_ready(now, Kind::UnsuspectedGrants) {
            return self.cut();
        }
        match self.unsuspected_again(now, may_add) {
            None if may_cut => self.cut(),
            batch => batch,
        }
    }

    /// The unsuspected batch whose turn it is. Where not everything passes, it is filled up to what may pass, and suspected.
    fn unsuspected_again(&mut self, now: Instant, may_add: bool) -> Option<Batch> {
        let (events_max, bytes_max) = self.size_now(now);
        let mut batch = self.resend.take_unsuspected(now, events_max, bytes_max)?;
        if self.suspects.passing.is_any() || batch.history.mismatches > 0 {
            return Some(batch);
        }
        // Grants are not to fail with what was sent before.
        let fits = self.batcher.next_bytes().is_some_and(|next| batch.body_bytes() + 1 + next <= bytes_max);
        let has_room = batch.history.failures == 0 && batch.len() < events_max && fits;
        if may_add && has_room && !self.batcher.has_grants() {
            self.batcher.limit_to(events_max - batch.len(), bytes_max.saturating_sub(batch.body_bytes()));
            batch = Batch::merge([batch].into_iter().chain(self.batcher.cut()).collect());
            self.batcher.limit_to(events_max, bytes_max);
        }
        batch.history = batch.history.of_a_piece(self.tally.confirmed, None);
        Some(batch)
    }

    /// A batch of fresh events. One that is larger than what is known to pass, or where not everything passes, is
    /// suspected from the start.
    fn cut(&mut self) -> Option<Batch> {
        let mut batch = self.batcher.cut()?;
        let is_refused_some = !self.suspects.passing.is_any() && self.gate.is_proven();
        if is_refused_some || self.size.is_on_trial(batch.len(), batch.body_bytes()) {
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
        let is_turn_of_the_fresh = self.suspects.passing.failed_alone() < LONE_PROBES_MAX
            || self.probes.is_multiple_of(FRESH_PROBE_EVERY)
            || (has_few && (self.resend.unsuspected() == self.resend.len() || self.probes.is_multiple_of(2)));
        if is_waiting_grant_the_first || (is_turn_of_the_fresh && self.resend.have_all_failed()) {
            let fresh = self.fresh_probe(now);
            if fresh.is_some() {
                return fresh;
            }
        }
        let again = self.resend.take_probe(now).map(|batch| match batch.history.is_piece {
            true => self.part_that_may_pass(batch, now),
            false => batch,
        });
        let confirmed = self.tally.confirmed;
        again.or_else(|| self.fresh_probe(now)).or_else(|| self.suspects.offenders.take_probe(now, confirmed))
    }

    fn fresh_probe(&mut self, now: Instant) -> Option<Batch> {
        let (events_max, bytes_max) = self.size_now(now);
        self.batcher.limit_to(events_max, bytes_max);
        self.cut()
    }
}
