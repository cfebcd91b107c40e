//! Volumes in the folders of one journal: made, opened, swapped and removed, each step harmless when it is the last.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::bad_sectors::is_unreadable;
use super::row_folder::bereft_in;
use super::sled_volume::{SledVolume, give_zeros_back, remove_cut_snapshots};
use super::store::{RawFile, SALVAGING, Store, StoreError, VolumeId};
use super::system::{exchange, syncs_so_far};
use crate::journal::format::RowName;

/// A volume's folder while it is being deleted: never opened again, swept at start.
pub(super) const DELETING: &str = "deleting-";
/// The extension of an index file that is being written.
const INDEX_ASIDE: &str = "index-new";
/// How far the journal ever got.
pub(in crate::journal) const HIGH_WATER: &str = "high-water";
/// What the disk lost.
pub(in crate::journal) const LOSSES: &str = "losses";
/// Stands for a book that lies in a bad sector: a damaged line, which counts as one and stays.
pub(in crate::journal) const UNREADABLE: &[u8] = b"the book of losses that was here can't be read\n";
/// Where damaged volumes are kept for a person to look at.
pub(in crate::journal) const QUARANTINE: &str = "quarantine";

/// Volumes in the folders of one journal.
#[derive(Debug)]
pub(in crate::journal) struct SledStore {
    folder: PathBuf,
    /// Whether the disk failed while a volume was closed: none is opened any more.
    failed: Arc<AtomicBool>,
}

impl SledStore {
    /// The store in `folder`, made if need be, with leftovers of interrupted deletions swept away.
    ///
    /// # Errors
    /// When the folders can't be made.
    pub(in crate::journal) fn in_folder(folder: &Path) -> Result<Self, StoreError> {
        for row in RowName::ALL {
            let row_folder = folder.join(row.as_str());
            make_folder(&row_folder)?;
            for entry in fs::read_dir(&row_folder)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().ends_with(INDEX_ASIDE) {
                    fs::remove_file(entry.path())?;
                }
            }
            for (filled, place) in folders_named(&row_folder, SALVAGING)? {
                end_salvage(&filled, &place)?;
            }
            for (doomed, place) in folders_named(&row_folder, DELETING)? {
                // First, or it would tell of a volume that is missing.
                if !place.exists() && remove_file(&place.with_extension("index"))? {
                    File::open(&row_folder)?.sync_all()?;
                }
                fs::remove_dir_all(doomed)?;
            }
        }
        Ok(Self { folder: folder.to_owned(), failed: Arc::default() })
    }

    fn row_folder(&self, row: RowName) -> PathBuf {
        self.folder.join(row.as_str())
    }

    fn volume_folder(&self, id: VolumeId) -> PathBuf {
        self.row_folder(id.row).join(id.folder_name())
    }

    fn index_file(&self, id: VolumeId) -> PathBuf {
        self.row_folder(id.row).join(format!("volume-{:08}.index", id.number))
    }

    fn doomed_folder(&self, id: VolumeId) -> PathBuf {
        self.row_folder(id.row).join(format!("{DELETING}{:08}", id.number))
    }

    /// Moves a volume out of its place, durably.
    fn make_way(&self, id: VolumeId, place: &Path) -> Result<(), StoreError> {
        fs::rename(self.volume_folder(id), place)?;
        Ok(File::open(self.row_folder(id.row))?.sync_all()?)
    }

    /// Puts what was filled aside in a volume's empty place, durably.
    fn take_over(&self, id: VolumeId) -> Result<(), StoreError> {
        fs::rename(self.volume_folder(id.aside()), self.volume_folder(id))?;
        Ok(File::open(self.row_folder(id.row))?.sync_all()?)
    }

    fn open_database(&self, id: VolumeId) -> Result<SledVolume, StoreError> {
        SledVolume::open(id, self.volume_folder(id), &self.volume_folder(id.place()), &self.failed)
    }
}

impl Store for SledStore {
    type Volume = SledVolume;

    fn list(&self, row: RowName) -> Result<Vec<u32>, StoreError> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.row_folder(row))? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("volume-")?.parse().ok());
            if let Some(number) = number
                && entry.file_type()?.is_dir()
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn create(&self, id: VolumeId) -> Result<SledVolume, StoreError> {
        let path = self.volume_folder(id);
        if id.is_aside() && path.exists() {
            // What an earlier attempt left there would be taken for a part of this one.
            fs::remove_dir_all(&path)?;
        }
        make_folder(&path)?;
        let volume = self.open_database(id)?;
        let before = syncs_so_far();
        volume.sign()?;
        if syncs_so_far() == before {
            return Err(StoreError::SyncNotReal);
        }
        File::open(&path)?.sync_all()?;
        File::open(self.row_folder(id.row))?.sync_all()?;
        Ok(volume)
    }

    fn open(&self, id: VolumeId) -> Result<SledVolume, StoreError> {
        let path = self.volume_folder(id);
        remove_cut_snapshots(id, &path)?;
        let volume = self.open_database(id)?;
        if let Err(error) = give_zeros_back(&path) {
            tracing::debug!(volume = %id, %error, "an open volume takes a whole segment of the disk");
        }
        Ok(volume)
    }

    fn remove(&self, id: VolumeId) -> Result<(), StoreError> {
        let doomed = self.doomed_folder(id);
        self.make_way(id, &doomed)?;
        // As long as the volume was in its place its index told what must be in it.
        self.remove_index(id)?;
        fs::remove_dir_all(doomed)?;
        Ok(())
    }

    fn find_raw(&self, id: VolumeId) -> Result<Option<Box<dyn RawFile>>, StoreError> {
        match File::open(self.volume_folder(id).join("db")) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            // All of the file is out of reach.
            Err(error) if is_unreadable(&error) => Ok(Some(Box::new(std::io::empty()))),
            Err(error) => Err(error.into()),
        }
    }

    fn sync_raw(&self, id: VolumeId) -> Result<(), StoreError> {
        match File::open(self.volume_folder(id).join("db")) {
            Ok(file) => Ok(file.sync_data()?),
            // There is nothing in it that could be relied on.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound || is_unreadable(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn replace(&self, id: VolumeId) -> Result<String, StoreError> {
        let folder = self.folder.join(QUARANTINE);
        make_folder(&folder)?;
        let place = (0_u32..)
            .map(|attempt| folder.join(format!("{}-volume-{:08}-{attempt}", id.row.as_str(), id.number)))
            .find(|place| !place.exists())
            .unwrap_or_else(|| folder.join("full"));
        self.make_way(id, &place)?;
        File::open(&folder)?.sync_all()?;
        self.take_over(id)?;
        Ok(place.display().to_string())
    }

    fn swap(&self, id: VolumeId) -> Result<(), StoreError> {
        let doomed = self.doomed_folder(id);
        // In one step, so that whoever reads the files finds one of the two. Not every file system can do that.
        if exchange(&self.volume_folder(id.aside()), &self.volume_folder(id)).is_ok() {
            fs::rename(self.volume_folder(id.aside()), &doomed)?;
            File::open(self.row_folder(id.row))?.sync_all()?;
        } else {
            self.make_way(id, &doomed)?;
            self.take_over(id)?;
        }
        if let Err(error) = fs::remove_dir_all(doomed) {
            tracing::warn!(volume = %id, %error, "a rewritten volume could not be removed; it is tried again at the next start");
        }
        Ok(())
    }

    fn disk_bytes(&self, id: VolumeId) -> u64 {
        folder_bytes(&self.volume_folder(id))
    }

    fn quarantined(&self) -> u64 {
        fs::read_dir(self.folder.join(QUARANTINE)).map_or(0, |entries| entries.count() as u64)
    }

    fn read_mark(&self) -> Result<Vec<u8>, StoreError> {
        match fs::read(self.folder.join(HIGH_WATER)) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) if is_unreadable(&error) => {
                tracing::error!(%error, "the high-water mark can't be read: whether the disk lost what it had confirmed is not known this time");
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn write_mark(&self, slot: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.folder.join(HIGH_WATER);
        let is_new = !path.exists();
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        file.write_all_at(bytes, slot * bytes.len() as u64)?;
        file.sync_data()?;
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    fn read_losses(&self) -> Result<Vec<u8>, StoreError> {
        match fs::read(self.folder.join(LOSSES)) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) if is_unreadable(&error) => Ok(UNREADABLE.to_vec()),
            Err(error) => Err(error.into()),
        }
    }

    fn write_losses(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let book = self.folder.join(LOSSES);
        Ok(write_whole(&self.folder, &book, &book.with_extension("new"), bytes)?)
    }

    fn list_bereft(&self, row: RowName) -> Result<Vec<u32>, StoreError> {
        Ok(bereft_in(&self.row_folder(row))?)
    }

    fn read_index(&self, id: VolumeId) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(self.index_file(id)) {
            Ok(bytes) => Ok(Some(bytes)),
            // Without an index the volume itself is read.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound || is_unreadable(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn write_index(&self, id: VolumeId, bytes: &[u8]) -> Result<(), StoreError> {
        let index = self.index_file(id);
        Ok(write_whole(&self.row_folder(id.row), &index, &index.with_extension(INDEX_ASIDE), bytes)?)
    }

    fn remove_indices(&self, row: RowName, numbers: &[u32]) -> Result<(), StoreError> {
        let mut were_there = false;
        for number in numbers {
            were_there |= remove_file(&self.index_file(VolumeId { row, number: *number }))?;
        }
        if were_there {
            File::open(self.row_folder(row))?.sync_all()?;
        }
        Ok(())
    }
}

/// Writes a file of this folder, whole or not at all, durably.
fn write_whole(folder: &Path, place: &Path, aside: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(aside, place)?;
    File::open(folder)?.sync_all()
}

/// Removes a file, if it is there: `false` otherwise.
fn remove_file(path: &Path) -> std::io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The folders of a row with such names, and the place of the volume that each is named after.
fn folders_named(row_folder: &Path, prefix: &str) -> std::io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut named = Vec::new();
    for entry in fs::read_dir(row_folder)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_string_lossy().strip_prefix(prefix) {
            named.push((entry.path(), row_folder.join(format!("volume-{number}"))));
        }
    }
    Ok(named)
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// A salvage or a rewriting was cut short. As long as the old volume is in its place it begins anew; once that one is out
/// of the way, what was filled is whole and takes over. Where the two have changed places already, it is the old one that is
/// swept away.
fn end_salvage(filled: &Path, place: &Path) -> Result<(), StoreError> {
    if place.exists() {
        fs::remove_dir_all(filled)?
    } else {
        fs::rename(filled, place)?
    }
    Ok(())
}

/// What the files below `path` take on disk; 0 where it can't be read.
pub(in crate::journal) fn folder_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// The files that sled moved out of its log in any volume below `folder`: must stay empty, for they are never synced.
pub(in crate::journal) fn blobs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for row in RowName::ALL {
        for volume in fs::read_dir(folder.join(row.as_str())).into_iter().flatten().flatten() {
            let blobs = fs::read_dir(volume.path().join("blobs")).into_iter().flatten().flatten();
            found.extend(blobs.map(|blob| blob.path()));
        }
    }
    found
}
