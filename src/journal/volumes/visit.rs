//! Looking into a row without handing its blocks out, and taking single blocks out of it, wherever they lie: what dead
//! letters need.
//!
//! A closed volume is opened for it. Its index file holds as long as nothing in it is settled; another takes its
//! place, durably, before the first settlement. Once it is quiet again, such volumes are closed again.

use super::open_volume::{OpenVolume, StoredBlock};
use super::row::Row;
use crate::journal::disk::{Store, StoreError};
use crate::journal::format::BlockEntry;

/// Where a block lies.
enum Place {
    Open(u32),
    Closed(u32),
}

impl<S: Store> Row<S> {
    /// Shows pending blocks from `from` on, oldest first, until there are `max` of them or about `bytes_max` of text: at
    /// least one if there is any.
    ///
    /// # Errors
    /// When a volume can't be read.
    pub(in crate::journal) fn peek(
        &mut self,
        from: u64,
        max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        let closed = self.closed.iter().filter(|closed| closed.seqs.end > from).map(|closed| closed.number);
        let mut numbers: Vec<u32> = closed.chain(self.open.keys().copied()).collect();
        numbers.sort_unstable();
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        for number in numbers {
            let mut next = from;
            loop {
                let volume = self.volume(number)?;
                let Some(entry) = volume.first_from(next) else { break };
                bytes += entry.text_bytes as usize;
                if blocks.len() >= max || (bytes > bytes_max && !blocks.is_empty()) {
                    return Ok(blocks);
                }
                blocks.extend(volume.show(entry.seq)?);
                next = entry.seq + 1;
            }
        }
        Ok(blocks)
    }

    /// Shows the pending block at `seq`; `None` when there is none.
    ///
    /// # Errors
    /// When a volume can't be read.
    pub(in crate::journal) fn show(&mut self, seq: u64) -> Result<Option<StoredBlock>, StoreError> {
        match self.place_of(seq)? {
            Some(Place::Open(number) | Place::Closed(number)) => self.volume(number)?.show(seq),
            None => Ok(None),
        }
    }

    /// Makes the pending block at `seq` one that can be settled, and describes it; `None` when there is none.
    ///
    /// # Errors
    /// When a volume can't be opened.
    pub(in crate::journal) fn claim(&mut self, seq: u64) -> Result<Option<BlockEntry>, StoreError> {
        let number = match self.place_of(seq)? {
            None => return Ok(None),
            Some(Place::Open(number)) => number,
            Some(Place::Closed(number)) => {
                self.volume(number)?;
                if let Some(volume) = self.looked_at.take() {
                    self.open_closed(volume)?;
                }
                number
            }
        };
        Ok(self.open.get(&number).and_then(|volume| volume.first_from(seq)).filter(|entry| entry.seq == seq))
    }

    fn place_of(&mut self, seq: u64) -> Result<Option<Place>, StoreError> {
        let open = self.open.iter().rev().find(|(_, volume)| volume.owes(seq));
        if let Some((number, _)) = open {
            return Ok(Some(Place::Open(*number)));
        }
        let closed = self.closed.iter().find(|closed| closed.seqs.contains(&seq)).map(|closed| closed.number);
        let Some(number) = closed else { return Ok(None) };
        Ok(self.volume(number)?.owes(seq).then_some(Place::Closed(number)))
    }

    /// An open volume, or a closed one opened for a look. One at a time is: they are megabytes.
    fn volume(&mut self, number: u32) -> Result<&OpenVolume<S::Volume>, StoreError> {
        let is_open = self.open.contains_key(&number);
        if !is_open && self.looked_at.as_ref().is_none_or(|volume| volume.id().number != number) {
            let other = self.looked_at.take();
            self.put_away(other);
            let mut volume = self.janitor.open_now(self.id(number))?;
            let differs = self.compare_with_index(&mut volume)?;
            if differs || volume.salvaged() > 0 {
                // Told once, and not by the next start again. A salvage left an index that is not one of a closed volume.
                match self.write_index(volume.id(), &volume.closed_index()) {
                    // Nobody is to be stopped by a look, and the book of losses knows it too.
                    Ok(()) | Err(StoreError::DiskFull) => {}
                    Err(error) => return Err(error),
                }
            }
            self.looked_at = Some(volume);
        }
        let volume = if is_open { self.open.get(&number) } else { self.looked_at.as_ref() };
        volume.ok_or_else(|| StoreError::Io(format!("{} was closed while it was looked at", self.id(number))))
    }

    fn put_away(&self, volume: Option<OpenVolume<S::Volume>>) {
        if let Some(volume) = volume {
            self.janitor.close(volume.into_store());
        }
    }

    /// Whether volumes are open that need not be.
    pub(in crate::journal) fn is_restless(&self) -> bool {
        self.looked_at.is_some() || !self.idle().is_empty()
    }

    /// Closes again what was opened for a look or for a settlement. Only for a row that nobody reads block by block.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::journal) fn rest(&mut self) -> Result<(), StoreError> {
        let looked_at = self.looked_at.take();
        self.put_away(looked_at);
        for number in self.idle() {
            if let Some(volume) = self.open.remove(&number) {
                self.close(volume)?;
            }
        }
        Ok(())
    }

    /// Open volumes that owe something and wait for nothing: neither the tail, nor handed out in part.
    fn idle(&self) -> Vec<u32> {
        let tail = self.next_number.saturating_sub(1);
        let idle = |volume: &&OpenVolume<S::Volume>| {
            volume.id().number != tail && !volume.is_settled() && !volume.is_being_read()
        };
        self.open.values().filter(idle).map(|volume| volume.id().number).collect()
    }
}
