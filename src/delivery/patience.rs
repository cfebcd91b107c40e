//! How many failures are enough to tell something of a batch.

use super::weather::Weather;

/// While hardly anything passes an event alone is tried so many times as often before it is given up.
const GLOOMY_TIMES: u32 = 3;

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

impl Default for Patience {
    fn default() -> Self {
        Self::LEAST
    }
}

impl Patience {
    /// What is enough while hardly a request fails by chance.
    pub const LEAST: Self = Self { whole: 3, piece: 1, size: 1, blames: 5, trials: 12 };

    /// The same, but as much as `other` where an event alone is to be given up: one that has met bad weather is not judged by
    /// the fair one after it.
    pub(super) fn or_more_of(self, other: Self) -> Self {
        Self { blames: self.blames.max(other.blames), trials: self.trials.max(other.trials), ..self }
    }

    /// What is enough in this weather.
    pub(super) fn in_weather(weather: &Weather) -> Self {
        let Self { whole, piece, blames, trials, .. } = Self::LEAST;
        // Of a storm that begins hardly anything is known yet: then no answer points at an event.
        let blames = if weather.is_calm() && !weather.is_gloomy() { blames } else { trials };
        let longer = if weather.is_gloomy() { GLOOMY_TIMES } else { 1 };
        Self {
            whole: weather.failures_that_tell(whole, 1e-2),
            piece: weather.failures_that_tell(piece, 5e-2),
            size: weather.failures_that_tell(1, 1e-2),
            blames: weather.failures_that_tell(blames * longer, 1e-7),
            trials: weather.failures_that_tell(trials * longer, 1e-7),
        }
    }
}
