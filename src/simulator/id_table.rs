//! Every `external_id` ever sent, compactly: about 50 bytes for a UUID, so that a campaign of millions fits.

use std::hash::{BuildHasher, RandomState};

use serde::Serialize;
use uuid::Uuid;

/// What became of one `external_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdRecord {
    /// The id.
    pub external_id: String,
    /// How many times it arrived, refused requests included.
    pub sent: u32,
    /// How many times an event was inserted under it: more than once only after a restore.
    pub inserted: u32,
    /// Whether Polar has it now.
    pub present: bool,
}

/// An id; canonical UUIDs take their 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl Key {
    fn of(id: &str) -> Self {
        if id.len() == 36
            && !id.bytes().any(|b| b.is_ascii_uppercase())
            && let Ok(uuid) = Uuid::try_parse(id)
        {
            return Self::Uuid(uuid.into_bytes());
        }
        Self::Text(id.into())
    }

    fn text(&self) -> String {
        match self {
            Self::Uuid(bytes) => Uuid::from_bytes(*bytes).hyphenated().to_string(),
            Self::Text(text) => text.to_string(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    key: Key,
    sent: u32,
    inserted: u32,
    /// The commit that inserted it, 0 when Polar does not have it.
    commit: u32,
    /// Requests that carry it right now.
    in_flight: u16,
    /// The request that carried it last.
    request: u32,
}

impl Entry {
    fn is_lost(&self) -> bool {
        self.inserted > 0 && self.commit == 0
    }

    fn record(&self) -> IdRecord {
        IdRecord {
            external_id: self.key.text(),
            sent: self.sent,
            inserted: self.inserted,
            present: self.commit > 0,
        }
    }
}

/// A place in the table.
pub(super) type Place = u32;

/// An append-only table in order of arrival, with an open-addressing index beside it.
#[derive(Debug, Default)]
pub(super) struct IdTable {
    entries: Vec<Entry>,
    /// Place + 1, 0 when free. Its length is a power of two, at most half full.
    slots: Vec<u32>,
    hasher: RandomState,
    overlaps: u64,
    lost: usize,
}

impl IdTable {
    /// How many distinct ids arrived.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many times an id arrived while another request that carried it was unanswered.
    pub(super) fn overlaps(&self) -> u64 {
        self.overlaps
    }

    /// How many ids were inserted once and are not there now.
    pub(super) fn lost(&self) -> usize {
        self.lost
    }

    /// The place of an id, when it ever arrived.
    pub(super) fn find(&self, id: &str) -> Option<Place> {
        let key = Key::of(id);
        self.slots.get(self.slot(&key)?).and_then(|slot| slot.checked_sub(1))
    }

    /// Notes an arrival in `request` and returns the id's place.
    pub(super) fn arrived(&mut self, id: &str, request: u32) -> Place {
        if self.slots.len() < 2 * (self.entries.len() + 1) {
            self.grow();
        }
        let key = Key::of(id);
        let slot = self.slot(&key);
        let known = slot.and_then(|slot| self.slots.get(slot)).and_then(|slot| slot.checked_sub(1));
        let place = known.unwrap_or_else(|| {
            self.entries.push(Entry { key, sent: 0, inserted: 0, commit: 0, in_flight: 0, request: 0 });
            let place = u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX - 1);
            if let Some(free) = slot.and_then(|slot| self.slots.get_mut(slot)) {
                *free = place + 1;
            }
            place
        });
        if let Some(entry) = self.entry_mut(place) {
            if entry.in_flight > 0 && entry.request != request {
                self.overlaps += 1;
            }
            let Some(entry) = self.entry_mut(place) else { return place };
            entry.sent = entry.sent.saturating_add(1);
            entry.in_flight = entry.in_flight.saturating_add(1);
            entry.request = request;
        }
        place
    }

    /// The request that brought these has been answered.
    pub(super) fn answered(&mut self, places: &[Place]) {
        for place in places {
            if let Some(entry) = self.entry_mut(*place) {
                entry.in_flight = entry.in_flight.saturating_sub(1);
            }
        }
    }

    /// Whether Polar has it.
    pub(super) fn present(&self, place: Place) -> bool {
        self.entry(place).is_some_and(|entry| entry.commit > 0)
    }

    /// An event was inserted under it by `commit`.
    pub(super) fn inserted(&mut self, place: Place, commit: u32) {
        let mut came_back = false;
        if let Some(entry) = self.entry_mut(place) {
            came_back = entry.is_lost();
            entry.inserted = entry.inserted.saturating_add(1);
            entry.commit = commit;
        }
        self.lost = self.lost.saturating_sub(usize::from(came_back));
    }

    /// Forgets what was inserted after `commit`; the counts of what was seen stay.
    pub(super) fn restore(&mut self, commit: u32) {
        for entry in &mut self.entries {
            if entry.commit > commit {
                entry.commit = 0;
            }
        }
        self.lost = self.entries.iter().filter(|entry| entry.is_lost()).count();
    }

    /// Up to `limit` ids in order of first arrival, from `offset` on.
    pub(super) fn page(&self, offset: usize, limit: usize) -> Vec<IdRecord> {
        self.entries.iter().skip(offset).take(limit).map(Entry::record).collect()
    }

    /// Up to `limit` ids that were inserted once and are not there now, in order of first arrival, from `offset` on.
    pub(super) fn lost_page(&self, offset: usize, limit: usize) -> Vec<IdRecord> {
        self.entries
            .iter()
            .filter(|entry| entry.is_lost())
            .skip(offset)
            .take(limit)
            .map(Entry::record)
            .collect()
    }

    fn entry(&self, place: Place) -> Option<&Entry> {
        self.entries.get(usize::try_from(place).ok()?)
    }

    fn entry_mut(&mut self, place: Place) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(place).ok()?)
    }

    /// The slot that holds `key`, or the free one where it belongs; `None` while there are no slots.
    fn slot(&self, key: &Key) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let hash = self.hasher.hash_one(key);
        let mut slot = usize::try_from(hash & u64::from(u32::MAX)).unwrap_or(0) & mask;
        loop {
            let place = self.slots.get(slot)?.checked_sub(1);
            match place {
                None => return Some(slot),
                Some(place) if self.entry(place).is_some_and(|entry| entry.key == *key) => return Some(slot),
                Some(_) => slot = (slot + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        self.slots = vec![0; (self.slots.len() * 2).max(1024)];
        for place in 0..self.entries.len() {
            let free = self.entries.get(place).and_then(|entry| self.slot(&entry.key));
            if let Some(free) = free.and_then(|slot| self.slots.get_mut(slot)) {
                *free = u32::try_from(place + 1).unwrap_or(u32::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_id_is_its_own_and_comes_back_as_it_came() {
        let mut table = IdTable::default();
        let ids =
            ["", "a", "0198d2a4-7e1a-7c3e-9a6b-3f2f1f0e9d8c", "0198D2A4-7E1A-7C3E-9A6B-3F2F1F0E9D8C", "é"];
        for id in ids {
            table.arrived(id, 1);
        }
        let listed: Vec<_> = table.page(0, 10).into_iter().map(|record| record.external_id).collect();
        assert_eq!(listed, ids);
    }

    #[test]
    fn ten_thousand_ids_are_all_found_again() {
        let mut table = IdTable::default();
        let ids: Vec<String> = (0..10_000).map(|n| format!("id-{n}")).collect();
        let places: Vec<_> = ids.iter().map(|id| table.arrived(id, 1)).collect();
        let again: Vec<_> = ids.iter().map(|id| table.find(id).unwrap()).collect();
        assert_eq!(places, again);
        assert_eq!(table.find("id-10000"), None);
    }

    #[test]
    fn an_id_in_two_requests_at_once_is_noticed_and_one_twice_in_a_batch_is_not() {
        let mut table = IdTable::default();
        let first = [table.arrived("a", 1), table.arrived("a", 1)];
        assert_eq!(table.overlaps(), 0);
        let second = [table.arrived("a", 2)];
        assert_eq!(table.overlaps(), 1);
        table.answered(&first);
        table.answered(&second);
        table.arrived("a", 3);
        assert_eq!(table.overlaps(), 1);
    }

    #[test]
    fn a_restore_forgets_what_came_after_it_but_not_that_it_was_sent() {
        let mut table = IdTable::default();
        let old = table.arrived("old", 1);
        table.inserted(old, 1);
        let new = table.arrived("new", 2);
        table.inserted(new, 2);
        table.restore(1);
        assert!(table.present(old) && !table.present(new));
        assert_eq!(table.page(1, 1)[0].inserted, 1);
        assert_eq!((table.lost(), table.lost_page(0, 9)[0].external_id.as_str()), (1, "new"));
        table.inserted(new, 3);
        assert_eq!(table.lost(), 0);
    }
}
