//! Room set aside, given up when the disk is so full that the journal could not even open: enough to open, deliver and settle.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::space::SpaceLimits;
use crate::journal::settings::Settings;

/// A file that only takes room. Clones are of the same one.
#[derive(Clone, Debug)]
pub(in crate::journal) struct Ballast {
    path: PathBuf,
    bytes: u64,
    is_missing: Arc<AtomicBool>,
}

impl Ballast {
    /// The ballast of a journal with these settings, wherever it is: at most an eighth of the disk.
    pub(in crate::journal) fn new(settings: &Settings) -> Self {
        let disk = SpaceLimits::new(settings).measure_disk();
        Self {
            path: settings.folder.join("ballast"),
            bytes: settings.ballast_bytes.min(disk.total / 8),
            is_missing: Arc::default(),
        }
    }

    /// How much room it takes.
    pub(in crate::journal) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is to be set aside again as soon as there is room.
    pub(in crate::journal) fn is_missing(&self) -> bool {
        self.is_missing.load(Ordering::Relaxed)
    }

    /// Gives the room up. `false` when there was none.
    ///
    /// # Errors
    /// When the file can't be removed.
    pub(in crate::journal) fn give_up(&self) -> std::io::Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => {
                self.is_missing.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets the room aside. Without it sledge still serves, so failing to is no error.
    pub(in crate::journal) fn keep(&self) {
        self.is_missing.store(false, Ordering::Relaxed);
        let has = fs::metadata(&self.path).map(|metadata| metadata.len()).unwrap_or_default();
        if has == self.bytes {
            return;
        }
        if let Err(error) = self.write() {
            if error.kind() != ErrorKind::NotFound {
                drop(fs::remove_file(&self.path));
            }
            tracing::warn!(%error, "no ballast could be set aside until the next start; a full disk may keep sledge from starting");
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let chunk = vec![0_u8; 1 << 16];
        let mut file = File::create(&self.path)?;
        let mut left = self.bytes;
        while left > 0 {
            let now = left.min(chunk.len() as u64);
            let piece = usize::try_from(now).ok().and_then(|now| chunk.get(..now)).unwrap_or_default();
            file.write_all(piece)?;
            left -= now;
        }
        Ok(())
    }
}
