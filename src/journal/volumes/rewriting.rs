//! Which closed volumes of a row are rewritten, and what comes of it.

use super::open_volume::OpenVolume;
use super::repacking::{Repacked, Repacking};
use super::row::{Closed, Row};
use crate::journal::disk::{Store, StoreError};

impl<S: Store> Row<S> {
    /// Sees how the rewriting of a closed volume goes on, and begins the next one where the disk `has_room` for a copy. The
    /// volume that the reader is about to come to is left alone.
    ///
    /// # Errors
    /// When a copy could not be put into its volume's place.
    pub(in crate::journal) fn repack(&mut self, has_room: bool) -> Result<(), StoreError> {
        if let Some(ended) = self.repacking.as_ref().and_then(Repacking::poll) {
            self.end_repacking(ended)?;
        }
        if self.repacking.is_none() && self.limits.repacks && has_room {
            let arriving = self.arriving.as_ref().map(|(number, _)| *number);
            let is_free = |closed: &&Closed| {
                closed.wants_repacking() && Some(closed.number) != arriving && self.owes_all(closed)
            };
            let left_alone = usize::from(!self.is_reader_far());
            let next = self.closed.iter().skip(left_alone).find(is_free);
            self.repacking = next.and_then(|closed| self.janitor.repack(self.id(closed.number)));
        }
        Ok(())
    }

    /// Whether all that a closed volume ever had is owed. Of what was settled in a volume that was salvaged nothing is left but
    /// the seq up to which it had got, and that would not be in the copy.
    fn owes_all(&self, closed: &Closed) -> bool {
        let next = closed.number + 1;
        let at = self.closed.binary_search_by_key(&next, |closed| closed.number).ok();
        let after = at.and_then(|at| self.closed.get(at)).map(|closed| closed.begin);
        let after = after.or_else(|| self.open.get(&next).map(OpenVolume::begin_seq));
        after == Some(closed.begin + closed.totals.events) && after == Some(closed.seqs.end)
    }

    /// Whether the reader has much to read before it comes to the first closed volume.
    fn is_reader_far(&self) -> bool {
        let first = self.closed.front().map_or(0, |closed| closed.number);
        self.open.range(..first).any(|(_, volume)| volume.has_unread() && !volume.is_nearly_read())
    }

    /// Whether a volume is being rewritten, and somebody should look how that goes on.
    pub(in crate::journal) fn is_repacking(&self) -> bool {
        self.repacking.is_some()
    }

    pub(super) fn is_being_repacked(&self, number: u32) -> bool {
        self.repacking.as_ref().is_some_and(|repacking| repacking.number() == number)
    }

    /// The reader has come to this volume: it is rewritten now or never.
    pub(super) fn stop_repacking(&mut self, number: u32) -> Result<(), StoreError> {
        match self.repacking.take_if(|repacking| repacking.number() == number) {
            Some(repacking) => {
                let ended = repacking.give_up();
                self.note_repacked(number, ended?);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn end_repacking(&mut self, ended: Result<Repacked, StoreError>) -> Result<(), StoreError> {
        let Some(repacking) = self.repacking.take() else { return Ok(()) };
        self.note_repacked(repacking.number(), ended?);
        Ok(())
    }

    fn note_repacked(&mut self, number: u32, repacked: Repacked) {
        if let Some(closed) = self.closed.iter_mut().find(|closed| closed.number == number) {
            closed.tried = true;
            if let Repacked::Done { blocks, disk_bytes } = repacked {
                (closed.blocks, closed.disk_bytes) = (blocks, disk_bytes);
            }
        }
    }
}
