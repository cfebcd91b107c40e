//! What was tried with a block: the requests that carried events of it, and how each was answered.

use std::ops::Range;

use crate::event::UnixMillis;

/// Of many attempts so many of the first are remembered …
const FIRST: usize = 2;
/// … and so many of the last.
const LAST: usize = 6;
/// Of an attempt with more pieces of a block than this, only from where to where they reach.
const PIECES_MAX: usize = 32;

/// A request that carried events of a block, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it was answered, or given up.
    pub at: UnixMillis,
    /// The answer's HTTP status; 0 where there was none.
    pub status: u16,
    /// How many events the request carried, of this block and of others.
    pub events: u32,
    /// Which of the block's events it carried.
    pub carried: Carried,
}

/// Which events of a block a request carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// All of them.
    All,
    /// Those at these positions, ascending.
    Pieces(Box<[Range<u32>]>),
}

impl Carried {
    /// These positions (ascending) of a block of `events`. Neighbouring pieces become one; where there are very many,
    /// what lies between them counts as carried too.
    #[must_use]
    pub fn of(positions: impl IntoIterator<Item = Range<u32>>, events: u32) -> Self {
        let mut pieces: Vec<Range<u32>> = Vec::new();
        for piece in positions {
            let are_many = pieces.len() == PIECES_MAX;
            match pieces.last_mut() {
                Some(last) if are_many || last.end == piece.start => last.end = piece.end,
                Some(_) | None => pieces.push(piece),
            }
        }
        match pieces.as_slice() {
            [all] if *all == (0..events) => Self::All,
            _ => Self::Pieces(pieces.into()),
        }
    }

    /// Whether the event at `position` was among them.
    #[must_use]
    pub fn holds(&self, position: u32) -> bool {
        match self {
            Self::All => true,
            Self::Pieces(pieces) => pieces.iter().any(|piece| piece.contains(&position)),
        }
    }
}

/// What was tried with a block, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many requests carried events of it.
    pub made: u32,
    /// Those that are remembered: all of them, or the first two and the last six.
    pub noted: Vec<Attempt>,
}

impl Attempts {
    /// Notes an answer. Of many the first and the last stay.
    pub fn note(&mut self, attempt: Attempt) {
        if self.noted.len() >= FIRST + LAST {
            self.noted.remove(FIRST);
        }
        // Nearly always it is the only one.
        self.noted.reserve_exact(1);
        self.noted.push(attempt);
    }

    /// When the event at `position`, which is delivered, got to Polar: at the earliest and at the latest. One moment
    /// where its attempt is remembered; `settled_at` is when the last event of its block had its outcome.
    #[must_use]
    pub fn delivered(&self, position: u32, settled_at: UnixMillis) -> Range<UnixMillis> {
        let took_it = |attempt: &&Attempt| attempt.status == 200 && attempt.carried.holds(position);
        let earliest = match self.noted.iter().rev().find(took_it) {
            Some(attempt) => return attempt.at..attempt.at.saturating_add(1),
            None => self.noted.first().map_or(settled_at, |first| first.at),
        };
        earliest.min(settled_at)..settled_at.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use super::*;

    fn attempt(at: UnixMillis, status: u16, carried: Carried) -> Attempt {
        Attempt { at, status, events: 10, carried }
    }

    #[test]
    fn of_many_attempts_the_first_and_the_last_are_remembered() {
        let mut attempts = Attempts::default();
        (1..=100).for_each(|at| attempts.note(attempt(at, 503, Carried::All)));
        let at: Vec<UnixMillis> = attempts.noted.iter().map(|attempt| attempt.at).collect();
        assert_eq!(at, [1, 2, 95, 96, 97, 98, 99, 100]);
    }

    #[test]
    fn an_event_was_delivered_by_the_request_that_carried_it() {
        let mut attempts = Attempts::default();
        attempts.note(attempt(10, 503, Carried::All));
        attempts.note(attempt(20, 200, Carried::of(once(0..3), 6)));
        attempts.note(attempt(30, 422, Carried::of(once(3..6), 6)));
        attempts.note(attempt(40, 200, Carried::of(once(3..5), 6)));
        assert_eq!(attempts.delivered(1, 45), 20..21);
        assert_eq!(attempts.delivered(4, 45), 40..41);
    }

    #[test]
    fn an_event_whose_attempt_is_forgotten_was_delivered_at_some_time_before_its_block_was_settled() {
        let mut attempts = Attempts::default();
        attempts.note(attempt(10, 503, Carried::All));
        (11..100).for_each(|at| attempts.note(attempt(at, 500, Carried::of(once(5..6), 6))));
        assert_eq!(attempts.delivered(0, 200), 10..201);
        assert_eq!(Attempts::default().delivered(0, 200), 200..201);
    }

    #[test]
    fn pieces_are_joined_where_they_touch_and_bounded_in_number() {
        assert_eq!(Carried::of([0..3, 3..6], 6), Carried::All);
        let holes = Carried::of([0..3, 4..6], 6);
        assert!(holes.holds(2) && !holes.holds(3) && holes.holds(4) && !holes.holds(6));
        let many = Carried::of((0..1_000).map(|at| at * 2..at * 2 + 1), 2_000);
        let Carried::Pieces(pieces) = &many else { panic!("{many:?}") };
        assert_eq!((pieces.len(), pieces.last().unwrap().end), (PIECES_MAX, 1_999));
        assert!((0..1_000).all(|at| many.holds(at * 2)), "none that was carried is left out");
    }
}
