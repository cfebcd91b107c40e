//! A store that can be cut off from power: it forgets what was not synced, and fails when told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::bad_sectors::WithBadSectors;
use super::frame::RowName;
use super::store::{Entry, RawFile, Store, StoreError, Volume, VolumeId};

/// Volumes in memory. Clones share the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    volumes: BTreeMap<VolumeId, Files>,
    /// Operations (writes and syncs) until one fails, if one is to fail.
    fails_in: Option<u64>,
    /// While held back, syncs wait.
    hold: Arc<Mutex<()>>,
    syncs: u64,
    mark: Vec<u8>,
    quarantined: u64,
    refuses_copies: bool,
    /// Counts power cuts: a volume opened before the last one is dead.
    epoch: u64,
}

#[derive(Debug, Default)]
struct Files {
    synced: BTreeMap<Vec<u8>, Vec<u8>>,
    unsynced: Vec<Vec<Entry>>,
    index: Option<Vec<u8>>,
    /// A part of its file that can't be read: the store itself fails on all of it.
    bad_sectors: Option<std::ops::Range<u64>>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    /// Cuts the power: of the writes that no sync covered, `survives` says which reach the disk all the same (a disk
    /// may write in any order). Volumes opened before answer nothing but errors.
    pub(super) fn cut_power(&self, mut survives: impl FnMut() -> bool) {
        let mut disk = self.lock();
        disk.epoch += 1;
        disk.fails_in = None;
        for files in disk.volumes.values_mut() {
            for write in std::mem::take(&mut files.unsynced) {
                if survives() {
                    files.synced.extend(write);
                }
            }
        }
    }

    /// Lets the n-th write or sync from now fail, and all after it.
    pub(super) fn fail_in(&self, operations: u64) {
        self.lock().fails_in = Some(operations);
    }

    /// While the guard lives, no sync ends.
    pub(super) fn hold_syncs(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.lock().hold)
    }

    /// How many syncs there were.
    pub(super) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Whether there is no room for the copy of a volume.
    pub(super) fn refuse_copies(&self, refuses: bool) {
        self.lock().refuses_copies = refuses;
    }

    /// How many blocks a volume has.
    pub(super) fn blocks(&self, id: VolumeId) -> usize {
        let is_block = |key: &&Vec<u8>| key.starts_with(b"b");
        self.lock().volumes.get(&id).map_or(0, |files| files.synced.keys().filter(is_block).count())
    }

    /// How many volumes a row has.
    pub(super) fn volumes(&self, row: RowName) -> usize {
        self.lock().volumes.keys().filter(|id| id.row == row).count()
    }

    fn change_index(&self, id: VolumeId, index: Option<Vec<u8>>) -> Result<(), StoreError> {
        let mut disk = self.lock();
        let epoch = disk.epoch;
        disk.operate(epoch)?;
        if let Some(files) = disk.volumes.get_mut(&id) {
            files.index = index;
        }
        Ok(())
    }

    /// How many volumes of a row are described by an index.
    pub(super) fn indices(&self, row: RowName) -> usize {
        let has_index = |(id, files): &(&VolumeId, &Files)| id.row == row && files.index.is_some();
        self.lock().volumes.iter().filter(has_index).count()
    }

    /// Makes the page of a volume's file unreadable in which the middle of its n-th value lies.
    pub(super) fn spoil(&self, id: VolumeId, value: usize) {
        let mut disk = self.lock();
        let files = disk.volumes.get_mut(&id).unwrap();
        let len = |value: &Vec<u8>| value.len() as u64;
        let start = files.synced.values().take(value).map(len).sum::<u64>();
        let page = (start + files.synced.values().nth(value).map(len).unwrap() / 2) / 4096 * 4096;
        files.bad_sectors = Some(page..page + 4096);
    }

    /// Writes over a stored value.
    pub(super) fn damage(&self, id: VolumeId, mut change: impl FnMut(&mut Vec<u8>)) {
        let mut disk = self.lock();
        for value in disk.volumes.get_mut(&id).unwrap().synced.values_mut() {
            change(value);
        }
    }
}

impl Disk {
    /// What a start does with what was filled aside: it takes an empty place, and is swept away otherwise.
    fn end_replacements(&mut self, row: RowName) {
        let asides: Vec<VolumeId> =
            self.volumes.keys().filter(|id| id.row == row && id.is_aside()).copied().collect();
        for aside in asides {
            let filled = self.volumes.remove(&aside);
            self.volumes.entry(aside.place()).or_insert_with(|| filled.unwrap_or_default());
        }
    }

    fn operate(&mut self, epoch: u64) -> Result<(), StoreError> {
        if epoch != self.epoch {
            return Err(StoreError::Io("the power is gone".into()));
        }
        match &mut self.fails_in {
            Some(0) => Err(StoreError::Io("told to fail".into())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Store for MemoryStore {
    type Volume = MemoryVolume;

    fn list(&self, row: RowName) -> Result<Vec<u32>, StoreError> {
        let mut disk = self.lock();
        disk.end_replacements(row);
        Ok(disk.volumes.keys().filter(|id| id.row == row).map(|id| id.number).collect())
    }

    fn create(&self, id: VolumeId) -> Result<MemoryVolume, StoreError> {
        let mut disk = self.lock();
        if id.is_aside() && disk.refuses_copies {
            return Err(StoreError::DiskFull);
        }
        disk.volumes.entry(id).or_default();
        Ok(MemoryVolume { id, epoch: disk.epoch, store: self.clone() })
    }

    fn open(&self, id: VolumeId) -> Result<MemoryVolume, StoreError> {
        if self.lock().volumes.get(&id).is_some_and(|files| files.bad_sectors.is_some()) {
            return Err(StoreError::Io("a sector can't be read".into()));
        }
        self.create(id)
    }

    fn remove(&self, id: VolumeId) -> Result<(), StoreError> {
        self.lock().volumes.remove(&id);
        Ok(())
    }

    fn raw(&self, id: VolumeId) -> Result<Box<dyn RawFile>, StoreError> {
        let disk = self.lock();
        let files = disk.volumes.get(&id);
        let bytes: Vec<u8> =
            files.into_iter().flat_map(|files| files.synced.values().flatten().copied()).collect();
        let bad = files.and_then(|files| files.bad_sectors.clone()).unwrap_or_default();
        Ok(Box::new(WithBadSectors { bytes: std::io::Cursor::new(bytes), bad }))
    }

    fn replace(&self, id: VolumeId) -> Result<String, StoreError> {
        let mut disk = self.lock();
        disk.volumes.remove(&id);
        let filled = disk.volumes.remove(&id.aside());
        disk.volumes.extend(filled.map(|files| (id, files)));
        disk.quarantined += 1;
        Ok("quarantine".into())
    }

    fn swap(&self, id: VolumeId) -> Result<(), StoreError> {
        self.remove_index(id)?;
        let mut disk = self.lock();
        let epoch = disk.epoch;
        disk.operate(epoch)?;
        disk.volumes.remove(&id);
        disk.operate(epoch)?;
        let filled = disk.volumes.remove(&id.aside());
        disk.volumes.extend(filled.map(|files| (id, files)));
        Ok(())
    }

    fn quarantined(&self) -> u64 {
        self.lock().quarantined
    }

    fn disk_bytes(&self, id: VolumeId) -> u64 {
        let disk = self.lock();
        let Some(files) = disk.volumes.get(&id) else { return 0 };
        let unsynced = files.unsynced.iter().flatten().map(|(key, value)| key.len() + value.len());
        let synced = files.synced.iter().map(|(key, value)| key.len() + value.len());
        unsynced.chain(synced).sum::<usize>() as u64
    }

    fn read_mark(&self) -> Result<Vec<u8>, StoreError> {
        Ok(self.lock().mark.clone())
    }

    fn write_mark(&self, slot: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let mut disk = self.lock();
        let start = usize::try_from(slot).unwrap() * bytes.len();
        let len = disk.mark.len().max(start + bytes.len());
        disk.mark.resize(len, 0);
        disk.mark[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read_index(&self, id: VolumeId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().volumes.get(&id).and_then(|files| files.index.clone()))
    }

    fn write_index(&self, id: VolumeId, bytes: &[u8]) -> Result<(), StoreError> {
        self.change_index(id, Some(bytes.to_vec()))
    }

    fn remove_index(&self, id: VolumeId) -> Result<(), StoreError> {
        self.change_index(id, None)
    }
}

/// A volume of a [`MemoryStore`].
#[derive(Debug)]
pub(super) struct MemoryVolume {
    id: VolumeId,
    epoch: u64,
    store: MemoryStore,
}

impl MemoryVolume {
    fn all(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let disk = self.store.lock();
        let Some(files) = disk.volumes.get(&self.id) else { return BTreeMap::new() };
        let mut all = files.synced.clone();
        all.extend(files.unsynced.iter().flatten().cloned());
        all
    }
}

impl Volume for MemoryVolume {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let disk = self.store.lock();
        let Some(files) = disk.volumes.get(&self.id) else { return Ok(None) };
        let unsynced = files.unsynced.iter().flatten().rev().find(|(known, _)| known == key);
        Ok(unsynced.map(|(_, value)| value).or_else(|| files.synced.get(key)).cloned())
    }

    fn scan(&self, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        for (key, value) in self.all() {
            see(&key, &value);
        }
        Ok(())
    }

    fn apply(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut disk = self.store.lock();
        disk.operate(self.epoch)?;
        if let Some(files) = disk.volumes.get_mut(&self.id) {
            files.unsynced.push(entries.to_vec());
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let hold = self.store.hold_syncs();
        drop(hold.lock().unwrap());
        let mut disk = self.store.lock();
        disk.operate(self.epoch)?;
        disk.syncs += 1;
        if let Some(files) = disk.volumes.get_mut(&self.id) {
            for write in std::mem::take(&mut files.unsynced) {
                files.synced.extend(write);
            }
        }
        Ok(())
    }
}
