//! Finding a row as the last process left it: what each of its volumes holds, and what is owed of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::frame::RowName;
use super::janitor::Janitor;
use super::row::{Retained, Row, RowLimits};
use super::salvage::{Salvaged, open_verified, scan_volume};
use super::store::{Store, StoreError, VolumeId};
use super::totals::Totals;
use super::volume_index::{BlockEntry, VolumeIndex};

impl<S: Store> Row<S> {
    /// Finds a row's volumes: those with an index stay closed, the others are opened and read.
    ///
    /// # Errors
    /// When the store can't be listed, or a volume can't be opened.
    pub(super) fn open(
        name: RowName,
        store: &Arc<S>,
        janitor: &Janitor<S>,
        limits: RowLimits,
    ) -> Result<Self, StoreError> {
        let mut row = Self {
            name,
            store: Arc::clone(store),
            janitor: janitor.clone(),
            limits,
            retained: VecDeque::new(),
            open: BTreeMap::new(),
            closed: VecDeque::new(),
            looked_at: None,
            next_number: 1,
            next_seq: 0,
            ahead: None,
            arriving: None,
            repacking: None,
            salvaged: Salvaged::default(),
            lost: Totals::default(),
            found_again: Totals::default(),
        };
        let numbers = store.list(name)?;
        let last = numbers.last().copied();
        for number in numbers {
            row.next_number = number + 1;
            let id = VolumeId { row: name, number };
            let index = if Some(number) == last { None } else { store.read_index(id)? };
            match index.as_deref().and_then(VolumeIndex::decode) {
                Some(VolumeIndex::Pending(entries)) => {
                    row.close_entry(id, &entries);
                }
                Some(VolumeIndex::Settled(settled_at)) => {
                    row.retained.push_back(Retained { number, settled_at, disk_bytes: store.disk_bytes(id) });
                }
                None if Some(number) != last && row.index_existing(id)? => {}
                None => row.open_existing(id, Some(number) == last)?,
            }
        }
        // The last volume may be one that was made ahead of time and never written to.
        if let Some(tail) = last.and_then(|number| row.open.get_mut(&number))
            && tail.next_seq() < row.next_seq
        {
            tail.begin(row.next_seq)?;
        }
        Ok(row)
    }

    /// Describes a volume without opening it, for that costs the store a segment of disk each time: its file tells as well
    /// what is pending in it. `false` where it can't be told for sure, or nothing is.
    fn index_existing(&mut self, id: VolumeId) -> Result<bool, StoreError> {
        let found = scan_volume(self.store.raw(id)?)?;
        if let Some(format) = found.newer_format() {
            return Err(StoreError::NewerFormat(id, format));
        }
        let entries: Vec<BlockEntry> = found.pending().into_iter().map(|(entry, _)| entry).collect();
        if !found.is_whole() || entries.is_empty() {
            return Ok(false);
        }
        self.next_seq = self.next_seq.max(found.next_seq());
        self.store.write_index(id, &VolumeIndex::Pending(entries.clone()).encode())?;
        self.close_entry(id, &entries);
        Ok(true)
    }

    fn open_existing(&mut self, id: VolumeId, is_last: bool) -> Result<(), StoreError> {
        let volume = open_verified(&self.store, id)?;
        let salvaged = volume.salvaged().unwrap_or_default();
        self.salvaged.events += salvaged.events;
        self.salvaged.lost_events += salvaged.lost_events;
        self.next_seq = self.next_seq.max(volume.next_seq());
        // Between the first volume with something owed and the tail, untouched volumes wait closed.
        let waits = !is_last && volume.is_untouched() && !volume.is_settled() && !self.open.is_empty();
        if waits {
            self.close(volume)
        } else {
            self.open.insert(id.number, volume);
            Ok(())
        }
    }

    /// Goes on from `next_seq` if the row, as it was found, ends before it. Says how many seqs are missing then.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn go_on_from(&mut self, next_seq: u64) -> Result<u64, StoreError> {
        let missing = next_seq.saturating_sub(self.next_seq);
        if missing > 0 {
            self.next_seq = next_seq;
            if let Some(mut tail) = self.open.last_entry() {
                tail.get_mut().begin(next_seq)?;
            }
        }
        Ok(missing)
    }
}
