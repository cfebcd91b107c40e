//! Events that seem to be bad: they failed alone while others passed, or are what is left of a batch that failed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tokio::time::Instant;

use super::batch::Batch;
use super::passing_size::PassingSize;

/// What each of them takes in memory beside its text, as measured: 1,060 bytes at first, here and among what is unsettled, and
/// some 70 more for each attempt that is remembered, which are eight at most.
const OFFENDER_BYTES: usize = 1_280;

/// The events that failed alone while Polar took others, or of which the rest of their batch passed, and wait for their next
/// trial. There may be very many of them: a firewall that dislikes one event in ten does so for hours. Grants go first; the
/// others take turns: those that were never sent alone and may be good, those with the most trials, so that few are on
/// the way rather than all of them, and the one that waits longest. When one passes, what was in the way may be gone, and
/// they are tried together, more and more of them.
#[derive(Debug)]
pub(super) struct Offenders {
    /// By the time of their next trial, and in the order they came.
    waiting: BTreeMap<(Option<Instant>, u64), Box<Batch>>,
    /// Those that were tried since Polar last confirmed anything, likewise: another failure would prove nothing.
    spent: BTreeMap<(Option<Instant>, u64), Box<Batch>>,
    /// Those whose time has come, by their turn.
    due: BTreeMap<Turn, Box<Batch>>,
    /// Their turns, in the order they came.
    longest: BTreeMap<u64, Turn>,
    came: u64,
    /// How often one of them, or several together, left.
    taken: u64,
    text_bytes: usize,
    /// How many events Polar had confirmed when that was last looked at.
    confirmed: u64,
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

/// Who of them goes next, grants apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Untried,
    MostTrials,
    Longest,
}

impl Next {
    /// Each in its turn. `is_crowded`: there are too many of them, and the end of some is what makes room.
    fn of(number: u64, is_crowded: bool) -> Self {
        match (number % 4, is_crowded) {
            (0, false) | (1, true) => Self::Untried,
            (2, _) | (0, true) => Self::MostTrials,
            (_, _) => Self::Longest,
        }
    }
}

impl Default for Offenders {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            spent: BTreeMap::new(),
            due: BTreeMap::new(),
            longest: BTreeMap::new(),
            came: 0,
            taken: 0,
            text_bytes: 0,
            confirmed: 0,
            size: PassingSize::ONE,
        }
    }
}

impl Offenders {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.spent.len() + self.due.len()
    }

    /// What they take in memory beside their texts, in bytes.
    pub(super) fn bytes_beside_text(&self) -> usize {
        self.len() * OFFENDER_BYTES
    }

    /// What they take in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.text_bytes + self.bytes_beside_text()
    }

    /// It waits for its next trial, not before the time that it says itself. `confirmed` is how many events Polar has
    /// confirmed so far.
    pub(super) fn push(&mut self, batch: Batch, confirmed: u64) {
        self.heed(confirmed);
        self.came += 1;
        self.text_bytes += batch.text_bytes();
        // The nodes of a map are half empty.
        let batch = Box::new(batch);
        let key = (batch.history.not_before, self.came);
        if batch.history.is_trial(confirmed) {
            self.waiting.insert(key, batch);
        } else {
            self.spent.insert(key, batch);
        }
    }

    /// Whether the failure of any of them would prove something.
    pub(super) fn have_trials(&self, confirmed: u64) -> bool {
        let are_spent_still = self.confirmed == confirmed || self.spent.is_empty();
        !(are_spent_still && self.waiting.is_empty() && self.due.is_empty())
    }

    /// When the next of them may be sent.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        if !self.due.is_empty() {
            return Some(now);
        }
        let first = |map: &BTreeMap<(Option<Instant>, u64), Box<Batch>>| {
            map.first_key_value().map(|((at, _), _)| at.unwrap_or(now))
        };
        [first(&self.waiting), first(&self.spent)].into_iter().flatten().min()
    }

    /// The one whose trial is next, with as many others as may pass together. `is_crowded`: there are too many of them.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        confirmed: u64,
        (events_max, bytes_max): (usize, usize),
        is_crowded: bool,
    ) -> Option<Batch> {
        self.call(now, confirmed);
        let first = self.next_due(now, is_crowded)?;
        let mut bytes = first.body_bytes();
        let mut taken = vec![first];
        while taken.len() < self.size.within(events_max)
            && let Some(next) = self.due.first_entry()
            && bytes + next.get().body_bytes() <= bytes_max
        {
            bytes += next.get().body_bytes();
            self.longest.remove(&next.key().came);
            taken.push(*next.remove());
        }
        self.text_bytes -= taken.iter().map(Batch::text_bytes).sum::<usize>();
        Some(Batch::join(taken))
    }

    /// Polar has confirmed so many events so far.
    fn heed(&mut self, confirmed: u64) {
        if confirmed > self.confirmed {
            self.confirmed = confirmed;
            self.waiting.extend(std::mem::take(&mut self.spent));
        }
    }

    /// Lets those whose time has come take their turns.
    fn call(&mut self, now: Instant, confirmed: u64) {
        self.heed(confirmed);
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
    }

    fn next_due(&mut self, now: Instant, is_crowded: bool) -> Option<Batch> {
        let Some((&first, _)) = self.due.first_key_value() else {
            let spent = self.spent.first_entry().filter(|entry| entry.key().0.is_none_or(|at| at <= now))?;
            return Some(*spent.remove());
        };
        let mut turn = first;
        if first.is_usage {
            let of_most_trials = Turn { is_usage: true, was_alone: true, trials: Reverse(u32::MAX), came: 0 };
            turn = match Next::of(self.taken, is_crowded) {
                Next::Untried => Some(first),
                Next::MostTrials => self.due.range(of_most_trials..).next().map(|(turn, _)| *turn),
                Next::Longest => self.longest.first_key_value().map(|(_, turn)| *turn),
            }
            .unwrap_or(first);
            self.taken = self.taken.wrapping_add(1);
        }
        self.longest.remove(&turn.came);
        self.due.remove(&turn).map(|batch| *batch)
    }

    /// The one whose turn it is, or any other before its time.
    pub(super) fn take_probe(&mut self, now: Instant, confirmed: u64) -> Option<Batch> {
        self.call(now, confirmed);
        let due = self.next_due(now, false);
        let waiting = due.or_else(|| self.waiting.pop_first().map(|(_, probe)| *probe));
        let probe = waiting.or_else(|| self.spent.pop_first().map(|(_, probe)| *probe))?;
        self.text_bytes -= probe.text_bytes();
        Some(probe)
    }

    /// So many of them passed together.
    pub(super) fn passed(&mut self, events: usize) {
        self.size.passed(events);
    }

    /// So many of them failed together.
    pub(super) fn failed(&mut self, events: usize) {
        self.size.failed(events, 2, 1);
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

    fn of(batches: impl IntoIterator<Item = Batch>) -> Offenders {
        let mut offenders = Offenders::default();
        batches.into_iter().for_each(|batch| offenders.push(batch, 0));
        offenders
    }

    /// The next ones by their seqs, taken one by one.
    fn next<const N: usize>(offenders: &mut Offenders, now: Instant, is_crowded: bool) -> [Option<u64>; N] {
        [(); N]
            .map(|()| offenders.take_due(now, 0, (1_000, 10_000), is_crowded).map(|batch| batch.oldest_seq()))
    }

    #[test]
    fn none_is_sent_before_its_time_unless_as_a_probe() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut offenders =
            of([offender(1, 2, None), offender(2, 5, Some(now)), offender(3, 9, Some(later))]);
        assert_eq!(next(&mut offenders, now, false), [Some(2), Some(1), None]);
        assert_eq!((offenders.next_at(now), offenders.len()), (Some(later), 1));
        assert_eq!(offenders.take_probe(now, 0).map(|batch| batch.oldest_seq()), Some(3));
        assert!(offenders.is_empty() && offenders.bytes() == 0);
    }

    #[test]
    fn a_grant_goes_first_and_then_the_untried_the_longest_waiting_and_those_with_the_most_trials_in_turn() {
        let now = Instant::now();
        let mut grant = Batch::new(vec![run_of(&block(Lane::Grants, 99, 1))]);
        grant.history.trials = 1;
        let waiting = [(1, 1), (2, 9), (3, 8), (4, 0), (5, 0), (6, 0), (7, 0)];
        let all = || {
            of(waiting.map(|(seq, trials)| offender(seq, trials, None)).into_iter().chain([grant.clone()]))
        };
        assert_eq!(next(&mut all(), now, false), [99, 4, 1, 2, 3].map(Some));
        assert_eq!(next(&mut all(), now, true), [99, 2, 4, 3, 1].map(Some), "their end makes room");
    }

    #[test]
    fn one_whose_failure_would_prove_nothing_goes_last_until_something_else_is_delivered() {
        let now = Instant::now();
        let mut spent = offender(1, 0, None);
        spent.history.failed(7, true, 0.0);
        assert_eq!(spent.history.trials, 1);
        let mut offenders = Offenders::default();
        offenders.push(spent, 7);
        offenders.push(offender(2, 3, None), 7);
        assert!(offenders.have_trials(7));
        let mut take = |confirmed| {
            let taken = offenders.take_due(now, confirmed, (1_000, 10_000), false);
            (taken.map(|batch| batch.oldest_seq()), offenders.have_trials(confirmed))
        };
        assert_eq!(take(7), (Some(2), false));
        assert_eq!(take(7), (Some(1), false), "it may pass all the same");
        let mut again = offender(1, 0, None);
        again.history.failed(7, true, 0.0);
        offenders.push(again, 7);
        assert!(!offenders.have_trials(7) && offenders.have_trials(8));
    }

    #[test]
    fn once_one_passes_more_and_more_are_tried_together_and_what_each_went_through_stays_its_own() {
        let now = Instant::now();
        let mut offenders = of((0..100).map(|seq| offender(seq, u32::try_from(seq).unwrap() % 7, None)));
        let take = |offenders: &mut Offenders, events_max| {
            offenders.take_due(now, 0, (events_max, 10_000), false).unwrap()
        };
        for expected in [1, 2, 4] {
            let batch = take(&mut offenders, 1_000);
            assert_eq!((batch.len(), batch.is_joined()), (expected, expected > 1));
            offenders.passed(batch.len());
        }
        assert_eq!(take(&mut offenders, 5).len(), 5, "never more than a batch may have");
        let eight = take(&mut offenders, 1_000);
        let seqs: Vec<u64> = eight.runs().iter().map(|run| run.block.id().seq).collect();
        assert!(seqs.len() == 8 && seqs.is_sorted());
        let mut apart = eight.apart();
        apart.sort_by_key(Batch::oldest_seq);
        assert!(apart.iter().all(|part| u64::from(part.history.trials) == part.oldest_seq() % 7));
        offenders.failed(8);
        assert_eq!(take(&mut offenders, 1_000).len(), 4);
        offenders.failed(1);
        assert_eq!(take(&mut offenders, 1_000).len(), 1);
        let texts: usize =
            offenders.waiting.values().chain(offenders.due.values()).map(|batch| batch.text_bytes()).sum();
        assert_eq!(offenders.bytes(), texts + offenders.len() * OFFENDER_BYTES);
    }
}
