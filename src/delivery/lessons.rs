//! What answers teach of how much passes at once, and of how often Polar fails by chance.

use tokio::time::Instant;

use super::batch::Batch;
use super::consume::Consume;
use super::delivery::Delivery;
use super::patience::Patience;
use crate::polar::Ingest;

impl<J: Consume, P: Ingest + 'static> Delivery<J, P> {
    /// How many failures are enough now, for a batch that has met `worst` of the weather.
    pub(super) fn patience(&self, worst: f64) -> Patience {
        Patience::in_weather(&self.weather, worst, self.suspects.is_crowded())
    }

    /// What a failure that may be the events' fault teaches about how many pass at once.
    pub(super) fn learn_from_failure(&mut self, batch: &Batch, is_known_to_work: bool) {
        if batch.is_of_offenders(self.tally.confirmed) {
            self.suspects.offenders.failed(batch.len());
            return;
        }
        self.weather.answered(false);
        if !batch.history.is_picked {
            // In bad weather one failure says little of the size.
            let (divisor, enough) = match is_known_to_work {
                true => (2, self.patience(0.0).size),
                false => (4, 1),
            };
            self.suspects.passing.failed(batch.len(), divisor, enough);
        }
    }

    /// What a delivery teaches about Polar's failures and about the size of batches.
    pub(super) fn learn_from(&mut self, batch: &Batch, now: Instant) {
        let history = &batch.history;
        self.weather.passed_after(batch.most_trials());
        if batch.is_of_offenders(self.tally.confirmed) {
            self.suspects.offenders.passed(batch.len());
        } else {
            self.weather.answered(true);
            if !history.is_picked {
                self.suspects.passing.passed(batch.len());
            }
        }
        self.size.passed(batch.len(), batch.body_bytes());
        let Some(whole) = history.cut_from.filter(|from| self.cuts.passed(*from)) else { return };
        if !self.weather.is_calm() || !whole.may_be_too_large {
            self.weather.failed_by_chance(whole.trials);
        } else if let Some(limit) = self.size.halves_passed(whole.events, now) {
            tracing::warn!(
                events = limit,
                "Polar fails larger requests and takes these; they are kept to this size, which grows again by and by"
            );
        }
    }
}
