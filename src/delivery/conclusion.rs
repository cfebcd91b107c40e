//! What an answer changes.

use std::time::Duration;

use tokio::time::Instant;

use super::batch::Batch;
use super::clock_skew::{due_again, seconds_ahead};
use super::consume::Consume;
use super::delivery::{Answered, Delivery};
use super::findings::Findings;
use super::gate::Failure;
use super::hold::HoldReason;
use super::outcome::{Cause, Facts, Outcome, Retry};
use super::set_aside::Early;
use super::sign::Sign;
use super::size_limit::SizeLimit;
use super::unsettled::Fate;
use super::witness::Witness;
use crate::event::UnixMillis;
use crate::journal::{DeadLetter, DeadReason, JournalError, Origin, Settlement};
use crate::polar::{Ingest, Reply};

/// An event alone that Polar does not count right is asked for less and less, up to so many doublings of the slow probe.
const SLOW_PROBE_DOUBLINGS_MAX: u32 = 5;

impl<J: Consume, P: Ingest + 'static> Delivery<J, P> {
    /// Acts on an answer.
    pub(super) async fn conclude(&mut self, answered: Answered) -> Result<(), JournalError> {
        let Answered { mut batch, answer, sent } = answered;
        let now = Instant::now();
        let reply = answer.reply;
        self.metrics.polar_request(reply.label(), answer.took);
        if let Some(date) = answer.date {
            self.metrics.clock_skew(seconds_ahead(date, self.clock.now()));
            // What stands between here and Polar has a clock of its own.
            if matches!(reply, Reply::Accepted(_) | Reply::Invalid(_)) {
                self.clock.sync_to(date);
            }
        }
        self.unsettled.answered(&batch, reply.status().unwrap_or(0), self.clock.now());
        if matches!(reply, Reply::Unauthorized { .. } | Reply::Forbidden) && self.has_newer_token(sent) {
            self.resend.push_first(batch);
            return Ok(());
        }
        // Alone, after a failure, while others passed: there is nothing left to cut, and nobody else it could be.
        batch.history.is_piece |= batch.len() == 1 && batch.history.others_confirmed(self.tally.confirmed);
        let facts = self.facts(&batch);
        let (outcome, sign) = (Outcome::of(&reply, &facts), Sign::of(&reply));
        let is_just_large =
            reply == Reply::TooLarge && batch.len() > 1 && SizeLimit::may_be_too_many(batch.body_bytes());
        // What failed alone before says nothing new, whatever it is answered.
        let is_of_the_batch = sign.is_of_the_batch(&reply)
            || (batch.is_offender(self.tally.confirmed) && outcome.may_be_the_events_fault());
        let is_failed_piece = facts.is_piece && is_of_the_batch;
        self.suspects.answered(is_failed_piece);
        // What is suspected already may well be at fault itself: that is no reason to slow down the others. Only when
        // nothing else was heard for some requests, or Polar is not known to work, is it asked whether it is there at all.
        // Events whose body may well be too large are halved and sent at once; one alone can't be.
        let says_something = !is_failed_piece || self.suspects.failed_too_often() || !self.gate.is_proven();
        let is_known_to_work = self.gate.is_proven();
        if says_something && !is_just_large {
            let witness = if outcome.may_be_the_events_fault() { witness(&batch) } else { Witness::Sound };
            self.heed(&reply, sign, sent, witness, now);
        }
        let is_miscounted_again = matches!(reply, Reply::Accepted(_))
            && facts.mismatches > 0
            && !matches!(outcome, Outcome::Delivered { .. });
        if (outcome.may_be_the_events_fault() && !is_just_large) || is_miscounted_again {
            self.learn_from_failure(&batch, is_known_to_work);
        }
        if reply == Reply::TooLarge {
            self.size.too_many_bytes(batch.body_bytes(), now);
        }
        if batch.is_joined() && outcome.may_be_the_events_fault() {
            self.take_apart(batch, now);
            return Ok(());
        }
        if let Some(tail) = batch.take_tail() {
            batch = self.conclude_tail(batch, tail, &outcome);
        }
        match outcome {
            Outcome::Delivered { inserted, duplicates } => {
                return self.settle_delivered(&batch, inserted, duplicates, now).await;
            }
            Outcome::Retry(retry) => self.retry(batch, retry, now),
            Outcome::Split if self.may_halve(&batch) && !matches!(reply, Reply::Accepted(_)) => {
                self.halve(batch);
            }
            Outcome::Split => {
                // That nothing passed while it was whole, and its halves do later, says nothing of its size.
                let is_of_its_size = facts.others_confirmed && !matches!(reply, Reply::Accepted(_));
                let trials = facts.trials + u32::from(facts.is_trial);
                let cut = is_of_its_size.then(|| self.cuts.cut(batch.len(), batch.body_bytes(), trials));
                let (first, second) = batch.split(self.tally.confirmed, cut);
                self.resend.push_first(second);
                self.resend.push_first(first);
            }
            Outcome::Isolate(findings) => return self.isolate(batch, findings).await,
            Outcome::Hold(_) => self.hold(batch, &reply, now),
            Outcome::DeadLetter(cause) => {
                return self.give_up(&batch, vec![cause]).await;
            }
        }
        Ok(())
    }

    fn facts(&self, batch: &Batch) -> Facts {
        let history = &batch.history;
        Facts {
            sent: batch.len(),
            failures: history.failures,
            trials: history.trials,
            blamed: history.blamed,
            is_trial: history.is_trial(self.tally.confirmed),
            patience: self.patience(history.worst_weather),
            others_confirmed: history.others_confirmed(self.tally.confirmed),
            is_piece: history.is_piece,
            mismatches: history.mismatches,
            may_split_blindly: self.batcher.is_empty()
                && self.resend.may_split_blindly(batch, self.suspects.is_crowded()),
        }
    }

    /// Whether the token was replaced after this request left, so that its refusal says nothing of the new one.
    fn has_newer_token(&mut self, sent: Instant) -> bool {
        self.token_changed.is_some_and(|changed| sent < changed) || self.look_for_token(false)
    }

    /// Draws what concerns every request from an answer.
    fn heed(&mut self, reply: &Reply, sign: Sign, sent: Instant, witness: Witness, now: Instant) {
        match sign {
            Sign::Alive => {
                self.token_worked = true;
                let was_held = self.gate.held().is_some();
                if let Some(trouble) = self.gate.proven(sent, now)
                    && (self.said.tells_up() || was_held)
                {
                    tracing::info!("Polar takes events again (it had been: {trouble})");
                }
            }
            Sign::Down { retry_after } => {
                // Who asks for a wait is not asked again before, by anybody; but what it says to a suspect says nothing.
                let (retry_after, witness) = match witness {
                    Witness::Suspect => (None, Witness::Suspect),
                    Witness::One(..) | Witness::Sound if retry_after.is_some() => {
                        (retry_after, Witness::Sound)
                    }
                    Witness::One(..) | Witness::Sound => (None, witness),
                };
                let failure = Failure { sent, retry_after, fault: self.tell_fault(reply, now), witness };
                if let Some(reason) = self.gate.failed(failure, now, &mut self.rng) {
                    let fault = describe(reply);
                    tracing::warn!(
                        "Polar does not take events now: {fault}; delivery was held ({}) and no longer is, events are kept and sent again",
                        reason.as_str()
                    );
                }
            }
            Sign::PerhapsBarred(reason) => {
                let failure =
                    Failure { sent, retry_after: None, fault: self.tell_fault(reply, now), witness };
                if self.gate.perhaps_hold(reason, failure, now, &mut self.rng) {
                    self.tell_hold(reason);
                }
            }
            Sign::Limited { retry_after } => {
                self.budget.refused(now, retry_after);
                self.gate.limited(now, retry_after, &mut self.rng);
                tracing::warn!(
                    requests_per_minute = self.budget.rate(now),
                    "Polar answered 429: the organization's requests are over its limit; waiting, then sending fewer"
                );
            }
            Sign::Barred(reason) => {
                if self.gate.hold(reason, now) {
                    self.tell_hold(reason);
                }
            }
        }
    }

    /// What went wrong with a request, told when that is news.
    fn tell_fault(&mut self, reply: &Reply, now: Instant) -> String {
        let fault = describe(reply);
        if !self.is_held_up_by_a_person() && self.said.tells_down(now) {
            tracing::warn!("Polar does not take events now: {fault}; they are kept and sent again");
        }
        fault
    }

    fn tell_hold(&self, reason: HoldReason) {
        tracing::error!("delivery is held, events are kept: {}", self.explain(reason));
    }

    fn retry(&mut self, mut batch: Batch, retry: Retry, now: Instant) {
        match retry {
            Retry::AtOnce => {
                batch.history.mismatches += 1;
                tracing::warn!(
                    events = batch.len(),
                    "Polar's counts do not add up to what was sent; asking it again with the same ids"
                );
                self.resend.push_first(batch);
            }
            Retry::WithTheOthers => self.resend.push(batch),
            Retry::Suspected { blamed } => {
                let is_trial = batch.history.is_trial(self.tally.confirmed);
                if batch.len() == 1 && is_trial && batch.history.trials > 0 {
                    self.weather.failed_again();
                }
                batch.history.failed(self.tally.confirmed, blamed, self.weather.share());
                // Alone, it is tried for what that proves: nothing, until others were delivered in between.
                let failures = match (batch.len(), is_trial) {
                    (1, true) => batch.history.trials + 1,
                    (1, false) => u32::MAX,
                    _ => batch.history.failures,
                };
                let wait = self.policy.wait(failures, None, &mut self.rng);
                batch.history.not_before = Some(now + wait);
                self.suspect(batch);
            }
        }
    }

    /// Keeps a batch that can't be settled. When Polar works otherwise, only this batch waits.
    fn hold(&mut self, mut batch: Batch, reply: &Reply, now: Instant) {
        if matches!(reply, Reply::Accepted(_)) {
            if batch.history.mismatches == 1 {
                tracing::error!(
                    events = batch.len(),
                    "Polar's counts still do not add up; these events are kept and asked for again from time to time"
                );
            }
            batch.history.mismatches = batch.history.mismatches.saturating_add(1);
            batch.history.confirmed_before.get_or_insert(self.tally.confirmed);
            // There may be many alone, and what is wrong with their sums does not pass in minutes.
            let doublings = match batch.len() {
                1 => batch.history.mismatches.saturating_sub(2).min(SLOW_PROBE_DOUBLINGS_MAX),
                _ => 0,
            };
            batch.history.not_before = Some(now + self.settings.slow_probe * (1 << doublings));
            batch = self.excerpt(batch);
        }
        self.resend.push(batch);
    }

    async fn isolate(&mut self, batch: Batch, findings: Findings) -> Result<(), JournalError> {
        let Findings { refused, early } = findings;
        let indices: Vec<usize> = refused.iter().map(|finding| finding.index).collect();
        let mut named: Vec<usize> = indices.iter().chain(&early).copied().collect();
        named.sort_unstable();
        let (dead, _) = batch.clone().isolate(&indices);
        let (waiting, _) = batch.clone().isolate(&early);
        let (_, rest) = batch.isolate(&named);
        self.resend.push_first(rest);
        if !waiting.is_empty() {
            self.wait_for_time(waiting);
        }
        if dead.is_empty() {
            return Ok(());
        }
        let causes = refused.into_iter().map(|finding| Cause {
            reason: DeadReason::RefusedByPolar,
            code: finding.code,
            field: finding.field,
            message: finding.message,
        });
        self.give_up(&dead, causes.collect()).await
    }

    fn wait_for_time(&mut self, mut batch: Batch) {
        let blocks = batch.runs().iter().map(|run| &run.block);
        let latest = blocks.map(|block| block.due().max(block.accepted_last())).max().unwrap_or(0);
        let due = due_again(latest, self.clock.polars_now(), batch.history.early);
        if batch.history.early == 0 {
            tracing::warn!(
                events = batch.len(),
                "Polar's clock is behind these timestamps; they are sent again once it is past them"
            );
        }
        batch.history.early = batch.history.early.saturating_add(1);
        self.set_aside.put(due, Early::Refused(batch));
    }

    async fn settle_delivered(
        &mut self,
        batch: &Batch,
        inserted: u64,
        duplicates: u64,
        now: Instant,
    ) -> Result<(), JournalError> {
        let at = self.clock.now();
        for run in batch.runs() {
            let lane = run.block.id().lane.as_str();
            for (accepted, events) in run.accept_times() {
                self.metrics.delivery_lag(lane, Duration::from_millis(at.saturating_sub(accepted)), events);
            }
        }
        self.notice_strange_duplicates(batch, duplicates, now);
        self.tally.confirmed += inserted + duplicates;
        self.tally.confirmed_at = Some(now);
        self.learn_from(batch, now);
        let mut settlement =
            Settlement { inserted, duplicates, delivered_at: Some(at), ..Settlement::default() };
        self.unsettled.resolve(batch, Fate::Delivered, &mut settlement);
        self.journal.settle(settlement).await
    }

    /// Settles events as dead letters; `causes` go with the events in order.
    async fn give_up(&mut self, batch: &Batch, causes: Vec<Cause>) -> Result<(), JournalError> {
        if let Some(cause) = causes.first() {
            tracing::error!(
                events = batch.len(),
                reason = cause.reason.as_str(),
                code = cause.code,
                // A metadata key is the app's own text, which no log holds.
                field = cause.field.as_deref().and_then(|path| path.split('.').next()),
                "events became dead letters: they are kept with these words for a person to look at and send again"
            );
        }
        let at = self.clock.now();
        self.tally.dead += batch.len() as u64;
        let mut settlement = Settlement { dead: dead_letters(batch, causes, at), ..Settlement::default() };
        self.unsettled.resolve(batch, Fate::Dead, &mut settlement);
        self.journal.settle(settlement).await
    }
}

fn dead_letters(batch: &Batch, causes: Vec<Cause>, at: UnixMillis) -> Vec<DeadLetter> {
    let attempts = batch.history.requests;
    let places =
        batch.runs().iter().flat_map(|run| run.positions.clone().map(move |position| (&run.block, position)));
    places
        .zip(causes)
        .map(|((block, position), cause)| DeadLetter {
            origin: Origin::Delivery,
            reason: cause.reason,
            code: cause.code,
            field: cause.field,
            message: cause.message,
            at,
            lane: Some(block.id().lane),
            seq: Some(block.id().seq + u64::from(position)),
            accepted: Some(block.accepted_at(position as usize)),
            attempts,
            altered: false,
            // Every accepted event has an id of its own.
            spare_id: None,
            source: block.source(position as usize),
            event: String::from_utf8_lossy(block.event(position as usize).unwrap_or_default()).into_owned(),
        })
        .collect()
}

/// Who met what came of a request that may be its events' own fault. Sent for the first time they are suspected of nothing
/// yet, whatever their number.
fn witness(batch: &Batch) -> Witness {
    if batch.history.is_piece && batch.history.requests > 1 {
        return Witness::Suspect;
    }
    let first = batch.runs().first().map(|run| (run.block.id().lane, batch.oldest_seq()));
    first.map_or(Witness::Suspect, |(lane, seq)| Witness::One(lane, seq))
}

/// What went wrong with a request, for people.
fn describe(reply: &Reply) -> String {
    match reply {
        Reply::Unreachable(why) => why.describe().to_owned(),
        Reply::Refused { status: 422 } => "it answered 422 in words that are not Polar's".to_owned(),
        Reply::LengthRequired => {
            "something on the way to it takes the length off requests (411; check what stands between)"
                .to_owned()
        }
        Reply::Invalid(_) => "it answered 422 without naming an event".to_owned(),
        Reply::Accepted(_)
        | Reply::Unproven { .. }
        | Reply::Unauthorized { .. }
        | Reply::Forbidden
        | Reply::NotFound
        | Reply::Redirect { .. }
        | Reply::RateLimited { .. }
        | Reply::TooLarge
        | Reply::ProxyLogin
        | Reply::Refused { .. }
        | Reply::ServerError { .. } => format!("it answered {}", reply.status().unwrap_or(0)),
    }
}
