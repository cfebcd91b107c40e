//! How what is bad in a batch that failed is found, with few requests.
//!
//! A batch with something bad in it is halved, and one half is sent. If that passes, the bad one is in the other half, which
//! is halved in turn without being sent first. If it fails, the other half is as good as any event that was never sent, and
//! goes with those. So each request tells about as much as an answer of yes or no can.

use tokio::time::Instant;

use super::batch::Batch;
use super::consume::Consume;
use super::delivery::Delivery;
use super::outcome::{Outcome, Retry};
use super::resend::Kind;
use super::size_limit::SizeLimit;
use crate::polar::Ingest;

/// What is suspected and so many times larger than what passes now is not sent whole.
const FAR_TOO_LARGE: usize = 4;

impl<J: Consume, P: Ingest + 'static> Delivery<J, P> {
    /// The suspected batch whose turn it is, or the part of it that may pass.
    pub(super) fn suspected_in_turn(&mut self, now: Instant) -> Option<Batch> {
        let batch = self.resend.take_ready(now, Kind::Suspected)?;
        Some(self.part_that_may_pass(batch, now))
    }

    /// This suspected batch, or the part of it that may pass.
    pub(super) fn part_that_may_pass(&mut self, mut batch: Batch, now: Instant) -> Batch {
        let (confirmed, history) = (self.tally.confirmed, batch.history);
        let (events_max, _) = self.size_now(now);
        // Others passed since it failed: it need not fail again to be halved.
        let is_bad = history.failures > 0 && history.others_confirmed(confirmed) && self.may_halve(&batch);
        let is_far_too_large = batch.len() / FAR_TOO_LARGE > events_max;
        if !is_bad && !is_far_too_large {
            return batch;
        }
        if let Some(tail) = batch.take_tail() {
            self.clear(tail);
        }
        if is_bad {
            let (first, second) = batch.split(confirmed, None);
            return first.with_tail(second);
        }
        let (first, rest) = batch.cut_after(events_max, history.of_a_piece(confirmed, None));
        self.resend.push_first(rest);
        first
    }

    /// Whether the answer to one half of a batch that failed tells of the other half.
    pub(super) fn may_halve(&self, batch: &Batch) -> bool {
        batch.len() > 1 && self.weather.is_calm() && !SizeLimit::may_be_too_many_events(batch.len())
    }

    /// Two halves of a batch that has something bad in it, the second of which waits for the answer to the first.
    pub(super) fn halve(&mut self, batch: Batch) {
        let (first, second) = batch.split(self.tally.confirmed, None);
        self.resend.push_first(first.with_tail(second));
    }

    /// What the answer to the first half of a bad batch tells of the second: if that passed, this is bad; if that failed
    /// or its sum is wrong, this is as good as any other.
    pub(super) fn conclude_tail(&mut self, batch: Batch, tail: Batch, outcome: &Outcome) -> Batch {
        let is_over = batch.len() == 1 || *outcome == Outcome::Split;
        match outcome {
            Outcome::Delivered { .. } if tail.len() > 1 => self.halve(tail),
            // Bad, it seems, but it was never sent alone, and those have a turn of their own.
            Outcome::Delivered { .. } => self.set_apart(tail),
            // A sum that may stay wrong for ever tells nothing of the other half.
            Outcome::Retry(Retry::AtOnce) => self.clear(tail),
            Outcome::Hold(_) if batch.history.mismatches > 0 => self.clear(tail),
            Outcome::Retry(Retry::WithTheOthers) | Outcome::Hold(_) => return batch.with_tail(tail),
            Outcome::Retry(Retry::Suspected { .. }) if !is_over => return batch.with_tail(tail),
            Outcome::Retry(Retry::Suspected { .. })
            | Outcome::Split
            | Outcome::Isolate(_)
            | Outcome::DeadLetter(_) => self.clear(tail),
        }
        batch
    }

    /// Nothing speaks against these events any more.
    fn clear(&mut self, mut batch: Batch) {
        batch.history = batch.history.cleared();
        self.resend.push_first(batch);
    }

    /// It failed, perhaps by its own fault, and waits to be tried again. Where memory is full of such events, those that are
    /// to tell whether Polar works make room for the next when they fail.
    pub(super) fn suspect(&mut self, batch: Batch) {
        let is_in_the_way = batch.len() == 1 && batch.history.failures > 0 && self.suspects.is_crowded();
        if is_in_the_way || batch.is_offender(self.tally.confirmed) {
            self.set_apart(batch);
        } else {
            self.resend.push(batch);
        }
    }

    /// An event alone that may wait for long keeps none of the events it came with in memory.
    pub(super) fn excerpt(&mut self, batch: Batch) -> Batch {
        let (batch, excerpt) = batch.excerpt();
        if let Some(excerpt) = excerpt {
            self.unsettled.excerpt(&excerpt);
        }
        batch
    }

    /// An event alone that is bad waits among its like.
    fn set_apart(&mut self, batch: Batch) {
        let batch = self.excerpt(batch);
        self.suspects.offenders.push(batch, self.tally.confirmed);
    }

    /// Batches that were joined failed together: each waits for itself again, and that is no failure of its own.
    pub(super) fn take_apart(&mut self, batch: Batch, now: Instant) {
        for mut part in batch.apart() {
            let wait = self.policy.wait(1, None, &mut self.rng);
            part.history.not_before = Some(now + wait);
            self.suspect(part);
        }
    }
}
