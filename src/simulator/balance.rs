//! A customer's standing on one meter.

use super::number::Sum;

/// Polar computes a balance at the latest this long after the first event that is not in it yet. Events of a customer
/// it does not know are given up after as long.
const PATIENCE_US: u64 = 180 * 60 * 1_000_000;

/// Units consumed, as they are and as Polar shows them yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Balance {
    total: Sum,
    shown: Sum,
    /// When the first event came that is not shown yet.
    first_us: u64,
    last_us: u64,
    /// The customer came too late: nothing is shown until their next event.
    given_up: bool,
}

impl Balance {
    /// Adds an event's units. Polar computes balances a while after a customer's *last* event: until then it shows
    /// what it showed before.
    pub(super) fn add(&mut self, units: Sum, now_us: u64, delay_us: u64) {
        if self.given_up || self.is_settled(now_us, delay_us) {
            self.shown = self.consumed(now_us, delay_us);
            self.first_us = now_us;
            self.given_up = false;
        }
        self.total.add(units);
        self.last_us = now_us;
    }

    /// The consumed units that are shown at `now_us`.
    pub(super) fn consumed(&self, now_us: u64, delay_us: u64) -> Sum {
        if !self.given_up && self.is_settled(now_us, delay_us) { self.total } else { self.shown }
    }

    /// The customer it belongs to has become known.
    pub(super) fn is_attributed(&mut self, now_us: u64, delay_us: u64) {
        if delay_us > 0 && now_us > self.last_us.saturating_add(PATIENCE_US) {
            self.given_up = true;
            self.shown = Sum::default();
        }
    }

    fn is_settled(&self, now_us: u64, delay_us: u64) -> bool {
        delay_us == 0
            || now_us >= self.last_us.saturating_add(delay_us).min(self.first_us.saturating_add(PATIENCE_US))
    }
}
