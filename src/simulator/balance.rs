//! A customer's standing on one meter.

use super::number::Sum;

/// Units consumed, as they are and as Polar shows them yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Balance {
    total: Sum,
    shown: Sum,
    last_us: u64,
}

impl Balance {
    /// Adds an event's units. Polar computes balances a while after a customer's *last* event: until then it shows
    /// what it showed before.
    pub(super) fn add(&mut self, units: Sum, now_us: u64, delay_us: u64) {
        self.shown = self.consumed(now_us, delay_us);
        self.total.add(units);
        self.last_us = now_us;
    }

    /// The consumed units that are shown at `now_us`.
    pub(super) fn consumed(&self, now_us: u64, delay_us: u64) -> Sum {
        if now_us >= self.last_us.saturating_add(delay_us) { self.total } else { self.shown }
    }
}
