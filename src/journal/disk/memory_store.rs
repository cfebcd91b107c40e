//! A store that can be cut off from power: it forgets what was not synced, keeps it out of order or in pieces, and fails
//! when told to.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use super::bad_sectors::WithBadSectors;
use super::memory_disk::{Course, Cut, Disk, Fate, Files, Trouble};
use super::store::{Entry, RawFile, Store, StoreError, Volume, VolumeId};
use crate::journal::format::RowName;

/// Volumes in memory. Clones share the disk; each is of the life it was made in, and dies with the power.
#[derive(Debug, Default)]
pub(in crate::journal) struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
    epoch: u64,
}

impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        Self { epoch: self.lock().epoch, disk: Arc::clone(&self.disk) }
    }
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    /// Cuts the power: of the writes that no sync covered, `survives` says which reach the disk all the same (a disk
    /// may write in any order). Volumes opened before answer nothing but errors.
    pub(in crate::journal) fn cut_power(&self, mut survives: impl FnMut() -> bool) {
        self.lock().lose_power(&mut || if survives() { Fate::Kept } else { Fate::Lost });
    }

    /// Cuts the power with any fate for each write that no sync covered.
    pub(in crate::journal) fn cut_power_any_way(&self, rng: &mut fastrand::Rng) {
        self.lock().lose_power(&mut || Fate::any(rng));
    }

    /// Cuts the power in the middle of the n-th operation from now, from 0, with any fate for what was not synced.
    pub(in crate::journal) fn cut_power_in(&self, operations: u64, rng: fastrand::Rng) {
        self.lock().trouble = Some(Trouble::PowerCut { left: operations, rng });
    }

    /// Lets the n-th operation from now fail, and all after it.
    pub(in crate::journal) fn fail_in(&self, operations: u64) {
        self.lock().trouble = Some(Trouble::Failure { left: operations });
    }

    /// Nothing will fail any more.
    pub(in crate::journal) fn calm_down(&self) {
        self.lock().trouble = None;
    }

    /// From now on syncs are answered, and not done.
    pub(in crate::journal) fn pretend_to_sync(&self) {
        self.lock().pretends = true;
    }

    /// While the guard lives, no sync ends.
    pub(in crate::journal) fn hold_syncs(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.lock().hold)
    }

    /// While the guard lives, no volume is opened.
    pub(in crate::journal) fn hold_opens(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.lock().hold_opens)
    }

    /// How many syncs there were.
    pub(in crate::journal) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// How many operations there were.
    pub(in crate::journal) fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// After so many more new files the disk is full. What lies in files that are there can still be written to.
    pub(in crate::journal) fn fill_up_in(&self, files: u64) {
        self.lock().room = Some(files);
    }

    /// There is room again.
    pub(in crate::journal) fn free(&self) {
        self.lock().room = None;
    }

    /// Whether there is no room for the copy of a volume.
    pub(in crate::journal) fn refuse_copies(&self, refuses: bool) {
        self.lock().refuses_copies = refuses;
    }

    /// The next so many times, a volume has no file.
    pub(in crate::journal) fn take_away(&self, id: VolumeId, times: usize) {
        self.lock().away = Some((id, times));
    }

    /// From now on files show only what was synced.
    pub(in crate::journal) fn lag(&self) {
        self.lock().is_lagging = true;
    }

    /// Lets a volume's store know nothing of the blocks in its file.
    pub(in crate::journal) fn forget_blocks(&self, id: VolumeId) {
        let mut disk = self.lock();
        let files = disk.volumes.get_mut(&id).unwrap();
        let blocks: Vec<Vec<u8>> = files.synced.keys().filter(|key| key.starts_with(b"b")).cloned().collect();
        for key in blocks {
            files.debris.extend(files.synced.remove(&key).unwrap());
        }
    }

    /// Leaves nothing of the blocks with these seqs in a volume.
    pub(in crate::journal) fn erase_blocks(&self, id: VolumeId, seqs: Range<u64>) {
        let is_hit = |key: &[u8]| {
            key.strip_prefix(b"b")
                .is_some_and(|rest| seqs.contains(&u64::from_be_bytes(rest[..8].try_into().unwrap())))
        };
        self.erase(id, is_hit);
    }

    /// Leaves nothing in a volume of what lies under these keys.
    pub(in crate::journal) fn erase(&self, id: VolumeId, is_hit: impl Fn(&[u8]) -> bool) {
        let mut disk = self.lock();
        let synced = &mut disk.volumes.get_mut(&id).unwrap().synced;
        let before = synced.len();
        synced.retain(|key, _| !is_hit(key));
        assert!(synced.len() < before, "nothing lies there");
    }

    /// Leaves nothing of a volume but its index.
    pub(in crate::journal) fn bereave(&self, id: VolumeId) {
        let mut disk = self.lock();
        let index = disk.volumes.remove(&id).and_then(|files| files.index);
        disk.bereft.insert(id, index.unwrap());
    }

    /// How often a volume was opened.
    pub(in crate::journal) fn opens(&self) -> usize {
        self.lock().opens
    }

    /// How many volumes are open.
    pub(in crate::journal) fn open_volumes(&self) -> usize {
        Arc::strong_count(&self.lock().open) - 1
    }

    /// How many blocks a volume has.
    pub(in crate::journal) fn blocks(&self, id: VolumeId) -> usize {
        let is_block = |key: &&Vec<u8>| key.starts_with(b"b");
        self.lock().volumes.get(&id).map_or(0, |files| files.synced.keys().filter(is_block).count())
    }

    /// How many volumes a row has, without what is being filled aside.
    pub(in crate::journal) fn volumes(&self, row: RowName) -> usize {
        self.lock().volumes.keys().filter(|id| id.row == row && !id.is_aside()).count()
    }

    fn change_index(&self, id: VolumeId, index: Option<Vec<u8>>) -> Result<(), StoreError> {
        let mut disk = self.lock();
        if index.is_some() {
            disk.take_room()?;
        }
        let course = disk.operate(self.epoch)?;
        if course.reaches(Cut::After) {
            match disk.volumes.get_mut(&id) {
                Some(files) => files.index = index,
                None => drop(disk.bereft.remove(&id)),
            }
        }
        course.answer()
    }

    /// How many volumes of a row are described by an index.
    pub(in crate::journal) fn indices(&self, row: RowName) -> usize {
        let has_index = |(id, files): &(&VolumeId, &Files)| id.row == row && files.index.is_some();
        self.lock().volumes.iter().filter(has_index).count()
    }

    /// Makes the page of a volume's file unreadable in which the middle of its n-th value lies.
    pub(in crate::journal) fn spoil(&self, id: VolumeId, value: usize) {
        let mut disk = self.lock();
        let files = disk.volumes.get_mut(&id).unwrap();
        let len = |value: &Vec<u8>| value.len() as u64;
        let start = files.synced.values().take(value).map(len).sum::<u64>();
        let page = (start + files.synced.values().nth(value).map(len).unwrap() / 2) / 4096 * 4096;
        files.bad_sectors = Some(page..page + 4096);
    }

    /// Damages [something](Disk::hurt), and says which seqs lay in the block that was hit, if one was.
    pub(in crate::journal) fn hurt(&self, rng: &mut fastrand::Rng) -> Option<Range<u64>> {
        self.lock().hurt(rng)
    }

    /// Writes over a stored value.
    pub(in crate::journal) fn damage(&self, id: VolumeId, mut change: impl FnMut(&mut Vec<u8>)) {
        let mut disk = self.lock();
        for value in disk.volumes.get_mut(&id).unwrap().synced.values_mut() {
            change(value);
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
        disk.take_room()?;
        let course = disk.operate(self.epoch)?;
        if course.reaches(Cut::Within) {
            disk.volumes.insert(id, Files::default());
        }
        course.answer()?;
        drop(disk);
        Ok(self.volume(id))
    }

    fn open(&self, id: VolumeId) -> Result<MemoryVolume, StoreError> {
        drop(self.hold_opens().lock().unwrap());
        self.lock().opens += 1;
        if self.lock().volumes.get(&id).is_some_and(|files| files.bad_sectors.is_some()) {
            return Err(StoreError::Io("a sector can't be read".into()));
        }
        Ok(self.volume(id))
    }

    fn remove(&self, id: VolumeId) -> Result<(), StoreError> {
        let mut disk = self.lock();
        let course = disk.operate(self.epoch)?;
        if course.reaches(Cut::Within) {
            disk.volumes.remove(&id);
        }
        course.answer()
    }

    fn find_raw(&self, id: VolumeId) -> Result<Option<Box<dyn RawFile>>, StoreError> {
        let mut disk = self.lock();
        if let Some((_, times)) = disk.away.as_mut().filter(|(away, times)| *away == id && *times > 0) {
            *times -= 1;
            return Ok(None);
        }
        let Some(files) = disk.volumes.get(&id) else { return Ok(None) };
        // A file shows what was written to it, synced or not, to whoever reads it before the power goes.
        let shows_all = !disk.is_lagging;
        let unsynced = files.unsynced.iter().flatten().filter(|_| shows_all).flat_map(|(_, value)| value);
        let bytes = files.synced.values().flatten().chain(unsynced).chain(&files.debris).copied().collect();
        let bad = files.bad_sectors.clone().unwrap_or_default();
        Ok(Some(Box::new(WithBadSectors { bytes: std::io::Cursor::new(bytes), bad })))
    }

    fn sync_raw(&self, id: VolumeId) -> Result<(), StoreError> {
        self.volume(id).sync()
    }

    fn replace(&self, id: VolumeId) -> Result<String, StoreError> {
        let mut disk = self.lock();
        let course = disk.operate(self.epoch)?;
        if course.reaches(Cut::Within) {
            let index = disk.volumes.remove(&id).and_then(|files| files.index);
            if let Some(filled) = disk.volumes.get_mut(&id.aside()) {
                filled.index = index;
            }
            disk.quarantined += 1;
        }
        if course.reaches(Cut::After) {
            let filled = disk.volumes.remove(&id.aside());
            disk.volumes.extend(filled.map(|files| (id, files)));
        }
        course.answer()?;
        Ok("quarantine".into())
    }

    fn swap(&self, id: VolumeId) -> Result<(), StoreError> {
        let mut disk = self.lock();
        let course = disk.operate(self.epoch)?;
        if course.reaches(Cut::Within)
            && let Some(files) = disk.volumes.remove(&id)
            && let Some(filled) = disk.volumes.get_mut(&id.aside())
        {
            filled.index = files.index;
        }
        if course.reaches(Cut::After) {
            let filled = disk.volumes.remove(&id.aside());
            disk.volumes.extend(filled.map(|files| (id, files)));
        }
        course.answer()
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
        let course = disk.operate(self.epoch)?;
        let start = usize::try_from(slot).unwrap() * bytes.len();
        let len = disk.mark.len().max(start + bytes.len());
        let written = match course {
            Course::Cut(Cut::Before) => 0,
            Course::Cut(Cut::Within) => bytes.len() / 3,
            Course::Cut(Cut::After) | Course::Whole => bytes.len(),
        };
        disk.mark.resize(len, 0);
        disk.mark[start..start + written].copy_from_slice(&bytes[..written]);
        course.answer()
    }

    fn read_losses(&self) -> Result<Vec<u8>, StoreError> {
        Ok(self.lock().losses.clone())
    }

    fn write_losses(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut disk = self.lock();
        disk.take_room()?;
        let course = disk.operate(self.epoch)?;
        if course.reaches(Cut::After) {
            disk.losses = bytes.to_vec();
        }
        course.answer()
    }

    fn list_bereft(&self, row: RowName) -> Result<Vec<u32>, StoreError> {
        Ok(self.lock().bereft.keys().filter(|id| id.row == row).map(|id| id.number).collect())
    }

    fn read_index(&self, id: VolumeId) -> Result<Option<Vec<u8>>, StoreError> {
        let disk = self.lock();
        let index = disk.volumes.get(&id).map_or_else(|| disk.bereft.get(&id), |files| files.index.as_ref());
        Ok(index.cloned())
    }

    fn write_index(&self, id: VolumeId, bytes: &[u8]) -> Result<(), StoreError> {
        self.change_index(id, Some(bytes.to_vec()))
    }

    fn remove_indices(&self, row: RowName, numbers: &[u32]) -> Result<(), StoreError> {
        numbers.iter().try_for_each(|number| self.change_index(VolumeId { row, number: *number }, None))
    }
}

impl MemoryStore {
    /// A volume of this store's own life.
    fn volume(&self, id: VolumeId) -> MemoryVolume {
        let store = Self { disk: Arc::clone(&self.disk), epoch: self.epoch };
        MemoryVolume { id, _open: Arc::clone(&self.lock().open), store }
    }
}

/// A volume of a [`MemoryStore`].
#[derive(Debug)]
pub(in crate::journal) struct MemoryVolume {
    id: VolumeId,
    store: MemoryStore,
    _open: Arc<()>,
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
        let course = disk.operate(self.store.epoch)?;
        if let Some(files) = disk.volumes.get_mut(&self.id) {
            match course {
                Course::Whole => files.unsynced.push(entries.to_vec()),
                Course::Cut(Cut::Before) => {}
                Course::Cut(Cut::Within) => {
                    let written: Vec<u8> = entries.iter().flat_map(|(_, value)| value).copied().collect();
                    files.debris.extend_from_slice(&written[..written.len() / 2]);
                }
                Course::Cut(Cut::After) => files.synced.extend(entries.iter().cloned()),
            }
        }
        course.answer()
    }

    fn sync(&self) -> Result<(), StoreError> {
        let hold = self.store.hold_syncs();
        drop(hold.lock().unwrap());
        let mut disk = self.store.lock();
        // A sync that is cut short has done with each write as the power cut did.
        disk.operate(self.store.epoch)?.answer()?;
        disk.syncs += 1;
        if !disk.pretends
            && let Some(files) = disk.volumes.get_mut(&self.id)
        {
            for write in std::mem::take(&mut files.unsynced) {
                files.synced.extend(write);
            }
        }
        Ok(())
    }
}
