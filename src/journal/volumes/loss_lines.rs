//! The lines of the book of losses: what they say, what is new to them, and how they are kept few.
//!
//! A loss is exact where each of its seqs was an event that is lost. Only such a one is known again by its seqs, for none
//! is used twice in a row. Of a vague one nothing can be told of any single event: it is known again only where it is the
//! very same, and it keeps no other loss from being news.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::continuity::{Loss, LossKind, without};
use crate::event::{Lane, PerLane, UnixMillis};
use crate::journal::accounts::OnRecord;
use crate::journal::disk::VolumeId;
use crate::journal::format::RowName;

/// Lines in the book. Beyond it those are joined that lie nearest to each other.
pub(super) const LINES_MAX: usize = 1_000;

/// A line as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    row: String,
    /// `null` where the whole row was gone, and with it what its volumes were called.
    volume: Option<u32>,
    kind: LossKind,
    first_seq: u64,
    last_seq: u64,
    /// Lost events; 0 where it is not known how many of them were still owed.
    events: u64,
    found_at: UnixMillis,
    told: bool,
}

/// A loss in the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entered {
    pub(super) loss: Loss,
    found_at: UnixMillis,
    told: bool,
}

impl Entered {
    /// Reads a line; `None` for a damaged one.
    fn read(line: &[u8]) -> Option<Self> {
        let Line { row, volume, kind, first_seq, last_seq, events, found_at, told } =
            serde_json::from_slice(line).ok()?;
        let row = RowName::ALL.into_iter().find(|known| known.as_str() == row)?;
        let volume = VolumeId { row, number: volume.unwrap_or_default() };
        let seqs = first_seq..last_seq.checked_add(1)?;
        let loss = Loss { volume, seqs, events, kind };
        (first_seq <= last_seq).then_some(Self { loss, found_at, told })
    }

    fn write(&self) -> Vec<u8> {
        let Loss { volume, seqs, events, kind } = &self.loss;
        let line = Line {
            row: volume.row.as_str().to_owned(),
            volume: Some(volume.number).filter(|number| *number > 0),
            kind: *kind,
            first_seq: seqs.start,
            last_seq: seqs.end.saturating_sub(1),
            events: *events,
            found_at: self.found_at,
            told: self.told,
        };
        serde_json::to_vec(&line).unwrap_or_default()
    }

    /// Takes the stretch that follows at once, where the two make one.
    fn goes_on_with(&mut self, next: &Self) -> bool {
        let of_blocks = |entered: &Self| entered.loss.kind == LossKind::Blocks && entered.loss.is_exact();
        let goes_on = of_blocks(self)
            && of_blocks(next)
            && (self.loss.volume, self.told) == (next.loss.volume, next.told)
            && self.loss.seqs.end == next.loss.seqs.start;
        if goes_on {
            self.join(next);
        }
        goes_on
    }

    fn join(&mut self, other: &Self) {
        self.loss.join(&other.loss);
        self.found_at = self.found_at.min(other.found_at);
    }

    /// Only such lines are joined with each other: none hides that another was not told, or could not be counted.
    fn group(&self) -> (RowName, bool, bool) {
        (self.loss.volume.row, self.told, self.loss.events > 0)
    }
}

/// All lines of a book.
#[derive(Clone, Debug, Default)]
pub(in crate::journal) struct LossLines {
    entered: Vec<Entered>,
    /// Lines that are damaged, as they are. Each may have told a loss.
    damaged: Vec<Vec<u8>>,
}

impl LossLines {
    pub(in crate::journal) fn read(book: &[u8]) -> Self {
        let mut lines = Self::default();
        for line in book.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match Entered::read(line) {
                Some(entered) => lines.entered.push(entered),
                None => lines.damaged.push(line.to_vec()),
            }
        }
        lines
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let lines = self.entered.iter().map(Entered::write).chain(self.damaged.iter().cloned());
        lines.flat_map(|line| line.into_iter().chain([b'\n'])).collect()
    }

    /// How many lines are damaged.
    pub(in crate::journal) fn damaged(&self) -> usize {
        self.damaged.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entered.is_empty() && self.damaged.is_empty()
    }

    /// The seqs of a row of which each was an event that is lost, in their order.
    pub(super) fn exact(&self, row: RowName) -> Vec<Range<u64>> {
        let of_row = |entered: &&Entered| entered.loss.volume.row == row && entered.loss.is_exact();
        let mut seqs: Vec<_> =
            self.entered.iter().filter(of_row).map(|entered| entered.loss.seqs.clone()).collect();
        seqs.sort_unstable_by_key(|seqs| seqs.start);
        seqs
    }

    /// A row once got as far as this, as its losses tell.
    pub(super) fn end(&self, row: RowName) -> u64 {
        let of_row = self.entered.iter().filter(|entered| entered.loss.volume.row == row);
        of_row.map(|entered| entered.loss.seqs.end).max().unwrap_or_default()
    }

    /// What of these losses is in no line yet.
    pub(super) fn news(&self, losses: &[Loss], found_at: UnixMillis) -> Vec<Entered> {
        let mut news = Vec::new();
        for row in RowName::ALL {
            let known = self.exact(row);
            let exact = losses.iter().filter(|loss| loss.volume.row == row && loss.is_exact());
            let mut exact: Vec<&Loss> = exact.collect();
            exact.sort_unstable_by_key(|loss| loss.seqs.start);
            let mut at = 0;
            for loss in exact {
                // Two of them may tell of the same seqs.
                let seqs = loss.seqs.start.max(at)..loss.seqs.end;
                at = at.max(seqs.end);
                news.extend(not_in(&seqs, &known).into_iter().map(|seqs| loss.within(seqs)));
            }
        }
        let mut vague: BTreeSet<_> = self.entered.iter().map(|entered| key(&entered.loss)).collect();
        let is_vague = |loss: &&Loss| !loss.is_exact() && vague.insert(key(loss));
        news.extend(losses.iter().filter(is_vague).cloned());
        news.into_iter().map(|loss| Entered { loss, found_at, told: false }).collect()
    }

    /// Takes lines in; stretches that follow at once one on another become one.
    pub(super) fn take_in(&mut self, entered: impl IntoIterator<Item = Entered>) {
        self.entered.extend(entered);
        self.entered.sort_by_key(|entered| {
            let Loss { volume, seqs, kind, .. } = &entered.loss;
            (volume.row, *kind, seqs.start)
        });
        self.entered.dedup_by(|next, last| last.goes_on_with(next));
    }

    /// Takes in what another book has.
    pub(super) fn take_all_of(&mut self, other: &Self) {
        self.take_in(other.entered.iter().cloned());
    }

    /// What nobody was told of.
    pub(super) fn untold(&self) -> Vec<Loss> {
        let untold = self.entered.iter().filter(|entered| !entered.told);
        untold.map(|entered| entered.loss.clone()).collect()
    }

    /// Everybody was told of all of it. `false` where that was so before.
    pub(super) fn tell(&mut self) -> bool {
        let mut is_news = false;
        for entered in &mut self.entered {
            is_news |= !std::mem::replace(&mut entered.told, true);
        }
        is_news
    }

    pub(in crate::journal) fn on_record(&self) -> OnRecord {
        let of = |lane: Lane| {
            let of_lane = self.entered.iter().filter(|entered| entered.loss.volume.row == lane.into());
            of_lane.map(|entered| entered.loss.events).sum()
        };
        let events = PerLane { grants: of(Lane::Grants), usage: of(Lane::Usage) };
        OnRecord { lines: (self.entered.len() + self.damaged.len()) as u64, events }
    }

    /// Joins as many lines as are too many: those of a row that lie nearest to each other, those first that were told.
    pub(super) fn shorten(&mut self) {
        let excess = self.entered.len().saturating_sub(LINES_MAX);
        if excess == 0 {
            return;
        }
        self.entered.sort_by_key(|entered| (entered.group(), entered.loss.seqs.start));
        let neighbours = self.entered.iter().zip(self.entered.iter().skip(1)).zip(1..);
        let mut gaps: Vec<(bool, u64, usize)> = neighbours
            .filter(|((one, other), _)| one.group() == other.group())
            .map(|((one, other), at)| {
                (!one.told, other.loss.seqs.start.saturating_sub(one.loss.seqs.end), at)
            })
            .collect();
        gaps.sort_unstable();
        let joined: BTreeSet<usize> = gaps.into_iter().take(excess).map(|(_, _, at)| at).collect();
        let mut kept: Vec<Entered> = Vec::with_capacity(LINES_MAX);
        for (at, entered) in std::mem::take(&mut self.entered).into_iter().enumerate() {
            match kept.last_mut().filter(|_| joined.contains(&at)) {
                Some(last) => {
                    last.join(&entered);
                    // What lies between the two may be whole.
                    last.loss.kind = LossKind::Among;
                }
                None => kept.push(entered),
            }
        }
        self.entered = kept;
    }
}

/// What of a stretch is in none of these, which are in the order of their seqs and don't meet.
pub(super) fn not_in(seqs: &Range<u64>, known: &[Range<u64>]) -> Vec<Range<u64>> {
    let from = known.partition_point(|known| known.end <= seqs.start);
    without(std::slice::from_ref(seqs), known.get(from..).unwrap_or_default())
}

/// By what a vague loss is known again.
fn key(loss: &Loss) -> (VolumeId, LossKind, u64, u64, u64) {
    (loss.volume, loss.kind, loss.seqs.start, loss.seqs.end, loss.events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::UNREADABLE;

    fn lost(number: u32, seqs: Range<u64>) -> Loss {
        Loss::of_blocks(VolumeId { row: RowName::Usage, number }, seqs)
    }

    fn among(seqs: Range<u64>, events: u64) -> Loss {
        Loss { events, kind: LossKind::Among, ..lost(1, seqs) }
    }

    fn entered(losses: &[Loss]) -> LossLines {
        let mut lines = LossLines::default();
        lines.take_in(lines.news(losses, 7));
        lines
    }

    fn new_to(lines: &LossLines, losses: &[Loss]) -> Vec<Loss> {
        lines.news(losses, 8).into_iter().map(|entered| entered.loss).collect()
    }

    #[test]
    fn a_loss_among_known_ones_of_which_nothing_exact_is_known_is_news() {
        let lines = entered(&[among(0..100, 20)]);
        assert_eq!(new_to(&lines, &[lost(1, 70..80)]), [lost(1, 70..80)]);
        assert_eq!(new_to(&lines, &[among(0..100, 20)]), [], "it is the very same");
        for other in [among(0..100, 10), among(0..90, 20)] {
            assert_eq!(new_to(&lines, std::slice::from_ref(&other)), [other]);
        }
    }

    #[test]
    fn a_row_of_which_nothing_was_left_hides_no_later_loss() {
        let whole = Loss { kind: LossKind::End, events: 0, ..lost(0, 0..50) };
        let lines = entered(std::slice::from_ref(&whole));
        assert_eq!(new_to(&lines, &[whole, lost(1, 20..30)]), [lost(1, 20..30)]);
        assert!(lines.write().starts_with(b"{\"row\":\"usage\",\"volume\":null,"));
        assert_eq!(LossLines::read(&lines.write()).untold(), lines.untold());
        assert_eq!((lines.on_record().lines, lines.on_record().events.usage), (1, 0));
    }

    #[test]
    fn events_that_are_lost_among_others_are_counted_once_though_some_of_these_are_known() {
        let lines = entered(&[lost(1, 40..50), among(0..100, 20)]);
        assert_eq!(lines.on_record().events.usage, 30);
    }

    #[test]
    fn blocks_that_lay_side_by_side_are_one_line() {
        let mut lines = entered(&[lost(1, 20..30), lost(1, 0..10), lost(1, 10..20), lost(2, 30..40)]);
        assert_eq!(lines.untold(), [lost(1, 0..30), lost(2, 30..40)]);
        assert!(lines.tell());
        lines.take_in(lines.news(&[lost(2, 40..50), lost(2, 45..60)], 8));
        assert_eq!(lines.untold(), [lost(2, 40..60)], "what was told is not told again with it");
        assert!(lines.tell() && !lines.tell());
        lines.take_in([]);
        assert_eq!(lines.on_record(), OnRecord { lines: 2, events: PerLane { grants: 0, usage: 60 } });
    }

    #[test]
    fn a_book_that_has_grown_too_long_forgets_no_event_and_hides_no_later_loss() {
        let losses: Vec<Loss> = (0..1_500).map(|number| lost(number, seqs_of(number))).collect();
        let mut lines = entered(&losses[..600]);
        lines.tell();
        lines.take_in(lines.news(&losses, 8));
        // The nearest of all.
        lines.take_in(lines.news(&[lost(900, 9_006..9_007)], 8));
        lines.shorten();
        assert_eq!(lines.on_record(), OnRecord { lines: 1_000, events: PerLane { grants: 0, usage: 7_501 } });
        assert_eq!(lines.untold().len(), 901, "those that were told are joined first");
        assert_eq!(new_to(&lines, &losses[600..]), []);
        let between = seqs_of(3).end..seqs_of(4).start;
        assert_eq!(new_to(&lines, &[lost(3, between.clone())]), [lost(3, between)]);
        assert_eq!(lines.end(RowName::Usage), seqs_of(1_499).end);
        lines.tell();
        lines.shorten();
        assert_eq!(lines.on_record().lines, 1_000);
    }

    fn seqs_of(number: u32) -> Range<u64> {
        let first = u64::from(number) * 10;
        first..first + 5
    }

    #[test]
    fn a_damaged_line_stays_and_counts_as_one() {
        let mut book = entered(&[lost(1, 20..30), lost(2, 40..50)]).write();
        book[3] ^= 0x80;
        let lines = LossLines::read(&book);
        assert_eq!((lines.untold(), lines.damaged()), (vec![lost(2, 40..50)], 1));
        assert_eq!(lines.on_record().lines, 2);
        let again = LossLines::read(&lines.write());
        assert_eq!((again.untold(), again.damaged()), (lines.untold(), 1));
        for nonsense in ["\"first_seq\":99", "\"row\":\"usagf\""] {
            let line = String::from_utf8(entered(&[lost(1, 20..30)]).write()).unwrap();
            let line = line.replace("\"first_seq\":20", nonsense).replace("\"row\":\"usage\"", nonsense);
            assert_eq!(LossLines::read(line.as_bytes()).damaged(), 1, "{line}");
        }
        assert_eq!(LossLines::read(UNREADABLE).on_record().lines, 1);
    }

    #[test]
    fn thousands_of_losses_are_entered_in_a_moment() {
        let losses: Vec<Loss> = (0..8_000).map(|number| lost(number, seqs_of(number))).collect();
        let vague: Vec<Loss> =
            losses.iter().map(|loss| Loss { events: 0, kind: LossKind::Among, ..loss.clone() }).collect();
        let begun = std::time::Instant::now();
        let mut lines = entered(&[losses, vague].concat());
        lines.shorten();
        // In square time it is minutes.
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!((lines.on_record().lines, lines.on_record().events.usage), (1_000, 40_000));
    }

    #[test]
    fn a_line_is_as_the_page_on_durability_shows_it() {
        let page = include_str!("../../../docs/durability.md");
        let shown = page.lines().find(|line| line.starts_with("{\"row\":")).unwrap();
        let lines = LossLines::read(shown.as_bytes());
        assert_eq!(lines.write(), format!("{shown}\n").into_bytes());
        assert_eq!(lines.entered[0].loss, lost(3, 420..440));
        assert!(page.contains("Beyond 1,000 lines") && LINES_MAX == 1_000);
    }
}
