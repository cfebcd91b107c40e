//! The book of losses: what the disk lost of what had been accepted, line by line, until a person has seen it and removes the
//! file.
//!
//! A loss is entered before anything is written that keeps the next start from finding it again, and marked as told once the
//! start that found it has opened the journal. A start that dies in between leaves it to the next one; and one that finds it
//! again, because a full disk took no new index, knows it by its seqs: none is used twice in a row.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ballast::Ballast;
use super::continuity::{Loss, LossKind, without};
use super::frame::RowName;
use super::store::{Store, StoreError, VolumeId};
use crate::clock::Clock;
use crate::event::{Lane, PerLane, UnixMillis};

/// Lines in the book. Beyond it the oldest two of a row are joined.
const LINES_MAX: usize = 1_000;

/// A line of the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    row: String,
    volume: u32,
    kind: LossKind,
    first_seq: u64,
    last_seq: u64,
    /// Lost events; 0 where it is not known how many of them were still owed.
    events: u64,
    found_at: UnixMillis,
    told: bool,
}

impl Line {
    fn of(loss: &Loss, found_at: UnixMillis) -> Self {
        Self {
            row: loss.volume.row.as_str().to_owned(),
            volume: loss.volume.number,
            kind: loss.kind,
            first_seq: loss.seqs.start,
            last_seq: loss.seqs.end.saturating_sub(1),
            events: loss.events,
            found_at,
            told: false,
        }
    }

    fn seqs(&self) -> Range<u64> {
        self.first_seq..self.last_seq.saturating_add(1)
    }

    /// The loss; `None` where somebody changed the line into nonsense.
    fn loss(&self) -> Option<Loss> {
        let row = RowName::ALL.into_iter().find(|row| row.as_str() == self.row)?;
        let volume = VolumeId { row, number: self.volume };
        Some(Loss { volume, seqs: self.seqs(), events: self.events, kind: self.kind })
    }

    fn join(&mut self, other: &Self) {
        self.first_seq = self.first_seq.min(other.first_seq);
        self.last_seq = self.last_seq.max(other.last_seq);
        self.events += other.events;
        self.told &= other.told;
        self.kind = LossKind::Among;
    }
}

/// The book of one journal.
#[derive(Debug)]
pub(super) struct LossBook<S> {
    store: Arc<S>,
    clock: Clock,
    /// Given up for it, where there is any.
    ballast: Option<Ballast>,
}

impl<S> Clone for LossBook<S> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), clock: self.clock.clone(), ballast: self.ballast.clone() }
    }
}

impl<S: Store> LossBook<S> {
    pub(super) fn new(store: &Arc<S>, clock: Clock, ballast: Option<Ballast>) -> Self {
        Self { store: Arc::clone(store), clock, ballast }
    }

    /// Enters losses that are not in it yet, durably, and hands out all that nobody was told of.
    ///
    /// # Errors
    /// When the store fails. On a full disk they are handed out all the same: then the next start may tell them again.
    pub(super) fn enter(&self, losses: &[Loss]) -> Result<Vec<Loss>, StoreError> {
        let mut lines = read_lines(&self.store.read_losses()?);
        let before = lines.len();
        for loss in losses {
            let known = known_in(&lines, loss.volume.row, loss.kind);
            let news = without(std::slice::from_ref(&loss.seqs), &known);
            lines.extend(news.into_iter().map(|seqs| Line::of(&loss.within(seqs), self.clock.now())));
        }
        if lines.len() > before {
            shorten(&mut lines);
            match self.write(&lines) {
                Err(error @ StoreError::DiskFull) => {
                    tracing::error!(%error, "what the disk lost could not be entered in the book of losses; the next start may tell it again");
                }
                written => written?,
            }
        }
        Ok(lines.iter().filter(|line| !line.told).filter_map(Line::loss).collect())
    }

    /// The seqs of events in a row of which it is known that they are lost, in their order.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn known(&self, row: RowName) -> Result<Vec<Range<u64>>, StoreError> {
        Ok(known_in(&read_lines(&self.store.read_losses()?), row, LossKind::Blocks))
    }

    /// Everybody was told of what is in it.
    pub(super) fn tell(&self) -> Result<(), StoreError> {
        let mut lines = read_lines(&self.store.read_losses()?);
        if lines.iter().all(|line| line.told) {
            return Ok(());
        }
        lines.iter_mut().for_each(|line| line.told = true);
        match self.write(&lines) {
            // Told twice is better than never.
            Err(StoreError::DiskFull) => Ok(()),
            written => written,
        }
    }

    fn write(&self, lines: &[Line]) -> Result<(), StoreError> {
        let book = write_lines(lines);
        match (self.store.write_losses(&book), &self.ballast) {
            // The ballast was kept for times like this.
            (Err(StoreError::DiskFull), Some(ballast)) if ballast.give_up()? => {
                self.store.write_losses(&book)
            }
            (written, _) => written,
        }
    }

    /// The lost events in it.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn lost_events(&self) -> Result<PerLane<u64>, StoreError> {
        Ok(lost_events(&self.store.read_losses()?))
    }
}

/// The lost events in such a book.
pub(super) fn lost_events(book: &[u8]) -> PerLane<u64> {
    let lines = read_lines(book);
    let of = |lane: Lane| {
        let row = RowName::from(lane).as_str();
        lines.iter().filter(|line| line.row == row).map(|line| line.events).sum()
    };
    PerLane { grants: of(Lane::Grants), usage: of(Lane::Usage) }
}

fn read_lines(book: &[u8]) -> Vec<Line> {
    let lines = book.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let read = |line: &[u8]| {
        serde_json::from_slice(line)
            .inspect_err(|error| tracing::error!(%error, "a line in the book of losses is damaged"))
            .ok()
    };
    lines.filter_map(read).collect()
}

/// What is known already of losses of this kind: one that may be among others says nothing of each of them.
fn known_in(lines: &[Line], row: RowName, kind: LossKind) -> Vec<Range<u64>> {
    let is_among = |kind| kind == LossKind::Among;
    let of_this = |line: &&Line| line.row == row.as_str() && is_among(line.kind) == is_among(kind);
    let mut known: Vec<Range<u64>> = lines.iter().filter(of_this).map(Line::seqs).collect();
    known.sort_unstable_by_key(|seqs| seqs.start);
    known
}

fn write_lines(lines: &[Line]) -> Vec<u8> {
    let mut book = Vec::new();
    for line in lines {
        book.extend(serde_json::to_vec(line).unwrap_or_default());
        book.push(b'\n');
    }
    book
}

fn shorten(lines: &mut Vec<Line>) {
    while lines.len() > LINES_MAX {
        let mut first_of: BTreeMap<&str, usize> = BTreeMap::new();
        let mut pair = None;
        for (at, line) in lines.iter().enumerate() {
            if let Some(first) = first_of.insert(&line.row, at) {
                pair = Some((first, at));
                break;
            }
        }
        let Some((first, second)) = pair else { return };
        let joined = lines.remove(second);
        if let Some(line) = lines.get_mut(first) {
            line.join(&joined);
        }
    }
}

/// What a person should know of losses: a sentence for each volume and kind.
pub(super) fn sentences(losses: &[Loss]) -> Vec<String> {
    by_volume(losses).iter().map(sentence).collect()
}

/// Losses, joined to one of each kind for each volume.
pub(super) fn by_volume(losses: &[Loss]) -> Vec<Loss> {
    let mut joined: BTreeMap<(VolumeId, LossKind), Loss> = BTreeMap::new();
    for loss in losses {
        let known = joined.entry((loss.volume, loss.kind));
        known.and_modify(|known| known.join(loss)).or_insert_with(|| loss.clone());
    }
    joined.into_values().collect()
}

fn sentence(loss: &Loss) -> String {
    let Loss { volume, seqs, events, kind } = loss;
    let (first, last) = (seqs.start, seqs.end.saturating_sub(1));
    let (what, advice) = match volume.row {
        RowName::Grants | RowName::Usage => ("accepted events", SEND_AGAIN),
        RowName::Dead => ("dead letters", ""),
    };
    match kind {
        LossKind::Blocks => format!(
            "the disk lost {events} {what} of {volume}, with seqs from {first} to {last}: nothing is left of the blocks they lay in. Check the disk{advice}"
        ),
        LossKind::End => format!(
            "the journal had got {} events further in its {} row than it was found: the disk lost what it had confirmed. Check the disk{advice}",
            seqs.end - seqs.start,
            volume.row.as_str()
        ),
        LossKind::Among if *events > 0 => format!(
            "the disk lost {events} {what} of {volume}, among those with seqs from {first} to {last}. Check the disk{advice}"
        ),
        LossKind::Among => format!(
            "{volume} is gone, which was open: how many {what} of it were still owed, among those with seqs from {first} to {last}, can't be told. Check the disk{advice}"
        ),
    }
}

const SEND_AGAIN: &str =
    "; what was delivered is safe, and applications can send the rest again with the same ids";

#[cfg(test)]
mod tests {
    use super::super::memory_store::MemoryStore;
    use super::super::settings::Settings;
    use super::*;

    fn lost(number: u32, seqs: Range<u64>) -> Loss {
        Loss::of_blocks(VolumeId { row: RowName::Usage, number }, seqs)
    }

    fn book() -> LossBook<MemoryStore> {
        LossBook::new(&Arc::default(), Clock::system(), None)
    }

    #[test]
    fn a_loss_is_handed_out_until_it_was_told_and_counts_once_however_often_it_is_found() {
        let book = book();
        assert_eq!(book.enter(&[]).unwrap(), []);
        assert_eq!(book.enter(&[lost(1, 20..30)]).unwrap(), [lost(1, 20..30)]);
        assert_eq!(book.enter(&[lost(1, 20..30)]).unwrap(), [lost(1, 20..30)], "nobody was told");
        book.tell().unwrap();
        assert_eq!(book.enter(&[lost(1, 20..30)]).unwrap(), []);
        let more = book.enter(&[lost(1, 10..40)]).unwrap();
        assert_eq!(more, [lost(1, 10..20), lost(1, 30..40)], "only what is new of it");
        let grant = Loss::of_blocks(VolumeId { row: RowName::Grants, number: 1 }, 20..30);
        assert_eq!(book.enter(std::slice::from_ref(&grant)).unwrap().last(), Some(&grant), "of another row");
        assert_eq!(book.lost_events().unwrap(), PerLane { grants: 10, usage: 30 });
    }

    #[test]
    fn the_book_has_an_end_and_forgets_no_event() {
        let book = book();
        let losses: Vec<Loss> = (0..1_500).map(|number| lost(number, seqs_of(number))).collect();
        book.enter(&losses).unwrap();
        assert_eq!(book.lost_events().unwrap().usage, 7_500);
        assert_eq!(read_lines(&book.store.read_losses().unwrap()).len(), LINES_MAX);
        book.tell().unwrap();
        assert_eq!(book.enter(&losses[600..]).unwrap(), []);
    }

    fn seqs_of(number: u32) -> Range<u64> {
        let first = u64::from(number) * 10;
        first..first + 5
    }

    #[test]
    fn a_damaged_line_costs_that_line() {
        let book = book();
        book.enter(&[lost(1, 20..30), lost(2, 40..50)]).unwrap();
        let mut bytes = book.store.read_losses().unwrap();
        bytes[3] ^= 0x80;
        book.store.write_losses(&bytes).unwrap();
        assert_eq!(book.enter(&[]).unwrap(), [lost(2, 40..50)]);
    }

    #[test]
    fn the_ballast_is_given_up_for_a_loss() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { ballast_bytes: 100, ..Settings::in_folder(folder.path().to_owned()) };
        let ballast = Ballast::new(&settings);
        ballast.keep();
        let book = LossBook { ballast: Some(ballast.clone()), ..book() };
        book.enter(&[lost(1, 20..30)]).unwrap();
        assert!(!ballast.is_missing(), "there is room");
        book.store.fill_up_in(0);
        book.enter(&[lost(2, 40..50)]).unwrap();
        assert!(ballast.is_missing());
    }

    #[test]
    fn a_full_disk_keeps_no_loss_secret() {
        let book = book();
        book.store.fill_up_in(0);
        assert_eq!(book.enter(&[lost(1, 20..30)]).unwrap(), [lost(1, 20..30)]);
        assert_eq!(book.lost_events().unwrap().usage, 0);
    }

    #[test]
    fn a_line_is_as_the_page_on_durability_shows_it() {
        let page = include_str!("../../docs/durability.md");
        let shown = page.lines().find(|line| line.starts_with("{\"row\":")).unwrap();
        let line: Line = serde_json::from_str(shown).unwrap();
        assert_eq!(write_lines(std::slice::from_ref(&line)), format!("{shown}\n").into_bytes());
        assert_eq!(line.loss(), Some(lost(3, 420..440)));
        assert!(page.contains("Beyond 1,000 lines") && LINES_MAX == 1_000);
    }
}
