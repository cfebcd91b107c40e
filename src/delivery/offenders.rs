//! Events that seem to be bad: they failed alone while others passed, or are what is left of a batch that failed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tokio::time::Instant;

use super::batch::Batch;
use super::passing_size::PassingSize;

/// Every so manyth of them that is tried is the one that waits longest.
const LONGEST_EVERY: u64 = 4;
/// What each of them takes in memory beside its text.
const OFFENDER_BYTES: usize = 512;

/// The events that failed alone while Polar took others, or of which the rest of their batch passed, and wait for their next
/// trial. There may be very many of them: a firewall that dislikes one event in ten does so for hours. Grants go first, then
/// those that were never sent alone and may be good, then those with the most trials, so that few are on the way rather than
/// all of them; now and then it is the one that waits longest. When one passes, what was in the way may be gone, and they
/// are tried together, more and more of them.
#[derive(Debug)]
pub(super) struct Offenders {
    /// By the time of their next trial, and in the order they came.
    waiting: BTreeMap<(Option<Instant>, u64), Batch>,
    /// Those whose time has come, by their turn.
    due: BTreeMap<Turn, Batch>,
    /// Their turns, in the order they came.
    longest: BTreeMap<u64, Turn>,
    came: u64,
    /// How often one of them, or several together, left.
    taken: u64,
    size: PassingSize,
}

/// Whose trial is next: grants, then what was never sent alone, then those with the most trials, then those that came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_usage: bool,
    was_alone: bool,
    trials: Reverse<u32>,
    came: u64,
}

impl Default for Offenders {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            due: BTreeMap::new(),
            longest: BTreeMap::new(),
            came: 0,
            taken: 0,
            size: PassingSize::ONE,
        }
    }
}

impl Offenders {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.due.len()
    }

    /// What they take in memory beside their texts, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.len() * OFFENDER_BYTES
    }

    /// It waits for its next trial, not before the time that it says itself.
    pub(super) fn push(&mut self, batch: Batch) {
        self.came += 1;
        self.waiting.insert((batch.history.not_before, self.came), batch);
    }

    /// When the next trial is due.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let waiting = self.waiting.first_key_value().map(|((at, _), _)| at.unwrap_or(now));
        if self.due.is_empty() { waiting } else { Some(now) }
    }

    /// The one whose trial is next, with as many others as may pass together.
    pub(super) fn take_due(&mut self, now: Instant, events_max: usize, bytes_max: usize) -> Option<Batch> {
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0.is_none_or(|at| at <= now)
        {
            let ((_, came), batch) = entry.remove_entry();
            let trials = batch.history.trials;
            let turn =
                Turn { is_usage: !batch.has_grants(), was_alone: trials > 0, trials: Reverse(trials), came };
            self.due.insert(turn, batch);
            self.longest.insert(came, turn);
        }
        let first = self.next_due()?;
        let mut bytes = first.body_bytes();
        let mut taken = vec![first];
        while taken.len() < self.size.within(events_max)
            && let Some(next) = self.due.first_entry()
            && bytes + next.get().body_bytes() <= bytes_max
        {
            bytes += next.get().body_bytes();
            self.longest.remove(&next.key().came);
            taken.push(next.remove());
        }
        Some(Batch::join(taken))
    }

    fn next_due(&mut self) -> Option<Batch> {
        let mut turn = *self.due.first_key_value()?.0;
        self.taken += 1;
        if turn.is_usage && self.taken.is_multiple_of(LONGEST_EVERY) {
            turn = *self.longest.first_key_value()?.1;
        }
        self.longest.remove(&turn.came);
        self.due.remove(&turn)
    }

    /// Any of them, before its time.
    pub(super) fn take_probe(&mut self) -> Option<Batch> {
        self.waiting.pop_first().map(|(_, probe)| probe).or_else(|| self.next_due())
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

impl Batch {
    /// Whether it is an event alone that failed while Polar, which has confirmed so many events so far, took others.
    pub(super) fn is_offender(&self, confirmed: u64) -> bool {
        self.len() == 1 && self.history.failures > 0 && self.history.others_confirmed(confirmed)
    }

    /// Whether all of it are such events, one or several in one request.
    pub(super) fn is_of_offenders(&self, confirmed: u64) -> bool {
        self.is_joined() || self.is_offender(confirmed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::delivery::tests::fixture::{block, run_of};
    use crate::event::Lane;

    fn offender(seq: u64, trials: u32, not_before: Option<Instant>) -> Batch {
        let mut batch = Batch::new(vec![run_of(&block(Lane::Usage, seq, 1))]);
        (batch.history.trials, batch.history.not_before) = (trials, not_before);
        batch
    }

    #[test]
    fn who_had_the_most_trials_goes_first_and_none_before_its_time() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut offenders = Offenders::default();
        for (seq, trials, not_before) in [(1, 2, None), (2, 5, Some(now)), (3, 9, Some(later)), (4, 5, None)]
        {
            offenders.push(offender(seq, trials, not_before));
        }
        let mut take = |at| offenders.take_due(at, 1_000, 1_000).map(|batch| batch.oldest_seq());
        assert_eq!([take(now), take(now), take(later), take(later)], [Some(2), Some(4), Some(3), Some(1)]);
        assert_eq!(take(later), None);
        assert!(offenders.is_empty());
        offenders.push(offender(5, 1, Some(later)));
        assert_eq!((offenders.next_at(now), offenders.take_due(now, 9, 999).is_none()), (Some(later), true));
        assert_eq!(offenders.take_probe().map(|batch| batch.oldest_seq()), Some(5));
    }

    #[test]
    fn a_grant_goes_first_and_nobody_starves_behind_those_with_more_trials() {
        let now = Instant::now();
        let mut offenders = Offenders::default();
        for seq in 1..=20 {
            offenders.push(offender(seq, 1 + u32::from(seq > 1), None));
        }
        let mut grant = Batch::new(vec![run_of(&block(Lane::Grants, 99, 1))]);
        grant.history.trials = 1;
        offenders.push(grant);
        let seqs = [(); 4].map(|()| offenders.take_due(now, 1_000, 1_000).unwrap().oldest_seq());
        assert_eq!(seqs, [99, 2, 3, 1]);
    }

    #[test]
    fn once_one_passes_more_and_more_are_tried_together_and_what_each_went_through_stays_its_own() {
        let now = Instant::now();
        let mut offenders = Offenders::default();
        for seq in 0..100 {
            offenders.push(offender(seq, u32::try_from(seq).unwrap() % 7, None));
        }
        for expected in [1, 2, 4] {
            let batch = offenders.take_due(now, 1_000, 10_000).unwrap();
            assert_eq!((batch.len(), batch.is_joined()), (expected, expected > 1));
            offenders.passed(batch.len());
        }
        assert_eq!(offenders.take_due(now, 5, 10_000).unwrap().len(), 5, "never more than a batch may have");
        let eight = offenders.take_due(now, 1_000, 10_000).unwrap();
        let seqs: Vec<u64> = eight.runs().iter().map(|run| run.block.id().seq).collect();
        assert!(seqs.len() == 8 && seqs.is_sorted());
        let mut apart = eight.apart();
        apart.sort_by_key(Batch::oldest_seq);
        assert!(apart.iter().all(|part| u64::from(part.history.trials) == part.oldest_seq() % 7));
        offenders.failed(8);
        assert_eq!(offenders.take_due(now, 1_000, 10_000).unwrap().len(), 4);
        offenders.failed(1);
        assert_eq!(offenders.take_due(now, 1_000, 10_000).unwrap().len(), 1);
    }
}
