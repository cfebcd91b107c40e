//! Sending again what was delivered: for the day on which Polar has lost what it had confirmed.
//!
//! What settlements name dead, and what a person dropped, is never sent again. Events go back to their lanes by the road
//! of all restored ones, oldest first, under the ids they have: Polar counts those it still has as duplicates.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::looker::{Fate, Looker, Searched, Seen};
use crate::event::{EventBuf, Lane, PerLane, UnixMillis, external_id};
use crate::journal::accounts::Restored;
use crate::journal::error::{AppendError, JournalError};
use crate::journal::format::RowName;
use crate::journal::source::Source;

/// Text that is handed to the writer in one go: others wait meanwhile.
const SLICE_BYTES_MAX: usize = 512 << 10;
/// Events that are.
const SLICE_EVENTS_MAX: usize = 2_000;
/// Ids of which it is remembered that they were replayed before, 16 bytes each. Beyond it some events are sent twice,
/// which is harmless.
const COPIES_MAX: usize = 500_000;

/// A time from which on, and one before which, events were delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first moment in it.
    pub since: UnixMillis,
    /// The first moment after it.
    pub until: UnixMillis,
}

impl Span {
    fn meets(self, moments: &Range<UnixMillis>) -> bool {
        moments.start < self.until && moments.end > self.since
    }
}

/// What a replay did; times in Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// From when on.
    pub since: UnixMillis,
    /// Until when.
    pub until: UnixMillis,
    /// Whether nothing was done but count.
    pub dry_run: bool,
    /// Events that are pending again; in a dry run, that would be.
    pub events: u64,
    /// Those of them that are grants.
    pub grants: u64,
    /// Their texts, in bytes.
    pub bytes: u64,
    /// Events left out because they are pending again already, from an earlier replay.
    pub pending_again: u64,
    /// Events left out because they have no outcome yet: they are sent anyway.
    pub pending: u64,
    /// Events left out because they became dead letters in that span.
    pub dead: u64,
    /// Events left out because damage hides whether they were delivered, or because they can't be read at all.
    pub unreadable: u64,
    /// Earlier events that are not kept any more, whenever they were delivered.
    pub forgotten: u64,
    /// The earliest delivery that is still kept, where earlier ones are not.
    pub kept_since: Option<UnixMillis>,
    /// Why it ended before it was through, when it did.
    pub stopped: Option<String>,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayProgress {
    /// Events that are pending again.
    pub restored: u64,
    /// Events that will be, as far as they are counted.
    pub of: u64,
}

/// The progress of the replay that goes on, if one does. It takes no lock: whoever replays may be kept from the processor
/// at any point, and whoever asks must not wait for it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Odd while a replay goes on: it tells each from the next.
    turn: AtomicU64,
    /// Zero between two replays, and so is the other one.
    restored: AtomicU64,
    of: AtomicU64,
}

impl Progress {
    pub(super) fn read(&self) -> Option<ReplayProgress> {
        self.with_what_there_is_to_do(self.turn(), self.restored())
    }

    fn turn(&self) -> u64 {
        self.turn.load(Ordering::SeqCst)
    }

    fn restored(&self) -> u64 {
        self.restored.load(Ordering::SeqCst)
    }

    /// What was done is asked for first, for what there is to do was counted before any of it was done. Where another
    /// replay has begun since, the two are not of the same one.
    fn with_what_there_is_to_do(&self, turn: u64, restored: u64) -> Option<ReplayProgress> {
        let of = self.of.load(Ordering::SeqCst);
        let is_of_one_replay = turn % 2 == 1 && self.turn() == turn;
        is_of_one_replay.then_some(ReplayProgress { restored, of })
    }

    pub(super) fn begin(&self) {
        self.turn.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        self.restored.store(0, Ordering::SeqCst);
        self.of.store(0, Ordering::SeqCst);
    }

    fn count(&self, due: u64) {
        self.of.fetch_add(due, Ordering::SeqCst);
    }

    fn advance(&self, restored: u64) {
        self.restored.fetch_add(restored, Ordering::SeqCst);
    }
}

/// The way back into the lanes.
pub(super) trait Restore {
    /// Makes events pending again, durably.
    fn restore(&mut self, events: PerLane<EventBuf>) -> Result<(), AppendError>;
}

/// One replay at work.
struct Replay<'a, R> {
    looker: &'a Looker<'a>,
    span: Span,
    restore: &'a mut R,
    progress: &'a Progress,
    copies: Copies,
    report: Replayed,
    slice: PerLane<EventBuf>,
}

/// Sends again what was delivered in the span.
///
/// # Errors
/// When the journal is closed or poisoned.
pub(super) fn replay<R: Restore>(
    looker: &Looker<'_>,
    span: Span,
    dry_run: bool,
    restore: &mut R,
    progress: &Progress,
) -> Result<Replayed, JournalError> {
    let report = Replayed { since: span.since, until: span.until, dry_run, ..Replayed::default() };
    let copies = Copies::default();
    let mut replay = Replay { looker, span, restore, progress, copies, report, slice: PerLane::default() };
    for lane in Lane::ALL {
        replay.survey(lane)?;
    }
    for lane in Lane::ALL {
        replay.send_again(lane)?;
        replay.hand_over()?;
    }
    Ok(replay.report)
}

impl<R: Restore> Replay<'_, R> {
    /// Counts what there is to do, and notes which events were replayed before.
    fn survey(&mut self, lane: Lane) -> Result<(), JournalError> {
        let (span, looker) = (self.span, self.looker);
        let (copies, progress) = (&mut self.copies, self.progress);
        looker.walk(RowName::from(lane), &mut |seen| {
            let is_again_pending = matches!(seen.fate, Fate::Pending);
            let mut due = 0;
            for position in 0..seen.header.events {
                let is_due = is_delivered_in(&seen, position, span);
                due += u64::from(is_due);
                let was_replayed =
                    seen.block.source(position as usize) == Some(Source::Restored(Restored::Replay));
                if was_replayed && (is_due || is_again_pending) {
                    copies.note(text(&seen, position), is_again_pending);
                }
            }
            progress.count(due);
            true
        })?;
        Ok(())
    }

    fn send_again(&mut self, lane: Lane) -> Result<(), JournalError> {
        let (span, looker) = (self.span, self.looker);
        let mut failed = None;
        let searched = looker.walk(RowName::from(lane), &mut |seen| {
            for position in 0..seen.header.events {
                match &seen.fate {
                    Fate::Pending => self.report.pending += 1,
                    Fate::Unknown => self.report.unreadable += 1,
                    Fate::Settled(record) if record.is_dead(position) => {
                        self.report.dead += u64::from(span.meets(&record.outcome(position)));
                    }
                    Fate::Settled(_) if is_delivered_in(&seen, position, span) => {
                        self.take(lane, text(&seen, position));
                    }
                    Fate::Settled(_) => {}
                }
            }
            let handed_over = if self.is_slice_full() { self.hand_over() } else { Ok(()) };
            failed = handed_over.err();
            failed.is_none() && self.report.stopped.is_none()
        })?;
        self.remember(&searched);
        failed.map_or(Ok(()), Err)
    }

    /// Takes an event along, unless it is pending again already or was taken along before.
    fn take(&mut self, lane: Lane, text: &[u8]) {
        if self.copies.is_to_be_left_out(text) {
            self.report.pending_again += 1;
            return;
        }
        self.slice[lane].push(text, 0);
    }

    fn is_slice_full(&self) -> bool {
        let PerLane { grants, usage } = &self.slice;
        grants.len() + usage.len() >= SLICE_EVENTS_MAX
            || grants.text_bytes() + usage.text_bytes() >= SLICE_BYTES_MAX
    }

    /// Has the events that were gathered made pending.
    fn hand_over(&mut self) -> Result<(), JournalError> {
        let slice = std::mem::take(&mut self.slice);
        let grants = slice.grants.len() as u64;
        let events = grants + slice.usage.len() as u64;
        let bytes = (slice.grants.text_bytes() + slice.usage.text_bytes()) as u64;
        if events == 0 || self.report.stopped.is_some() {
            return Ok(());
        }
        if !self.report.dry_run {
            match self.restore.restore(slice) {
                Ok(()) => {}
                Err(AppendError::Journal(error)) => return Err(error),
                Err(refused @ (AppendError::Busy | AppendError::Full { .. })) => {
                    self.report.stopped = Some(refused.to_string());
                    return Ok(());
                }
            }
        }
        self.report.events += events;
        self.report.grants += grants;
        self.report.bytes += bytes;
        self.progress.advance(events);
        Ok(())
    }

    fn remember(&mut self, searched: &Searched) {
        self.report.unreadable += searched.unreadable;
        self.report.forgotten += searched.forgotten;
        if searched.forgotten > 0 {
            // The later of the two lanes: before it, one of them has forgotten something.
            self.report.kept_since = self.report.kept_since.max(searched.oldest_settled);
        }
    }
}

fn text(seen: &Seen, position: u32) -> &[u8] {
    seen.block.event(position as usize).unwrap_or_default()
}

fn is_delivered_in(seen: &Seen, position: u32, span: Span) -> bool {
    match &seen.fate {
        Fate::Settled(record) => !record.is_dead(position) && span.meets(&record.outcome(position)),
        Fate::Pending | Fate::Unknown => false,
    }
}

/// Events of which more than one copy is kept, by a hash of their id that no two share by chance.
#[derive(Debug, Default)]
struct Copies {
    hashers: (RandomState, RandomState),
    /// Whether one of them is pending already.
    known: HashMap<(u64, u64), bool>,
}

impl Copies {
    fn key(&self, text: &[u8]) -> Option<(u64, u64)> {
        let id = external_id(text)?;
        Some((self.hashers.0.hash_one(&id), self.hashers.1.hash_one(&id)))
    }

    /// A copy was come to that an earlier replay made.
    fn note(&mut self, text: &[u8], is_pending: bool) {
        if self.known.len() < COPIES_MAX
            && let Some(key) = self.key(text)
        {
            *self.known.entry(key).or_default() |= is_pending;
        }
    }

    /// Whether a copy of this event is pending already. If not, this one will be.
    fn is_to_be_left_out(&mut self, text: &[u8]) -> bool {
        if self.known.is_empty() {
            return false;
        }
        let known = self.key(text).and_then(|key| self.known.get_mut(&key));
        known.is_some_and(|is_pending| std::mem::replace(is_pending, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_how_far_a_replay_is_never_waits_and_never_sees_more_done_than_there_was_to_do() {
        let progress = Progress::default();
        assert_eq!(progress.read(), None);
        std::thread::scope(|scope| {
            let at_work = scope.spawn(|| {
                for _ in 0..1_000 {
                    progress.begin();
                    for _ in 0..10 {
                        progress.count(3);
                        progress.advance(3);
                    }
                    progress.end();
                }
            });
            while !at_work.is_finished() {
                let seen = progress.read().unwrap_or_default();
                assert!(seen.restored <= seen.of, "{seen:?}");
            }
        });
        assert_eq!(progress.read(), None);
        progress.begin();
        assert_eq!(progress.read(), Some(ReplayProgress::default()), "the next one begins anew");
    }

    #[test]
    fn a_replay_that_begins_while_somebody_asks_shows_nothing_of_the_one_before() {
        let progress = Progress::default();
        progress.begin();
        progress.count(30_000);
        progress.advance(30_000);
        let (turn, restored) = (progress.turn(), progress.restored());
        assert_eq!(progress.read(), Some(ReplayProgress { restored: 30_000, of: 30_000 }));
        progress.end();
        progress.begin();
        assert_eq!(progress.with_what_there_is_to_do(turn, restored), None);
        assert_eq!(progress.read(), Some(ReplayProgress::default()));
    }
}
