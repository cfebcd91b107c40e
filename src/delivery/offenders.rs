//! Events that failed alone while others passed.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::batch::Batch;
use super::passing_size::PassingSize;

/// The events that failed alone while Polar took others, and wait for their next trial. There may be very many of them:
/// a firewall that dislikes one event in ten does so for hours. When one of them passes, what was in the way may be gone,
/// and they are tried together, more and more of them.
#[derive(Debug)]
pub(super) struct Offenders {
    /// By the time of their next trial, and in the order they came.
    waiting: BTreeMap<(Option<Instant>, u64), Batch>,
    came: u64,
    size: PassingSize,
}

impl Default for Offenders {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), came: 0, size: PassingSize::ONE }
    }
}

impl Offenders {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// It waits for its next trial, not before the time that it says itself.
    pub(super) fn push(&mut self, batch: Batch) {
        self.came += 1;
        self.waiting.insert((batch.history.not_before, self.came), batch);
    }

    /// When the next trial is due.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| due.unwrap_or(now))
    }

    /// The one whose trial is due for the longest time, with as many others as may pass together.
    pub(super) fn take_due(&mut self, now: Instant, events_max: usize, bytes_max: usize) -> Option<Batch> {
        let mut taken = vec![self.take_if(|due, _| due.is_none_or(|due| due <= now))?];
        let mut room = bytes_max.saturating_sub(taken.iter().map(Batch::body_bytes).sum());
        while taken.len() < self.size.within(events_max) {
            let fits = |due: Option<Instant>, batch: &Batch| {
                due.is_none_or(|due| due <= now) && batch.body_bytes() <= room
            };
            let Some(next) = self.take_if(fits) else { break };
            room -= next.body_bytes();
            taken.push(next);
        }
        Some(Batch::join(taken))
    }

    /// The one whose trial is next, before its time.
    pub(super) fn take_probe(&mut self) -> Option<Batch> {
        self.take_if(|_, _| true)
    }

    fn take_if(&mut self, is_meant: impl FnOnce(Option<Instant>, &Batch) -> bool) -> Option<Batch> {
        let entry = self.waiting.first_entry()?;
        is_meant(entry.key().0, entry.get()).then(|| entry.remove())
    }

    /// So many of them passed together.
    pub(super) fn passed(&mut self, events: usize) {
        self.size.passed(events);
    }

    /// So many of them failed together.
    pub(super) fn failed(&mut self, events: usize) {
        self.size.failed(events, 2);
    }
}
