//! How often Polar fails requests that it takes when they are sent again.

/// So many deliveries back it remembers, more or less.
const MEMORY: f64 = 32.0;
/// And so many in its short memory, which hours of calm do not blind to a storm that begins.
const SHORT_MEMORY: f64 = 8.0;
/// Above this share of failed requests hardly anything passes.
const GLOOM: f64 = 0.75;
/// Chance would have let one of so many trials pass, even if it failed nineteen of twenty.
const IN_VAIN_MIN: u32 = 128;
/// Below this share of failures a failure says something about the batch.
const CALM: f64 = 0.05;

/// The share of failures that were nobody's fault: of batches that were taken in the end as they were. What was never
/// taken does not count, so that a poison does not make Polar look unwell.
#[derive(Debug, Default)]
pub(super) struct Weather {
    long: Recollection,
    short: Recollection,
    /// Answers to what does not seem to be bad, whoever is to blame.
    answers: Recollection,
    /// Events alone that were tried again and failed again since one of them passed.
    in_vain: u32,
}

/// Failures and deliveries, those that lie back counting less and less.
#[derive(Debug, Default)]
struct Recollection {
    failed: f64,
    passed: f64,
}

impl Recollection {
    fn note(&mut self, failed: u32, passed: u32, memory: f64) {
        let kept = 1.0 - 1.0 / memory;
        self.failed = self.failed * kept + f64::from(failed);
        self.passed = self.passed * kept + f64::from(passed);
    }

    fn share(&self) -> f64 {
        if self.passed > 0.0 { self.failed / (self.failed + self.passed) } else { 0.0 }
    }
}

impl Weather {
    /// Polar took a batch that had failed so often before.
    pub(super) fn passed_after(&mut self, failures: u32) {
        if failures > 0 {
            self.in_vain = 0;
        }
        self.long.note(failures, 1, MEMORY);
        self.short.note(failures, 1, SHORT_MEMORY);
    }

    /// A batch had failed so often, and passed in two halves: so it was nobody's fault.
    pub(super) fn failed_by_chance(&mut self, failures: u32) {
        self.long.failed += f64::from(failures);
        self.short.failed += f64::from(failures);
    }

    /// A request with events that do not seem to be bad passed, or failed.
    pub(super) fn answered(&mut self, passed: bool) {
        self.answers.note(u32::from(!passed), u32::from(passed), MEMORY);
    }

    /// An event alone that had failed before was tried again, and failed again.
    pub(super) fn failed_again(&mut self) {
        self.in_vain = self.in_vain.saturating_add(1);
    }

    /// Whether hardly any request passes, and it is too early to tell whether that is chance. Something that refuses some
    /// events leaves about half of the requests, for they are made as small as it takes; if it refuses nearly all, none
    /// of those that are tried again passes.
    pub(super) fn is_gloomy(&self) -> bool {
        self.answers.share() > GLOOM && self.in_vain < IN_VAIN_MIN
    }

    /// Whether hardly any request fails by chance.
    pub(super) fn is_calm(&self) -> bool {
        is_calm(self.share())
    }

    /// The share of failures that were nobody's fault.
    pub(super) fn share(&self) -> f64 {
        self.long.share().max(self.short.share())
    }
}

/// Whether this is the share of a weather in which hardly any request fails by chance.
pub(super) fn is_calm(share: f64) -> bool {
    share < CALM
}

/// How many failures in a row tell something where this share of requests fails by chance: at least `least`, and as many as
/// would befall an innocent batch with no more than this chance.
pub(super) fn failures_that_tell(share: f64, least: u32, chance: f64) -> u32 {
    let share = share.clamp(1e-9, 0.95);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a quotient of two logarithms, at most some hundreds"
    )]
    let failures = (chance.ln() / share.ln()).ceil() as u32;
    failures.max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_calm_weather_the_least_is_enough_and_in_a_storm_it_is_not() {
        let mut weather = Weather::default();
        assert_eq!(failures_that_tell(weather.share(), 5, 1e-6), 5);
        for _ in 0..1_000 {
            weather.passed_after(0);
        }
        assert!(weather.is_calm());
        assert_eq!(failures_that_tell(weather.share(), 5, 1e-6), 5);
        // Half of all requests fail: a batch passes after one failure on average.
        for _ in 0..32 {
            weather.passed_after(1);
        }
        assert!(!weather.is_calm());
        let in_the_storm = failures_that_tell(weather.share(), 5, 1e-6);
        assert!((12..=20).contains(&in_the_storm), "{in_the_storm}");
        for _ in 0..200 {
            weather.passed_after(0);
        }
        assert_eq!(failures_that_tell(weather.share(), 5, 1e-6), 5, "it passes");
    }

    #[test]
    fn a_calm_of_hours_does_not_blind_it_to_a_storm_that_begins() {
        let mut weather = Weather::default();
        for _ in 0..10_000 {
            weather.passed_after(0);
        }
        weather.passed_after(1);
        assert!(!weather.is_calm(), "one failure is news");
        // Four requests of five fail.
        for _ in 0..4 {
            weather.passed_after(4);
        }
        let failures = failures_that_tell(weather.share(), 5, 1e-7);
        assert!(failures >= 30, "{failures}");
    }
}
