//! How full the journal and its disk are, and who may still come in.

use std::path::PathBuf;

use crate::event::Lane;
use crate::journal::settings::{Settings, low_water};

/// Of `journal_bytes_max`, the part that only grants may use: 1/20.
const GRANTS_RESERVE: u64 = 20;

/// The limits on disk space.
#[derive(Clone, Debug)]
pub(in crate::journal) struct SpaceLimits {
    folder: PathBuf,
    journal_bytes_max: u64,
    low_water_bytes: Option<u64>,
}

/// Free and total bytes of the disk under the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::journal) struct Disk {
    pub(in crate::journal) free: u64,
    pub(super) total: u64,
}

impl SpaceLimits {
    pub(in crate::journal) fn new(settings: &Settings) -> Self {
        Self {
            folder: settings.folder.clone(),
            journal_bytes_max: settings.journal_bytes_max,
            low_water_bytes: settings.low_water_bytes,
        }
    }

    /// Asks the system how much room the disk has; a disk that does not say counts as roomy.
    pub(in crate::journal) fn measure_disk(&self) -> Disk {
        match rustix::fs::statvfs(&self.folder) {
            Ok(stat) => Disk {
                free: stat.f_bavail.saturating_mul(stat.f_frsize),
                total: stat.f_blocks.saturating_mul(stat.f_frsize),
            },
            Err(error) => {
                tracing::warn!(%error, "the disk's free space can't be read; only journal_bytes_max limits the journal");
                Disk { free: u64::MAX, total: u64::MAX }
            }
        }
    }

    /// Why an event of `lane` finds no room, in words, or `None`. `ahead` is text taken in since the two figures were
    /// measured: it counts as if LZ4 gained nothing, and twice on the disk, because sled logs a batch twice.
    pub(in crate::journal) fn refusal(
        &self,
        lane: Lane,
        journal_bytes: u64,
        disk: Disk,
        ahead: u64,
    ) -> Option<String> {
        let journal_bytes = journal_bytes.saturating_add(ahead);
        let free = disk.free.saturating_sub(ahead.saturating_mul(2));
        let limit = self.limit(lane);
        if journal_bytes >= limit {
            return Some(format!("it holds {journal_bytes} of {limit} bytes allowed for {}", lane.as_str()));
        }
        let low_water = self.low_water(disk);
        (free < low_water).then(|| format!("its disk has {free} bytes free, and {low_water} must stay free"))
    }

    /// How many bytes have to be given back before an event of `lane` finds room; 0 when it does.
    pub(in crate::journal) fn shortage(&self, lane: Lane, journal_bytes: u64, disk: Disk) -> u64 {
        let beyond_limit = (journal_bytes + 1).saturating_sub(self.limit(lane));
        beyond_limit.max(self.low_water(disk).saturating_sub(disk.free))
    }

    /// Whether the disk can hold this much more for a while and stays above the low-water mark.
    pub(in crate::journal) fn has_room_for(&self, bytes: u64, disk: Disk) -> bool {
        disk.free.saturating_sub(bytes) >= self.low_water(disk)
    }

    fn limit(&self, lane: Lane) -> u64 {
        match lane {
            Lane::Grants => self.journal_bytes_max,
            Lane::Usage => self.journal_bytes_max - self.journal_bytes_max / GRANTS_RESERVE,
        }
    }

    fn low_water(&self, disk: Disk) -> u64 {
        low_water(self.low_water_bytes, disk.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: Disk = Disk { free: 1 << 40, total: 1 << 41 };

    fn limits(low_water_bytes: Option<u64>) -> SpaceLimits {
        SpaceLimits { folder: PathBuf::new(), journal_bytes_max: 1_000, low_water_bytes }
    }

    #[test]
    fn the_last_twentieth_is_kept_for_grants() {
        assert!(limits(None).refusal(Lane::Usage, 949, ROOMY, 0).is_none());
        assert!(limits(None).refusal(Lane::Usage, 950, ROOMY, 0).is_some());
        assert!(limits(None).refusal(Lane::Grants, 999, ROOMY, 0).is_none());
        assert!(limits(None).refusal(Lane::Grants, 1_000, ROOMY, 0).is_some());
    }

    #[test]
    fn a_nearly_full_disk_refuses_both_lanes() {
        let disk = Disk { free: 63 << 20, total: 1 << 40 };
        for lane in Lane::ALL {
            assert!(limits(None).refusal(lane, 0, disk, 0).is_some());
            assert!(limits(Some(1 << 20)).refusal(lane, 0, disk, 0).is_none());
        }
        for (total, low_water) in [(1_u64 << 30, 51), (600 << 20, 32), (100 << 20, 25)] {
            let disk = |free_mib: u64| Disk { free: free_mib << 20, total };
            assert!(limits(None).refusal(Lane::Usage, 0, disk(low_water + 1), 0).is_none(), "{total}");
            assert!(limits(None).refusal(Lane::Usage, 0, disk(low_water - 1), 0).is_some(), "{total}");
        }
    }

    #[test]
    fn no_more_is_given_back_than_is_short() {
        assert_eq!(limits(None).shortage(Lane::Usage, 949, ROOMY), 0);
        assert_eq!(limits(None).shortage(Lane::Usage, 1_100, ROOMY), 151);
        let disk = Disk { free: 700, total: 1 << 40 };
        assert_eq!(limits(Some(1_000)).shortage(Lane::Usage, 0, disk), 300);
        assert_eq!(limits(Some(1_000)).shortage(Lane::Usage, 1_400, disk), 451);
        for (journal_bytes, free) in [(0, 0), (950, 5_000), (2_000, 10), (949, 1_000)] {
            let (limits, disk) = (limits(Some(1_000)), Disk { free, total: 1 << 40 });
            let short = limits.shortage(Lane::Usage, journal_bytes, disk);
            let given_back = Disk { free: free + short, ..disk };
            let left = journal_bytes.saturating_sub(short);
            assert_eq!(limits.refusal(Lane::Usage, left, given_back, 0), None, "{journal_bytes}, {free}");
        }
    }

    #[test]
    fn what_was_taken_in_since_the_last_look_counts_already() {
        assert!(limits(None).refusal(Lane::Usage, 900, ROOMY, 49).is_none());
        assert!(limits(None).refusal(Lane::Usage, 900, ROOMY, 50).is_some());
        let disk = Disk { free: 3_000, total: 1 << 40 };
        assert!(limits(Some(1_000)).refusal(Lane::Usage, 0, disk, 900).is_none());
        let roomy_limit = SpaceLimits { journal_bytes_max: 1 << 40, ..limits(Some(1_000)) };
        assert!(roomy_limit.refusal(Lane::Usage, 0, disk, 1_001).is_some());
    }
}
