//! How many failures are enough to tell something of a batch.

use super::weather::{Weather, failures_that_tell, is_calm};

/// While hardly anything passes, an event alone has so many trials at least before it is given up.
const TRIALS_IN_GLOOM: u32 = 36;
/// Where events that seem to be bad take most of the memory, so many trials of any kind are enough.
const TRIALS_WHERE_CROWDED: u32 = 3;

/// How many failures are enough, in the weather that Polar has now.
///
/// A Polar that is half down fails now and then too. The more it does, the more failures in a row it takes before they
/// are the batch's own: to halve an innocent batch costs two requests, to give up an innocent event costs money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Failures after which a batch is halved.
    pub whole: u32,
    /// Failures after which a piece is halved again.
    pub piece: u32,
    /// Failures in a row after which fresh batches are thought too large.
    pub size: u32,
    /// Trials that point at an event alone, after which it is given up.
    pub blames: u32,
    /// Trials of any kind after which an event alone is given up: it may be what makes Polar not answer.
    pub trials: u32,
}

impl Patience {
    /// What is enough while hardly a request fails by chance.
    pub const LEAST: Self = Self { whole: 3, piece: 1, size: 1, blames: 5, trials: 12 };

    /// What is enough in this weather for a batch of which the trials met `worst` of it: who met a storm is not judged by
    /// the calm after it. `are_crowded`: there are so many events that seem to be bad that only the end of some makes room.
    pub(super) fn in_weather(weather: &Weather, worst: f64, are_crowded: bool) -> Self {
        let Self { whole, piece, blames, trials, .. } = Self::LEAST;
        let now = weather.share();
        let share = worst.max(now);
        let (blames, trials, chance) = match are_crowded {
            _ if weather.is_gloomy() => (TRIALS_IN_GLOOM, TRIALS_IN_GLOOM, 1e-7),
            true => (TRIALS_WHERE_CROWDED, TRIALS_WHERE_CROWDED, 1e-5),
            // Of a storm that begins hardly anything is known yet: then no answer points at an event.
            false if is_calm(share) => (blames, trials, 1e-7),
            false => (trials, trials, 1e-7),
        };
        Self {
            whole: failures_that_tell(now, whole, 1e-2),
            piece: failures_that_tell(now, piece, 5e-2),
            size: failures_that_tell(now, 1, 1e-2),
            blames: failures_that_tell(share, blames, chance),
            trials: failures_that_tell(share, trials, chance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_met_bad_weather_is_not_judged_by_the_fair_one_after_it() {
        let calm = Weather::default();
        let Patience { whole, piece, blames, trials, .. } = Patience::in_weather(&calm, 0.8, false);
        assert!(blames > 70 && trials > 70, "{blames} {trials}");
        assert_eq!((whole, piece), (3, 1), "to halve an innocent batch costs little");
        assert_eq!(Patience::in_weather(&calm, 0.0, false), Patience::LEAST);
    }

    #[test]
    fn where_there_are_too_many_fewer_trials_are_enough_but_not_in_a_storm() {
        let of = |worst| Patience::in_weather(&Weather::default(), worst, true);
        assert_eq!((of(0.0).blames, of(0.0).trials), (3, 3));
        assert!(of(0.8).trials > 50);
    }

    #[test]
    fn while_hardly_anything_passes_nobody_is_given_up_soon_until_chance_is_ruled_out() {
        let mut weather = Weather::default();
        for number in 0..100 {
            weather.answered(number % 10 == 0);
        }
        for are_crowded in [false, true] {
            assert_eq!(Patience::in_weather(&weather, 0.0, are_crowded).blames, TRIALS_IN_GLOOM);
        }
        for _ in 0..128 {
            weather.failed_again();
        }
        assert_eq!(Patience::in_weather(&weather, 0.0, false), Patience::LEAST);
        weather.passed_after(1);
        assert!(Patience::in_weather(&weather, 0.0, false).blames >= TRIALS_IN_GLOOM);
    }
}
