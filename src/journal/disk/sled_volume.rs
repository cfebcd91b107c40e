//! A volume as a small sled database. The only file that names sled.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;

use super::bad_sectors::is_unreadable;
use super::store::{Entry, StoreError, Volume, VolumeId};

/// Fixed for ever in a volume. With it, values up to 61 KB stay in the one file that is synced. sled reads a volume in
/// pieces of this size when it opens it, fills one of them up on the disk, and collects in memory what it writes to one.
const SEGMENT_BYTES: usize = 4 << 20;
/// Of volumes that were made before the first release.
const SEGMENT_BYTES_BEFORE: usize = 8 << 20;
/// How sled writes that down.
const SEGMENT_NOTE_BEFORE: &[u8] = b"segment_size: 8388608\n";
/// sled's page cache; it is a hint to it, not a bound.
const CACHE_BYTES: u64 = 2 << 20;
/// How long a volume that was just closed may take to be let go.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// What is looked at at a time for zeros at the end of a file, and what a hole is made of.
const PIECE_BYTES: usize = 128 << 10;
const PAGE_BYTES: u64 = 4 << 10;
/// Names the volume inside itself; sorts before every block and settlement.
const VOLUME_KEY: &[u8] = b"\0volume";

/// An open sled database.
#[derive(Debug)]
pub(in crate::journal) struct SledVolume {
    id: VolumeId,
    path: PathBuf,
    /// There until the volume is dropped.
    db: Option<sled::Db>,
    /// The store's.
    failed: Arc<AtomicBool>,
    /// After the database: dropped in this order.
    _garbage: Garbage,
}

impl SledVolume {
    /// The database at `path`, made if need be. `place` is that of the volume whose place it takes one day, or its own. Once
    /// the disk `failed` when a volume was closed, none is opened any more.
    ///
    /// # Errors
    /// When sled can't open it, or the disk failed.
    pub(super) fn open(
        id: VolumeId,
        path: PathBuf,
        place: &Path,
        failed: &Arc<AtomicBool>,
    ) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(&path)
            .segment_size(segment_bytes(&path, place))
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        let began = Instant::now();
        loop {
            if failed.load(Ordering::SeqCst) {
                return Err(StoreError::Io("the disk failed when a volume was closed".to_owned()));
            }
            match config.open() {
                Ok(db) => {
                    // sled never syncs it; half of it on disk after a power cut would pass for a damaged volume.
                    File::open(path.join("conf"))?.sync_all()?;
                    let failed = Arc::clone(failed);
                    return Ok(Self { id, path, db: Some(db), failed, _garbage: Garbage });
                }
                // The folder is ours alone: it is our own last use of the volume, not quite let go by sled's threads.
                Err(error) if is_locked(&error) && began.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(error) => return Err(read_error(id, error)),
            }
        }
    }

    /// Writes the volume's name into it, durably.
    ///
    /// # Errors
    /// When the write or the sync fails.
    pub(super) fn sign(&self) -> Result<(), StoreError> {
        let name = self.id.to_string();
        self.db()?.insert(VOLUME_KEY, name.as_bytes()).map_err(|error| store_error(self.id, error))?;
        self.sync()
    }

    fn db(&self) -> Result<&sled::Db, StoreError> {
        self.db.as_ref().ok_or_else(|| StoreError::Io("the volume is closed".to_owned()))
    }

    /// All that sled does when a database is let go.
    fn sync_last(&self) -> Result<(), StoreError> {
        self.db()?.flush().map_err(|error| store_error(self.id, error))?;
        Ok(File::open(self.path.join("db"))?.sync_all()?)
    }
}

/// sled ends a database with a sync, and panics where that fails: two of them at once would abort the process, with no
/// word of what is wrong with the disk.
impl Drop for SledVolume {
    fn drop(&mut self) {
        let synced = self.sync_last();
        let Some(db) = self.db.take() else { return };
        if let Err(error) = synced {
            tracing::error!(volume = %self.id, %error, "a volume could not be synced when it was closed");
            // Never let go, so that sled does not try it once more. All that counts had been synced before, but the
            // volume can't be opened again in this life.
            self.failed.store(true, Ordering::SeqCst);
            std::mem::forget(db);
        } else if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::error!(volume = %self.id, "sled panicked when a volume was closed; all of it had been synced");
        }
    }
}

/// What sled replaces it gives up only once no thread can be reading it any more, and each thread hands in what it gave
/// up only now and then. A dozen log buffers of a segment each would wait so, and whole databases after they are closed.
#[derive(Debug)]
struct Garbage;

/// What is given up is freed two epochs later, and a thread that is just reading holds the epoch up.
const EPOCHS: usize = 4;

impl Drop for Garbage {
    fn drop(&mut self) {
        (0..EPOCHS).for_each(|_| sled::pin().flush());
    }
}

impl Volume for SledVolume {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.db()?.get(key).map_err(|error| read_error(self.id, error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        for entry in self.db()?.iter() {
            let (key, value) = entry.map_err(|error| read_error(self.id, error))?;
            if key != VOLUME_KEY {
                see(&key, &value);
            }
        }
        Ok(())
    }

    fn apply(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let written = match entries {
            [] => Ok(()),
            // A batch costs a write and a sync of the log before its own.
            [(key, value)] => self.db()?.insert(key, value.as_slice()).map(|_| ()),
            _ => {
                let mut batch = sled::Batch::default();
                for (key, value) in entries {
                    batch.insert(key.as_slice(), value.as_slice());
                }
                self.db()?.apply_batch(batch)
            }
        };
        written.map_err(|error| store_error(self.id, error))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.db()?.flush().map_err(|error| store_error(self.id, error))?;
        sled::pin().flush();
        Ok(())
    }
}

/// sled fills the last segment of a volume up with zeros whenever it opens it. Up to a segment of the disk would go for that,
/// and many volumes may be open at once while a full disk drains. A hole in the file reads the same.
///
/// # Errors
/// When the file can't be read, or its file system has no holes: then it stays as large as sled made it.
pub(super) fn give_zeros_back(path: &Path) -> std::io::Result<()> {
    let file = File::options().read(true).write(true).open(path.join("db"))?;
    let len = file.metadata()?.len();
    let mut piece = vec![0; PIECE_BYTES];
    let mut zeros_from = len;
    while zeros_from > 0 {
        let start = zeros_from.saturating_sub(PIECE_BYTES as u64);
        let before =
            piece.get_mut(..usize::try_from(zeros_from - start).unwrap_or_default()).unwrap_or_default();
        file.read_exact_at(before, start)?;
        if let Some(last) = before.iter().rposition(|byte| *byte != 0) {
            zeros_from = start + last as u64 + 1;
            break;
        }
        zeros_from = start;
    }
    let from = zeros_from.next_multiple_of(PAGE_BYTES);
    if from < len {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, hole, from, len - from)?;
    }
    Ok(())
}

/// The size of a volume's segments, by what sled wrote down when it was made. What is filled to take a volume's place takes
/// its values over as they are, so it gets segments of the same size.
fn segment_bytes(path: &Path, place: &Path) -> usize {
    let is_as_before = |path: &Path| {
        let conf = fs::read(path.join("conf")).unwrap_or_default();
        memchr::memmem::find(&conf, SEGMENT_NOTE_BEFORE).is_some()
    };
    if is_as_before(path) || is_as_before(place) { SEGMENT_BYTES_BEFORE } else { SEGMENT_BYTES }
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// What failed while a volume was read: a place that can't be read is damage, and no reason to give up on the rest.
fn read_error(id: VolumeId, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => file_error(id, error),
        other => store_error(id, other),
    }
}

fn file_error(id: VolumeId, error: std::io::Error) -> StoreError {
    if is_unreadable(&error) { StoreError::Damaged(id, error.to_string()) } else { error.into() }
}

/// A snapshot that a full disk cut short makes every later open fail.
///
/// # Errors
/// When the volume's folder can't be read, or a file in it can't be removed.
pub(super) fn remove_cut_snapshots(id: VolumeId, path: &Path) -> Result<(), StoreError> {
    let failed = |error| file_error(id, error);
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(file).map_err(failed)?;
        }
    }
    Ok(())
}

fn store_error(id: VolumeId, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => error.into(),
        sled::Error::Corruption { .. } => {
            StoreError::Damaged(id, "sled found a checksum that does not fit".into())
        }
        sled::Error::CollectionNotFound(_) | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) => {
            StoreError::Damaged(id, error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sled_store::SledStore;
    use super::super::store::Store;
    use super::*;
    use crate::journal::tests::usage;

    #[test]
    fn an_open_volume_takes_hardly_more_of_the_disk_than_a_closed_one_however_often_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let store = SledStore::in_folder(folder.path()).unwrap();
        let mut rng = fastrand::Rng::with_seed(4);
        let mut noise = || std::iter::repeat_with(|| rng.u8(..)).take(9_000).collect::<Vec<u8>>();
        let mut written: Vec<Entry> = Vec::new();
        let mut volume = store.create(usage(1)).unwrap();
        for opened in 0..4_u8 {
            for number in 0..20 {
                written.push((vec![opened, number], noise()));
                volume.apply(&written[written.len() - 1..]).unwrap();
            }
            volume.sync().unwrap();
            drop(volume);
            let closed = store.disk_bytes(usage(1));
            volume = store.open(usage(1)).unwrap();
            let more = store.disk_bytes(usage(1)).saturating_sub(closed);
            assert!(more < SEGMENT_BYTES as u64 / 16, "{more} bytes more than the {closed} of a closed one");
            let mut found = Vec::new();
            volume.scan(&mut |key, value| found.push((key.to_vec(), value.to_vec()))).unwrap();
            assert!(found == written, "it holds what it held");
        }
    }
}
