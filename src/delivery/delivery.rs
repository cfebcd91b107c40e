//! The loop between the journal and Polar.

use std::collections::HashSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::batch::Batch;
use super::batcher::Batcher;
use super::budget::Budget;
use super::consume::Consume;
use super::cuts::Cuts;
use super::departure::Departure;
use super::drained::{DrainEnd, Drained};
use super::gate::Gate;
use super::handle::{DeliveryHandle, Question};
use super::hold::HoldReason;
use super::resend::Resend;
use super::retry_policy::RetryPolicy;
use super::said::Said;
use super::set_aside::SetAside;
use super::settings::Settings;
use super::size_limit::SizeLimit;
use super::suspects::Suspects;
use super::unsettled::Unsettled;
use super::weather::Weather;
use crate::clock::Clock;
use crate::event::{Lane, UnixMillis};
use crate::health::Latch;
use crate::journal::JournalError;
use crate::metrics::Metrics;
use crate::polar::{Answer, Ingest, TokenChange, TokenError};

/// How often the wall clock and the token file are looked at while something waits for them. The wall clock can be set,
/// so a sleep until a time of day would not be one.
const GLANCE: Duration = Duration::from_secs(1);
/// How old the token in use may be, measured against its file, when a request leaves. Looking takes some 20 µs.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(5);

/// Sends what is pending to Polar until it is settled. It owns every request it has in flight.
#[derive(Debug)]
pub struct Delivery<J, P> {
    pub(super) settings: Settings,
    pub(super) journal: J,
    pub(super) polar: Arc<P>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) policy: RetryPolicy,
    pub(super) rng: fastrand::Rng,
    pub(super) batcher: Batcher,
    pub(super) resend: Resend,
    pub(super) set_aside: SetAside,
    pub(super) unsettled: Unsettled,
    pub(super) gate: Gate,
    pub(super) budget: Budget,
    pub(super) suspects: Suspects,
    pub(super) size: SizeLimit,
    pub(super) cuts: Cuts,
    pub(super) weather: Weather,
    pub(super) tally: Tally,
    pub(super) token_changed: Option<Instant>,
    /// Whether Polar has ever taken the token in use.
    pub(super) token_worked: bool,
    pub(super) draining: Option<Draining>,
    /// Requests that were sent while it was unknown whether Polar works.
    pub(super) probes: u64,
    pub(super) latch: Latch,
    pub(super) said: Said,
    handle: DeliveryHandle,
    pub(super) token_fault: Option<TokenError>,
    token_looked_for: Instant,
    pub(super) reported: Option<(Option<String>, HashSet<HoldReason>)>,
}

/// What this life of delivery achieved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) confirmed: u64,
    /// When Polar last confirmed any.
    pub(super) confirmed_at: Option<Instant>,
    pub(super) dead: u64,
    /// When delivery began, by the wall clock: younger blocks were never sent in an earlier life.
    pub(super) begun: UnixMillis,
    /// Duplicates among events that were sent for the first time.
    pub(super) strange_duplicates: u64,
    pub(super) strange_duplicates_told: Option<Instant>,
}

/// The end is near.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draining {
    pub(super) deadline: Instant,
    before: Tally,
}

/// A request in flight with what it carries.
type Request = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// A request that came back.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) batch: Batch,
    pub(super) answer: Answer,
    pub(super) sent: Instant,
}

impl<J: Consume, P: Ingest + 'static> Delivery<J, P> {
    /// Delivery from `journal` to `polar`. Nothing happens before [`run`](Self::run).
    #[must_use]
    pub fn new(
        settings: Settings,
        journal: J,
        polar: Arc<P>,
        clock: Clock,
        metrics: Metrics,
        latch: Latch,
    ) -> Self {
        let settings = settings.within_polars_limits();
        let policy =
            RetryPolicy { interval: settings.retry_interval, interval_max: settings.retry_interval_max };
        Self {
            batcher: Batcher::new(settings.batch_events_max, settings.batch_bytes_max),
            size: SizeLimit::new(settings.batch_events_max, settings.batch_bytes_max),
            cuts: Cuts::default(),
            weather: Weather::default(),
            gate: Gate::new(policy, settings.slow_probe),
            budget: Budget::new(settings.requests_per_minute, Instant::now()),
            tally: Tally { begun: clock.now(), ..Tally::default() },
            policy,
            rng: fastrand::Rng::new(),
            resend: Resend::default(),
            suspects: Suspects::default(),
            set_aside: SetAside::default(),
            unsettled: Unsettled::default(),
            token_changed: None,
            token_worked: false,
            draining: None,
            probes: 0,
            said: Said::default(),
            handle: DeliveryHandle::default(),
            token_fault: None,
            token_looked_for: Instant::now(),
            reported: None,
            settings,
            journal,
            polar,
            clock,
            metrics,
            latch,
        }
    }

    /// A handle to speak to it while it runs.
    #[must_use]
    pub fn handle(&self) -> DeliveryHandle {
        self.handle.clone()
    }

    /// Delivers until `drain` resolves, then goes on for as long as `drain` said, or until nothing is owed. While
    /// Polar does not take events a drain ends at once: the journal keeps them.
    ///
    /// # Errors
    /// When the journal closes or fails; what is pending stays pending.
    pub async fn run(
        mut self,
        drain: impl Future<Output = Duration> + Send,
    ) -> Result<Drained, JournalError> {
        let mut drain = pin!(drain);
        let mut in_flight = FuturesUnordered::<Request>::new();
        loop {
            let next = self.launch(&mut in_flight).await?;
            self.report();
            if let Some(drained) = self.drained(&next, in_flight.is_empty()) {
                return Ok(drained);
            }
            let wake = self.wake_at(&next);
            let wants_blocks = self.wants_blocks();
            tokio::select! {
                biased;
                Some(answered) = in_flight.next(), if !in_flight.is_empty() => self.conclude(answered).await?,
                grace = &mut drain, if self.draining.is_none() => {
                    self.draining = Some(Draining { deadline: Instant::now() + grace, before: self.tally });
                }
                () = self.handle.rung() => {
                    if let Some(settings) = self.handle.take_new_settings() {
                        self.change_settings(settings);
                    }
                    self.look_for_token(true);
                }
                () = self.handle.spent_elsewhere() => {}
                () = self.handle.asked() => self.answer_questions(),
                unread = self.journal.unread(), if wants_blocks => unread?,
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    /// Tells those who asked what was tried with a block so far.
    fn answer_questions(&self) {
        for Question { block, answer } in self.handle.take_questions() {
            if let Some(attempts) = self.unsettled.attempts(block) {
                // Who asked may have gone.
                drop(answer.send(attempts.clone()));
            }
        }
    }

    /// Goes on by other settings. Requests in flight, what is gathered, and what was learned of Polar's limit stay.
    fn change_settings(&mut self, settings: Settings) {
        let settings = settings.within_polars_limits();
        self.policy =
            RetryPolicy { interval: settings.retry_interval, interval_max: settings.retry_interval_max };
        self.size.limit_to(settings.batch_events_max, settings.batch_bytes_max);
        self.gate.change_pace(self.policy, settings.slow_probe);
        self.budget.limit_to(settings.requests_per_minute, Instant::now());
        self.settings = settings;
    }

    /// Starts every request that may leave now, and says what the next one waits for.
    async fn launch(&mut self, in_flight: &mut FuturesUnordered<Request>) -> Result<Departure, JournalError> {
        if self.is_held_up_by_a_person() {
            self.look_for_token(false);
        }
        for _ in 0..self.handle.take_spent_elsewhere() {
            self.budget.spend(Instant::now());
        }
        loop {
            let now = Instant::now();
            let (events_max, bytes_max) = self.size_now(now);
            self.batcher.limit_to(events_max, bytes_max);
            self.release_due(now);
            self.suspects.look_for_a_crowd(self.bytes_max(Lane::Usage));
            self.top_up(now).await?;
            match self.departure(now, in_flight.len()) {
                Departure::Leave(batch) => {
                    // A token that was replaced before it ends is used at once; an idle process looks for none.
                    if now >= self.token_looked_for + TOKEN_AGE_MAX {
                        self.look_for_token(false);
                    }
                    in_flight.push(self.send(batch, now));
                }
                next @ (Departure::At(_) | Departure::AfterAnAnswer | Departure::Nothing) => return Ok(next),
            }
        }
    }

    fn send(&mut self, mut batch: Batch, now: Instant) -> Request {
        self.budget.spend(now);
        self.unsettled.sent(&batch);
        batch.history.requests = batch.history.requests.saturating_add(1);
        batch.history.last_sent = Some(now);
        batch.history.not_before = None;
        let polar = Arc::clone(&self.polar);
        Box::pin(async move {
            let answer = polar.ingest(batch.body()).await;
            Answered { batch, answer, sent: now }
        })
    }

    fn wake_at(&self, next: &Departure) -> Option<Instant> {
        let now = Instant::now();
        let departure = match next {
            Departure::At(instant) => Some(*instant),
            Departure::Leave(_) | Departure::AfterAnAnswer | Departure::Nothing => None,
        };
        let glances = self.is_held_up_by_a_person() || !self.set_aside.is_empty() || !self.wants_blocks();
        let due = self.set_aside.next_due().map(|due| {
            now + Duration::from_millis(due.saturating_sub(self.clock.polars_now()).max(1)).min(GLANCE)
        });
        let glance = glances.then(|| now + GLANCE);
        let deadline = self.draining.map(|draining| draining.deadline);
        [departure, due, glance, deadline].into_iter().flatten().min()
    }

    /// Whether a new token might change everything.
    pub(super) fn is_held_up_by_a_person(&self) -> bool {
        self.gate.held().is_some() || self.polar.lacks_token()
    }

    /// Looks whether a new token was put in place. One that has changed, or a person who asks, is tried at once.
    pub(super) fn look_for_token(&mut self, asked: bool) -> bool {
        let now = Instant::now();
        self.token_looked_for = now;
        let change = self.polar.reread_token();
        let has_changed = change == TokenChange::Changed;
        match change {
            TokenChange::Same => {}
            TokenChange::Changed => {
                tracing::info!("another token was put in place; trying it");
                self.token_changed = Some(now);
                self.token_worked = false;
                self.token_fault = None;
                self.gate.warm_up(now);
            }
            TokenChange::Unusable(fault) => {
                if self.token_fault.as_ref() != Some(&fault) {
                    tracing::error!("{fault}");
                    self.token_fault = Some(fault);
                }
            }
        }
        if has_changed || asked {
            self.gate.probe_now(now);
        }
        has_changed
    }

    /// Whether Polar takes nothing at present, for a reason that won't pass in moments.
    pub(super) fn is_unavailable(&self) -> bool {
        self.gate.failing().is_some() || self.is_held_up_by_a_person()
    }

    /// Whether a stop gains nothing by asking Polar further: it takes nothing, or nothing of what is left.
    pub(super) fn is_hopeless(&self) -> bool {
        let has_untried = !self.batcher.is_empty() || self.resend.has_untried();
        self.polar.lacks_token() || self.gate.is_shut() || (self.is_unavailable() && !has_untried)
    }

    /// How the drain ended, when it has.
    fn drained(&self, next: &Departure, idle: bool) -> Option<Drained> {
        let draining = self.draining?;
        let now = Instant::now();
        let is_empty =
            self.unsettled.events() == 0 && Lane::ALL.iter().all(|lane| !self.journal.has_unread(*lane));
        let too_late = match next {
            Departure::At(instant) => *instant > draining.deadline,
            Departure::Leave(_) | Departure::AfterAnAnswer => false,
            Departure::Nothing => {
                let due = self.set_aside.next_due().unwrap_or(0).saturating_sub(self.clock.polars_now());
                now + Duration::from_millis(due) > draining.deadline
            }
        };
        let end = if idle && is_empty {
            DrainEnd::Empty
        } else if idle && self.is_hopeless() {
            DrainEnd::PolarUnavailable
        } else if now >= draining.deadline || (idle && too_late) {
            DrainEnd::Deadline
        } else {
            return None;
        };
        Some(Drained {
            delivered: self.tally.confirmed - draining.before.confirmed,
            dead_lettered: self.tally.dead - draining.before.dead,
            left: self.unsettled.events(),
            end,
        })
    }
}
