//! What a batch has been through.

use tokio::time::Instant;

use super::cuts::CutFrom;

/// What a batch has been through; a batch cut from another one remembers the part of it that still tells something.
#[derive(Clone, Copy, Debug, Default)]
pub struct History {
    /// Requests that carried these events.
    pub requests: u32,
    /// When the last of them left.
    pub last_sent: Option<Instant>,
    /// Requests that failed without saying which event is at fault.
    pub failures: u32,
    /// The first of them, and each before which Polar had confirmed other events since the one counted last: what
    /// an outage fails is counted once, however often it is tried.
    pub trials: u32,
    /// Those of the trials that were answered in a way that points at the events rather than at the way to Polar.
    pub blamed: u32,
    /// How many events Polar had confirmed when this batch first failed, or when it was cut from one that had.
    pub confirmed_before: Option<u64>,
    /// How many it had confirmed at the last trial.
    pub(super) confirmed_at_trial: Option<u64>,
    /// The share of requests that failed by chance at the worst of them.
    pub worst_weather: f64,
    /// Whether its size or its events are suspected already: it was cut from a batch that kept failing, it is larger than
    /// what is known to pass, or it is an event alone that failed while others passed.
    pub is_piece: bool,
    /// Whether it was cut from a batch that failed, so that its events are likelier to be bad than others.
    pub is_picked: bool,
    /// The cut it comes from, while it is as that left it.
    pub cut_from: Option<CutFrom>,
    /// 200s whose sums were wrong.
    pub mismatches: u32,
    /// How often it was set aside for timestamps that lay ahead of Polar's clock.
    pub early: u32,
    /// Not to be sent before.
    pub not_before: Option<Instant>,
}

impl History {
    /// Notes a failure that may be the fault of the events; `confirmed` is how many events Polar has confirmed so far, and
    /// `weather` the share of requests that fails by chance.
    pub(super) fn failed(&mut self, confirmed: u64, blamed: bool, weather: f64) {
        self.worst_weather = self.worst_weather.max(weather);
        self.failures = self.failures.saturating_add(1);
        self.confirmed_before = self.confirmed_before.or(Some(confirmed));
        if self.is_trial(confirmed) {
            self.trials = self.trials.saturating_add(1);
            self.blamed = self.blamed.saturating_add(u32::from(blamed));
            self.confirmed_at_trial = Some(confirmed);
        }
    }

    /// Whether a failure now counts as a trial.
    pub(super) fn is_trial(&self, confirmed: u64) -> bool {
        self.confirmed_at_trial.is_none_or(|before| confirmed > before)
    }

    /// Whether Polar has confirmed other events since this batch first failed, or was cut from one that had.
    pub(super) fn others_confirmed(&self, confirmed: u64) -> bool {
        self.confirmed_before.is_some_and(|before| confirmed > before)
    }

    /// The history of a batch that is suspected of nothing any more.
    pub(super) fn cleared(self) -> Self {
        Self { requests: self.requests, last_sent: self.last_sent, ..Self::default() }
    }

    /// The history of some events of this batch, whose failures may have been the others' fault.
    pub(super) fn of_some(self) -> Self {
        Self {
            failures: 0,
            trials: 0,
            blamed: 0,
            confirmed_at_trial: None,
            worst_weather: 0.0,
            cut_from: None,
            ..self
        }
    }

    /// The history of a piece of this batch, or of a batch that is suspected from the start.
    pub(super) fn of_a_piece(self, confirmed: u64, cut_from: Option<CutFrom>) -> Self {
        Self {
            confirmed_before: Some(confirmed),
            is_piece: true,
            cut_from,
            mismatches: self.mismatches.min(1),
            not_before: None,
            ..self.of_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_without_a_delivery_between_them_are_one_trial() {
        let mut history = History::default().of_a_piece(10, None);
        for confirmed in [15, 15, 15, 16, 16, 20] {
            history.failed(confirmed, confirmed != 16, 0.0);
        }
        assert_eq!((history.failures, history.trials, history.blamed), (6, 3, 2));
        assert_eq!(history.confirmed_before, Some(10));
        assert!(!history.is_trial(20) && history.is_trial(21));
    }

    #[test]
    fn what_a_batch_met_at_its_worst_stays_with_it_and_not_with_its_pieces() {
        let mut history = History::default();
        for weather in [0.1, 0.8, 0.0] {
            history.failed(1, true, weather);
        }
        assert_eq!((history.worst_weather, history.of_a_piece(3, None).worst_weather), (0.8, 0.0));
    }
}
