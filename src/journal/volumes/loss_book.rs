//! The book of losses: what the disk lost of what had been accepted, line by line, until a person has seen it and removes the
//! file.
//!
//! A loss is entered before anything is written that keeps the next start from finding it again, and marked as told once the
//! start that found it has opened the journal. A start that dies in between leaves it to the next one; and one that finds it
//! again, because a full disk took no new index, [knows it](super::loss_lines).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::continuity::{Loss, LossKind};
use super::loss_lines::LossLines;
use crate::clock::Clock;
use crate::journal::accounts::OnRecord;
use crate::journal::counted;
use crate::journal::disk::{Ballast, Store, StoreError, VolumeId};
use crate::journal::format::RowName;

/// The book of one journal. Clones are of the same.
#[derive(Debug)]
pub(in crate::journal) struct LossBook<S> {
    store: Arc<S>,
    clock: Clock,
    /// Given up for it, where there is any.
    ballast: Option<Ballast>,
    /// What the full disk had no room for: it is in the book all the same, until the process ends.
    unwritten: Arc<Mutex<LossLines>>,
}

impl<S> Clone for LossBook<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            ballast: self.ballast.clone(),
            unwritten: Arc::clone(&self.unwritten),
        }
    }
}

impl<S: Store> LossBook<S> {
    pub(in crate::journal) fn new(store: &Arc<S>, clock: Clock, ballast: Option<Ballast>) -> Self {
        Self { store: Arc::clone(store), clock, ballast, unwritten: Arc::default() }
    }

    /// Enters losses that are not in it yet, durably, and hands out all that nobody was told of.
    ///
    /// # Errors
    /// When the store fails. On a full disk they are handed out all the same: then the next start may tell them again.
    pub(in crate::journal) fn enter(&self, losses: &[Loss]) -> Result<Vec<Loss>, StoreError> {
        let mut lines = self.read()?;
        if lines.damaged() > 0 {
            tracing::error!(
                lines = lines.damaged(),
                "lines in the book of losses are damaged: which losses they told is not known any more"
            );
        }
        let news = lines.news(losses, self.clock.now());
        lines.take_in(news.iter().cloned());
        let untold = lines.untold();
        if !news.is_empty() {
            match self.write(lines) {
                Err(error @ StoreError::DiskFull) => {
                    tracing::error!(%error, "what the disk lost could not be entered in the book of losses; the next start may tell it again");
                    let mut unwritten = self.unwritten();
                    unwritten.take_in(news);
                    unwritten.shorten();
                }
                written => written?,
            }
        }
        Ok(untold)
    }

    /// The seqs of events in a row of which it is known that they are lost, in their order.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn known(&self, row: RowName) -> Result<Vec<Range<u64>>, StoreError> {
        Ok(self.read()?.exact(row))
    }

    /// How far a row had got once, as far as its losses tell.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn end(&self, row: RowName) -> Result<u64, StoreError> {
        Ok(self.read()?.end(row))
    }

    /// Everybody was told of what is in it.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::journal) fn tell(&self) -> Result<(), StoreError> {
        let mut lines = self.read()?;
        if !lines.tell() && self.is_written() {
            return Ok(());
        }
        match self.write(lines) {
            // Told twice is better than never.
            Err(StoreError::DiskFull) => {
                self.unwritten().tell();
                Ok(())
            }
            written => written,
        }
    }

    /// Whether all of it is on the disk.
    pub(super) fn is_written(&self) -> bool {
        self.unwritten().is_empty()
    }

    /// What is in it.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::journal) fn on_record(&self) -> Result<OnRecord, StoreError> {
        Ok(self.read()?.on_record())
    }

    fn unwritten(&self) -> MutexGuard<'_, LossLines> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<LossLines, StoreError> {
        let mut lines = LossLines::read(&self.store.read_losses()?);
        lines.take_all_of(&self.unwritten());
        Ok(lines)
    }

    fn write(&self, mut lines: LossLines) -> Result<(), StoreError> {
        lines.shorten();
        let book = lines.write();
        match (self.store.write_losses(&book), &self.ballast) {
            // The ballast was kept for times like this.
            (Err(StoreError::DiskFull), Some(ballast)) if ballast.give_up()? => {
                self.store.write_losses(&book)?;
            }
            (written, _) => written?,
        }
        *self.unwritten() = LossLines::default();
        Ok(())
    }
}

/// What a person should know of losses: a sentence for each volume and kind.
pub(in crate::journal) fn sentences(losses: &[Loss]) -> Vec<String> {
    by_volume(losses).iter().map(sentence).collect()
}

/// Losses, joined to one of each kind for each volume.
pub(in crate::journal) fn by_volume(losses: &[Loss]) -> Vec<Loss> {
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
        RowName::Grants | RowName::Usage => ("accepted event", SEND_AGAIN),
        RowName::Dead => ("dead letter", ""),
    };
    let lost = counted(*events, what);
    match kind {
        LossKind::Blocks => format!(
            "the disk lost {lost} of {volume}, with seqs from {first} to {last}: nothing is left of the blocks they lay in. Check the disk{advice}"
        ),
        LossKind::End => format!(
            "the journal had got {} further in its {} row than it was found: the disk lost what it had confirmed. Check the disk{advice}",
            counted(seqs.end - seqs.start, "event"),
            volume.row.as_str()
        ),
        LossKind::Among if *events > 0 => format!(
            "the disk lost {lost} of {volume}, among those with seqs from {first} to {last}. Check the disk{advice}"
        ),
        LossKind::Among => format!(
            "{volume} is gone: how many {what}s of it were still owed, among those with seqs from {first} to {last}, can't be told. Check the disk{advice}"
        ),
    }
}

const SEND_AGAIN: &str =
    "; what was delivered is safe, and applications can send the rest again with the same ids";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PerLane;
    use crate::journal::disk::MemoryStore;
    use crate::journal::settings::Settings;

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
        assert!(book.enter(std::slice::from_ref(&grant)).unwrap().contains(&grant), "of another row");
        assert_eq!(book.on_record().unwrap().events, PerLane { grants: 10, usage: 30 });
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
    fn a_full_disk_keeps_no_loss_secret_and_it_is_written_once_there_is_room() {
        let book = book();
        book.enter(&[lost(1, 0..10)]).unwrap();
        book.tell().unwrap();
        book.store.fill_up_in(0);
        assert_eq!(book.enter(&[lost(1, 20..30)]).unwrap(), [lost(1, 20..30)]);
        assert_eq!(book.enter(&[lost(1, 20..30)]).unwrap(), [lost(1, 20..30)], "nobody was told");
        book.tell().unwrap();
        assert_eq!(book.enter(&[lost(1, 20..30)]).unwrap(), []);
        assert_eq!((book.on_record().unwrap().events.usage, book.is_written()), (20, false));
        assert_eq!(LossLines::read(&book.store.read_losses().unwrap()).on_record().events.usage, 10);
        book.store.free();
        book.clone().tell().unwrap();
        assert!(book.is_written());
        assert_eq!(LossLines::read(&book.store.read_losses().unwrap()).on_record().events.usage, 20);
        book.store.write_losses(b"").unwrap();
        assert_eq!(book.on_record().unwrap(), OnRecord::default(), "somebody has seen it");
    }
}
