//! When the journal will be empty, or full, if things go on as they do: estimated from how the figures moved between
//! the looks that people and Prometheus take anyway.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::journal::Accounts;

/// How far back the estimates look: over the pauses that a rate limit makes, and not over the turn of an outage.
const WINDOW: Duration = Duration::from_secs(2 * 60);
/// Looks that are further apart than the window are still better than none.
const MEMORY: Duration = Duration::from_secs(5 * 60);
/// Looks closer together than this are taken as one.
const SPACING: Duration = Duration::from_secs(5);

/// Remembers the looks of the last minutes. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    looks: Arc<Mutex<VecDeque<Look>>>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    pending: u64,
    journal_bytes: u64,
}

/// What is to be expected.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Estimate {
    /// Seconds until nothing is owed: 0 when nothing is, `None` when what is owed does not shrink.
    pub(super) to_drain: Option<f64>,
    /// Seconds until the journal reaches its limit; `None` when it does not grow.
    pub(super) to_full: Option<f64>,
}

impl Outlook {
    /// Takes a look, and estimates from the oldest one that still counts.
    pub(super) fn look(&self, now: Instant, accounts: &Accounts) -> Estimate {
        let look = Look { at: now, pending: accounts.pending_total(), journal_bytes: accounts.journal_bytes };
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_past = |look: &Look, limit| now.duration_since(look.at) > limit;
        while looks.len() > 1 && looks.front().is_some_and(|oldest| is_past(oldest, WINDOW)) {
            looks.pop_front();
        }
        looks.retain(|look| !is_past(look, MEMORY));
        let oldest = looks.front().copied();
        if looks.back().is_none_or(|latest| now.duration_since(latest.at) >= SPACING) {
            looks.push_back(look);
        }
        drop(looks);
        estimate(oldest, look, accounts.journal_limit_bytes)
    }
}

fn estimate(before: Option<Look>, now: Look, limit_bytes: u64) -> Estimate {
    let elapsed = before.map(|before| now.at.duration_since(before.at));
    let until = |moved: Option<u64>, left: u64| {
        let seconds = elapsed?.as_secs_f64();
        let moved = moved.filter(|moved| *moved > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let paces = left as f64 / moved as f64;
        Some(paces * seconds)
    };
    let shrunk = before.and_then(|before| before.pending.checked_sub(now.pending));
    let grown = before.and_then(|before| now.journal_bytes.checked_sub(before.journal_bytes));
    Estimate {
        to_drain: if now.pending == 0 { Some(0.0) } else { until(shrunk, now.pending) },
        to_full: until(grown, limit_bytes.saturating_sub(now.journal_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PerLane;

    fn accounts(pending: u64, journal_bytes: u64) -> Accounts {
        Accounts {
            pending: PerLane { grants: 0, usage: pending },
            journal_bytes,
            journal_limit_bytes: 1_000,
            ..Accounts::default()
        }
    }

    fn assert_near(found: Option<f64>, wanted: f64) {
        assert!((found.unwrap() - wanted).abs() < 1e-9, "{found:?} is not {wanted}");
    }

    #[test]
    fn a_shrinking_backlog_is_drained_at_its_pace_and_a_growing_journal_is_full_at_its() {
        let outlook = Outlook::default();
        let begun = Instant::now();
        assert_eq!(outlook.look(begun, &accounts(900, 100)), Estimate::default());
        let later = outlook.look(begun + Duration::from_secs(10), &accounts(600, 400));
        assert_near(later.to_drain, 20.0);
        assert_near(later.to_full, 20.0);
    }

    #[test]
    fn what_does_not_shrink_has_no_end_and_nothing_owed_is_drained() {
        let outlook = Outlook::default();
        let begun = Instant::now();
        outlook.look(begun, &accounts(600, 400));
        let later = outlook.look(begun + Duration::from_secs(10), &accounts(700, 400));
        assert_eq!(later, Estimate { to_drain: None, to_full: None });
        let empty = outlook.look(begun + Duration::from_secs(20), &accounts(0, 300));
        assert_eq!(empty, Estimate { to_drain: Some(0.0), to_full: None });
    }

    #[test]
    fn looks_out_of_the_window_are_forgotten() {
        let outlook = Outlook::default();
        let begun = Instant::now();
        outlook.look(begun, &accounts(1_000_000, 0));
        outlook.look(begun + WINDOW, &accounts(100, 0));
        let later = outlook.look(begun + WINDOW + Duration::from_secs(10), &accounts(50, 0));
        assert_near(later.to_drain, 10.0);
    }

    #[test]
    fn looks_further_apart_than_the_window_still_tell_the_pace() {
        let outlook = Outlook::default();
        let begun = Instant::now();
        outlook.look(begun, &accounts(900, 0));
        let later = outlook.look(begun + WINDOW * 2, &accounts(600, 0));
        assert_near(later.to_drain, 480.0);
        assert_eq!(outlook.look(begun + WINDOW * 2 + MEMORY * 2, &accounts(500, 0)).to_drain, None);
    }

    /// An outage of half an hour with 400 events a second, then a drain by 100 requests a minute of 1,000 events each, as
    /// the sandbox allows, with Prometheus looking every fifteen seconds.
    #[test]
    fn two_minutes_into_a_steady_drain_the_estimate_is_within_a_fifth_until_the_end() {
        let outlook = Outlook::default();
        let begun = Instant::now();
        let (arriving, outage, request, per_request) = (400, 1_800_u64, 600_u64, 1_000);
        let pending_at = |millis: u64| {
            let arrived = millis * arriving / 1_000;
            let requests = millis.saturating_sub(outage * 1_000) / request;
            arrived.saturating_sub(requests * per_request)
        };
        let drained = (outage * 1_000..).step_by(100).find(|millis| pending_at(*millis) == 0).unwrap();
        let mut checked = 0;
        for millis in (0..drained).step_by(15_000) {
            let estimate =
                outlook.look(begun + Duration::from_millis(millis), &accounts(pending_at(millis), 0));
            if millis >= outage * 1_000 + 120_000 {
                let wanted = Duration::from_millis(drained - millis).as_secs_f64();
                let found = estimate.to_drain.unwrap();
                assert!((found - wanted).abs() <= 0.2 * wanted + 1.0, "{found} s instead of {wanted} s");
                checked += 1;
            }
        }
        assert!(checked > 5, "{checked}");
    }
}
