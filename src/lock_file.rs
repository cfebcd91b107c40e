//! One process at a time: a lock on a file that says who has it. It outlives no process, however that one ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often, and how long, a loser looks for the name of the winner, who writes it right after taking the lock.
const OWNER_LOOKS: u32 = 100;
const OWNER_LOOK_EVERY: Duration = Duration::from_millis(2);

/// A lock that is held. Dropping it removes the file and lets go.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{owner} has it")]
    Held {
        /// `process` and its number, or `another process` when it does not say.
        owner: String,
    },
    /// The file can't be made or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LockFile {
    /// Takes the lock at `path`, making its file if need be. Blocks for a fifth of a second at most, when another process
    /// has it and has not written its name yet.
    ///
    /// # Errors
    /// When another process has it, or the system refuses.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        loop {
            let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
            match file.try_lock() {
                // The last owner may have removed the file between our opening and our locking it. A lock on a file that
                // nobody else can find keeps nobody out, so it is let go and the next one is tried.
                Ok(()) if !is_at(&file, path) => {}
                Ok(()) => {
                    file.set_len(0)?;
                    // The lock holds without a name in it, and a full disk must not keep a start from making room.
                    match file.write_all(format!("process {}\n", std::process::id()).as_bytes()) {
                        Err(error) if error.kind() != ErrorKind::StorageFull => return Err(error.into()),
                        Ok(()) | Err(_) => return Ok(Self { path: path.to_owned(), _file: file }),
                    }
                }
                Err(TryLockError::WouldBlock) => return Err(LockError::Held { owner: owner(path) }),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // While it is still held, so that nobody takes a lock on a file that is about to go. Gone already is as good.
        drop(fs::remove_file(&self.path));
    }
}

/// Whether `path` still leads to this very file.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Who has the lock. A name that a dead owner left there is not taken for the living one's.
fn owner(path: &Path) -> String {
    for look in 0..OWNER_LOOKS {
        if look > 0 {
            std::thread::sleep(OWNER_LOOK_EVERY);
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        let number = text.trim().strip_prefix("process ").and_then(|number| number.parse::<u32>().ok());
        if let Some(number) = number
            && Path::new(&format!("/proc/{number}")).exists()
        {
            return format!("process {number}");
        }
    }
    "another process".to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn of_many_that_come_and_go_only_one_has_the_lock_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (holders, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Ok(lock) = LockFile::take(&path) else { continue };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two have the lock");
                        taken.fetch_add(1, Ordering::SeqCst);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) >= 4);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no file is left");
    }

    #[test]
    fn a_loser_learns_who_has_it_even_where_a_dead_owner_left_his_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "process 4294967295\n").unwrap();
        let _held = LockFile::take(&path).unwrap();
        let refused = LockFile::take(&path).unwrap_err();
        assert_eq!(refused.to_string(), format!("process {} has it", std::process::id()));
    }
}
