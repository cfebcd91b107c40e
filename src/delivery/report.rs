//! How delivery tells how it is doing.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::consume::Consume;
use super::delivery::Delivery;
use super::hold::HoldReason;
use crate::health::State;
use crate::polar::Ingest;

/// Who took events so short a time ago takes events.
const OF_LATE: Duration = Duration::from_secs(10);

impl<J: Consume, P: Ingest + 'static> Delivery<J, P> {
    /// Tells the latch and the metrics how delivery is doing, when that has changed.
    pub(super) fn report(&mut self) {
        self.metrics.budget(self.budget.rate(Instant::now()).unwrap_or(f64::INFINITY));
        let mut holds: HashSet<HoldReason> = self.gate.held().into_iter().collect();
        if self.polar.lacks_token() {
            holds.insert(HoldReason::NoToken);
        }
        if self.resend.has_mismatched() {
            holds.insert(HoldReason::AnswerMismatch);
        }
        let explained = HoldReason::ALL.into_iter().find(|reason| holds.contains(reason)).map(|reason| {
            let words = self.explain(reason);
            self.token_fault.as_ref().map_or(words.clone(), |fault| format!("{words} ({fault})"))
        });
        let trouble = explained.or_else(|| self.describe_failures());
        let news = Some((trouble, holds));
        if news == self.reported {
            return;
        }
        if let Some((trouble, holds)) = &news {
            for reason in HoldReason::ALL {
                self.metrics.held(reason.as_str(), holds.contains(&reason));
            }
            self.latch.set(trouble.clone().map_or(State::Ready, State::Degraded));
        }
        self.reported = news;
    }

    /// Why delivery is held and what a person does about it, in one sentence.
    pub(super) fn explain(&self, reason: HoldReason) -> String {
        reason.explain(self.polar.environment(), &self.polar.token_fix(), self.token_worked)
    }

    /// What fails now and what becomes of the events, when something does.
    fn describe_failures(&self) -> Option<String> {
        let suspected = self.resend.suspected_events() + self.suspects.offenders.len();
        // Behind something that refuses some events, a few in a row say nothing of the others.
        let confirmed_of_late = self.tally.confirmed_at.is_some_and(|at| at.elapsed() < OF_LATE);
        let failing = self.gate.failing().filter(|_| suspected == 0 || !confirmed_of_late);
        match (failing, suspected) {
            (None, 0) => None,
            (Some((fault, failures)), 0) => Some(format!(
                "Polar does not take events: {fault} ({failures} in a row); they are kept, and sent once it does"
            )),
            (Some((fault, failures)), _) => Some(format!(
                "Polar does not take events: {fault} ({failures} in a row); {suspected} of them fail in requests of their own too, but none is given up before Polar takes others, which alone would show that it works"
            )),
            (None, _) => Some(format!(
                "Polar takes events but fails requests with some of these {suspected}: they are sent in ever smaller requests, and what keeps failing alone becomes a dead letter"
            )),
        }
    }
}
