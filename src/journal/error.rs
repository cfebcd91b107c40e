//! Everything that can go wrong with the journal.

use std::path::{Path, PathBuf};

use super::disk::StoreError;

/// Why an append was not taken, or was not made durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The disk is behind: `intake_bytes_max` is waiting already. Passes by itself in moments.
    #[error("the disk is behind and the intake buffer is full; send again in a moment")]
    Busy,
    /// The journal reached `journal_bytes_max` or the disk's low-water mark. Passes when Polar takes events again or the disk is freed.
    #[error("the journal is full ({detail}); send again later, or raise the limit or free the disk")]
    Full {
        /// Which limit, with figures.
        detail: String,
    },
    /// The journal stopped after a failed write or sync, or is closing.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Why the journal does not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It is closing or closed: the process is about to end.
    #[error("the journal is closed because sledge is stopping; send again once it is back")]
    Closed,
    /// The system has no thread to spare for a look back. Passes by itself.
    #[error("there is no thread to spare for it ({detail}); try again in a moment")]
    NoThread {
        /// What the system said.
        detail: String,
    },
    /// A write or sync failed. What was acknowledged is safe; nothing more is taken until a restart has verified the disk.
    #[error("the journal stopped after a failed write ({detail}); restart sledge once the disk is healthy")]
    Poisoned {
        /// What failed.
        detail: String,
    },
}

/// Why the journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the journal in {} is in use by {owner}; stop that sledge first, or give this one another data folder", folder.display())]
    InUse {
        /// The journal's folder.
        folder: PathBuf,
        /// What the lock file says of its owner.
        owner: String,
    },
    /// The disk is full even without the ballast.
    #[error("the disk under {} is full; free some space and start again (nothing was lost)", folder.display())]
    DiskFull {
        /// The journal's folder.
        folder: PathBuf,
    },
    /// A volume can't be read.
    #[error("{} holds a damaged volume: {detail}", folder.display())]
    Damaged {
        /// The journal's folder.
        folder: PathBuf,
        /// Which, and how.
        detail: String,
    },
    /// A newer sledge wrote it. Nothing was touched.
    #[error("the journal in {}: {detail}; start that version, or a newer one (nothing was touched)", folder.display())]
    NewerFormat {
        /// The journal's folder.
        folder: PathBuf,
        /// Which volume, and its format.
        detail: String,
    },
    /// This build's syncs are not real.
    #[error("{detail}")]
    SyncNotReal {
        /// What was seen.
        detail: String,
    },
    /// A system call failed.
    #[error("{}: {source}; check that the folder exists and belongs to the user sledge runs as", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl OpenError {
    pub(super) fn from_store(folder: &Path, error: StoreError) -> Self {
        let folder = folder.to_owned();
        match error {
            StoreError::DiskFull => Self::DiskFull { folder },
            StoreError::Damaged(..) => Self::Damaged { folder, detail: error.to_string() },
            StoreError::NewerFormat(..) => Self::NewerFormat { folder, detail: error.to_string() },
            StoreError::SyncNotReal => Self::SyncNotReal { detail: error.to_string() },
            StoreError::Io(words) => Self::Io { path: folder, source: std::io::Error::other(words) },
        }
    }
}
