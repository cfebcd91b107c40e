//! The journal's limits, each with its unit and its reason.

use std::path::PathBuf;
use std::time::Duration;

/// What the journal may use, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder it owns; its rows and its ballast lie in it.
    pub folder: PathBuf,
    /// All of it on disk. Reached, new events are refused with `journal_full`. 5 % of it is reserved for grants.
    pub journal_bytes_max: u64,
    /// Free bytes of the disk below which new events are refused; `None`: 5 % of the disk, but 64 MiB at most, and at least
    /// 32 MiB or a quarter of a small disk.
    pub low_water_bytes: Option<u64>,
    /// Freed first when the disk is full, so that the journal can open and settle: to open a volume sled fills a segment of
    /// it up, of 4 MiB, or 8 MiB from before the first release, and each takes settlements then. At most an eighth of the
    /// disk is set aside.
    pub ballast_bytes: u64,
    /// Event texts that may wait for the disk, over all connections.
    pub intake_bytes_max: usize,
    /// Frames in one volume before the next one is begun: the unit in which disk space comes back. sled keeps all of an
    /// open volume in memory: the one that is written, and those that owe something of what was handed out, two or three as
    /// a rule, and more where events are held. Half as large, their making would cost more than it saves.
    pub volume_bytes: u64,
    /// How long settled volumes are kept for a replay; zero for not at all.
    pub retention: Duration,
    /// How much of settled volumes is kept, in bytes on disk.
    pub retention_bytes_max: u64,
    /// The dead letters, as they are written down (compressed they take less). Beyond it refused events are only counted; what delivery gives up is kept all the same,
    /// for it was promised, and the log and the status say so.
    pub dead_bytes_max: u64,
    /// Customers whose pending units are counted; 0 for none, which costs nothing. A customer with one meter takes some
    /// 500 bytes.
    pub pending_customers_max: usize,
    /// Whether a folder whose files will not outlive the machine, the container or the pod is warned of.
    pub warns_if_volatile: bool,
}

/// Where no low-water mark is set: this, or 1/20 of the disk, whichever is smaller.
const LOW_WATER_BYTES: u64 = 64 << 20;
/// But no less than this, or 1/4 of a small disk: eight of sled's segments. A rotation may take four at once, and a dozen
/// volumes that drain at once take settlements.
const LOW_WATER_BYTES_MIN: u64 = 32 << 20;

/// The bytes that stay free on a disk of so many.
pub(super) fn low_water(given: Option<u64>, disk_bytes: u64) -> u64 {
    let least = LOW_WATER_BYTES_MIN.min(disk_bytes / 4);
    given.unwrap_or_else(|| LOW_WATER_BYTES.min(disk_bytes / 20).max(least))
}

impl Settings {
    /// The bytes that stay free on a disk of so many.
    #[must_use]
    pub fn low_water(&self, disk_bytes: u64) -> u64 {
        low_water(self.low_water_bytes, disk_bytes)
    }

    /// The defaults for a journal in `folder`.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder,
            journal_bytes_max: 1 << 30,
            low_water_bytes: None,
            ballast_bytes: 32 << 20,
            intake_bytes_max: 16 << 20,
            volume_bytes: 2 << 20,
            retention: Duration::from_secs(24 * 60 * 60),
            retention_bytes_max: 256 << 20,
            dead_bytes_max: 64 << 20,
            pending_customers_max: 0,
            warns_if_volatile: true,
        }
    }
}
