//! Batches that were sent before and are to be sent again.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::batch::Batch;
use super::history::History;

/// Blind splitting ends when so many events stand alone and fail: then it is no poison but an outage.
const LONE_FAILURES_MAX: usize = 4;
/// A batch is split blindly only after so many failures, and a piece of one sooner: a short outage should leave
/// batches as they are.
const FAILURES_MIN: u32 = 6;
const FAILURES_OF_A_PIECE_MIN: u32 = 3;
/// After so many requests in vain a batch takes turns with fresh events in finding out whether Polar works, whatever it
/// was answered.
const REQUESTS_MAX: u32 = 3;

/// Which batches are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Those that are suspected of their failures.
    Suspected,
    /// All others.
    Unsuspected,
    /// Those of the others that carry grants.
    UnsuspectedGrants,
}

impl Kind {
    fn includes(self, batch: &Batch) -> bool {
        match self {
            Self::Suspected => batch.history.is_piece,
            Self::Unsuspected => !batch.history.is_piece,
            Self::UnsuspectedGrants => !batch.history.is_piece && batch.has_grants(),
        }
    }
}

/// The batches that wait to be sent again, in the order they came to wait.
#[derive(Debug, Default)]
pub(super) struct Resend {
    batches: VecDeque<Batch>,
}

impl Resend {
    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// To be sent in its turn.
    pub(super) fn push(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.batches.push_back(batch);
        }
    }

    /// To be sent before the others.
    pub(super) fn push_first(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.batches.push_front(batch);
        }
    }

    pub(super) fn has_grants(&self) -> bool {
        self.batches.iter().any(Batch::has_grants)
    }

    /// Whether any batch is held for sums that stay wrong.
    pub(super) fn has_mismatched(&self) -> bool {
        self.batches.iter().any(|batch| batch.history.mismatches > 1)
    }

    /// How many of them are suspected of their failures and wait for an answer that settles them. What Polar does not count
    /// right may never get one.
    pub(super) fn suspected(&self) -> usize {
        let is_meant = |batch: &&Batch| Kind::Suspected.includes(batch) && batch.history.mismatches < 2;
        self.batches.iter().filter(is_meant).count()
    }

    /// How many of them are not suspected of their failures.
    pub(super) fn unsuspected(&self) -> usize {
        self.batches.iter().filter(|batch| Kind::Unsuspected.includes(batch)).count()
    }

    /// Events of the suspected batches that failed as they are.
    pub(super) fn suspected_events(&self) -> usize {
        let failed = |batch: &&Batch| batch.history.is_piece && batch.history.failures > 0;
        self.batches.iter().filter(failed).map(Batch::len).sum()
    }

    /// Whether each of them failed in a way that may be its own fault, or so often in any way, that none is a good probe.
    /// What is suspected is none in any case.
    pub(super) fn have_all_failed(&self) -> bool {
        self.batches.iter().all(Batch::is_no_good_probe)
    }

    /// Whether any of them has not failed as it is.
    pub(super) fn has_untried(&self) -> bool {
        self.batches.iter().any(|batch| batch.history.failures == 0 && batch.history.mismatches == 0)
    }

    /// Whether the time of such a batch has come.
    pub(super) fn has_ready(&self, now: Instant, kind: Kind) -> bool {
        self.batches.iter().any(|batch| batch.is_ready(now) && kind.includes(batch))
    }

    /// The oldest batch of this kind whose time has come, one with grants before all others.
    pub(super) fn take_ready(&mut self, now: Instant, kind: Kind) -> Option<Batch> {
        let is_meant = |batch: &Batch| batch.is_ready(now) && kind.includes(batch);
        let meant = self.batches.iter().enumerate().filter(|(_, batch)| is_meant(batch));
        let oldest = meant.min_by_key(|(_, batch)| (!batch.has_grants(), batch.oldest_seq()))?.0;
        self.batches.remove(oldest)
    }

    /// The oldest of the unsuspected batches whose time has come, merged with as many of the next as fit beside it: an
    /// outage leaves small ones behind.
    pub(super) fn take_unsuspected(
        &mut self,
        now: Instant,
        events_max: usize,
        bytes_max: usize,
    ) -> Option<Batch> {
        let first = self.take_ready(now, Kind::Unsuspected)?;
        let (mut events, mut bytes) = (first.len(), first.body_bytes());
        let mut others = Vec::new();
        while events < events_max
            && first.history.mismatches == 0
            && let Some(next) = self.take_ready(now, Kind::Unsuspected)
        {
            (events, bytes) = (events + next.len(), bytes + next.body_bytes());
            if events > events_max || bytes > bytes_max || next.history.mismatches > 0 {
                self.push_first(next);
                break;
            }
            others.push(next);
        }
        if others.is_empty() {
            return Some(first);
        }
        others.push(first);
        Some(Batch::merge(others))
    }

    /// The batch that was not tried for the longest time, a good probe before all others: probes take turns, so that a
    /// poisoned batch can't make Polar look dead for ever. Waits for suspicion do not count here; waits for a wrong sum
    /// do.
    pub(super) fn take_probe(&mut self, now: Instant) -> Option<Batch> {
        let least_recent = self
            .batches
            .iter()
            .enumerate()
            .filter(|(_, batch)| batch.probe_from().is_none_or(|instant| instant <= now))
            .min_by_key(|(_, batch)| (batch.is_no_good_probe(), batch.history.last_sent))
            .map(|(index, _)| index)?;
        self.batches.remove(least_recent)
    }

    /// When the next batch may be taken, as a probe or in its turn.
    pub(super) fn next_at(&self, now: Instant, as_probe: bool) -> Option<Instant> {
        let at = |batch: &Batch| if as_probe { batch.probe_from() } else { batch.history.not_before };
        self.batches.iter().map(|batch| at(batch).unwrap_or(now)).min()
    }

    /// Whether `batch`, which just failed, may be split although nothing proves that Polar works.
    ///
    /// When everything there is keeps failing, it is an outage, or everything there is holds a poison. Cutting the
    /// smallest batch ever smaller finds out at the cost of few requests: sooner or later an event stands alone, and
    /// if Polar takes it, that proves the rest. It ends when several events alone fail too, unless memory `is_crowded` with
    /// such events: then it is no outage that began lately.
    pub(super) fn may_split_blindly(&self, batch: &Batch, is_crowded: bool) -> bool {
        if is_crowded {
            return batch.len() > 1 && batch.kept_failing(1);
        }
        let lone = self.batches.iter().filter(|other| other.len() == 1 && other.kept_failing(0)).count();
        batch.len() > 1
            && batch.kept_failing(1)
            && self.batches.iter().all(|other| other.kept_failing(0))
            && self.batches.iter().all(|other| other.len() == 1 || other.len() >= batch.len())
            && lone < LONE_FAILURES_MAX
    }
}

impl Batch {
    /// Whether it failed often enough to be split blindly, counting so many failures that are not noted yet.
    fn kept_failing(&self, more: u32) -> bool {
        let enough = if self.history.is_piece { FAILURES_OF_A_PIECE_MIN } else { FAILURES_MIN };
        self.history.failures.saturating_add(more) >= enough
    }

    /// Whether it failed in a way that may be its own fault, or so often in any way that another one tells more.
    fn is_no_good_probe(&self) -> bool {
        let History { is_piece, failures, requests, .. } = self.history;
        is_piece || failures > 0 || requests > REQUESTS_MAX
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.history.not_before.is_none_or(|instant| instant <= now)
    }

    /// From when it may serve as a probe.
    fn probe_from(&self) -> Option<Instant> {
        self.history.not_before.filter(|_| self.history.mismatches > 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::delivery::tests::fixture::{block, run_of};
    use crate::event::Lane;

    fn batch(lane: Lane, seq: u64, events: usize) -> Batch {
        Batch::new(vec![run_of(&block(lane, seq, events))])
    }

    #[test]
    fn batches_with_grants_go_first_and_none_before_its_time() {
        let now = Instant::now();
        let mut resend = Resend::default();
        let mut waiting = batch(Lane::Grants, 1, 1);
        waiting.history.not_before = Some(now + Duration::from_secs(1));
        resend.push(batch(Lane::Usage, 1, 1));
        resend.push(waiting);
        resend.push(batch(Lane::Grants, 9, 1));
        assert_eq!(resend.take_ready(now, Kind::Unsuspected).unwrap().runs()[0].block.id().seq, 9);
        assert!(!resend.has_ready(now, Kind::UnsuspectedGrants));
        assert!(!resend.take_ready(now, Kind::Unsuspected).unwrap().has_grants());
        assert!(resend.take_ready(now, Kind::Unsuspected).is_none());
        assert_eq!(resend.next_at(now, false), Some(now + Duration::from_secs(1)));
        assert_eq!(resend.next_at(now, true), Some(now));
    }

    #[test]
    fn probes_take_turns() {
        let now = Instant::now();
        let mut resend = Resend::default();
        for (seq, age) in [(1, 5), (2, 9), (3, 7)] {
            let mut batch = batch(Lane::Usage, seq, 1);
            batch.history.last_sent = Some(now - Duration::from_secs(age));
            batch.history.not_before = Some(now + Duration::from_secs(60));
            resend.push(batch);
        }
        let mut turn = || {
            let mut batch = resend.take_probe(now).unwrap();
            batch.history.last_sent = Some(now);
            let seq = batch.runs()[0].block.id().seq;
            resend.push(batch);
            seq
        };
        assert_eq!([turn(), turn(), turn()], [2, 3, 1]);
    }

    #[test]
    fn only_the_smallest_of_what_fails_is_split_blindly_and_not_for_ever() {
        let failing = |seq, events, failures| {
            let mut batch = batch(Lane::Usage, seq, events);
            batch.history.failures = failures;
            batch
        };
        let mut resend = Resend::default();
        assert!(!resend.may_split_blindly(&failing(1, 8, 4), false), "too early");
        assert!(resend.may_split_blindly(&failing(1, 8, 5), false));
        assert!(!resend.may_split_blindly(&failing(1, 1, 9), false), "nothing to split");
        resend.push(failing(100, 4, 6));
        assert!(!resend.may_split_blindly(&failing(1, 8, 5), false), "another one is smaller");
        assert!(resend.may_split_blindly(&failing(1, 3, 5), false));
        resend.push(failing(200, 9, 1));
        assert!(!resend.may_split_blindly(&failing(1, 3, 5), false), "another one may still prove something");
        let mut outage = Resend::default();
        for seq in 0..LONE_FAILURES_MAX as u64 {
            outage.push(failing(seq, 1, 6));
        }
        assert!(!outage.may_split_blindly(&failing(100, 8, 50), false));
        assert!(outage.may_split_blindly(&failing(100, 8, 5), true), "memory is full: this is no news");
    }
}
