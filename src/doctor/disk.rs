//! The disk under the journal: what it is, how much of it is free, how long it takes to sync.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::finding::{Code, Finding};
use super::mounts::mounted_root;
use crate::journal::Settings;

/// File systems that forget. The numbers are the kernel's.
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;
/// What containers lay over an image.
const OVERLAY: i64 = 0x794c_7630;
/// How a Kubernetes emptyDir is named where it lies.
const EMPTY_DIR: &str = "kubernetes.io~empty-dir";
/// Syncs that are timed; the quickest counts, for a disk that is only busy is not a slow one.
const SYNCS: u32 = 8;
/// The timing ends after so long, however far it got.
const SYNCS_TAKE_MAX: Duration = Duration::from_secs(3);
/// A quickest sync that takes longer is a slow disk; a rotating one takes 8 to 25 ms.
const SYNC_SLOW: Duration = Duration::from_millis(50);

/// What is seen of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DiskSeen {
    /// The data folder.
    folder: PathBuf,
    /// The kind of its file system.
    kind: i64,
    /// What of that file system is mounted there.
    mounted_root: Option<String>,
    free: u64,
    /// What sledge leaves free.
    low_water: u64,
    /// The quickest sync, or why none was timed.
    pub(super) sync: Result<Duration, String>,
}

impl DiskSeen {
    /// Looks at the disk that `folder` lies on, or will lie on.
    ///
    /// # Errors
    /// Why nothing can be seen of it.
    pub(super) fn look(folder: &Path, journal: &Settings) -> Result<Self, String> {
        let there = folder.ancestors().find(|folder| folder.exists());
        let there = there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unseen =
            |error: &dyn std::fmt::Display| format!("{} can't be looked at: {error}", there.display());
        let there = there.canonicalize().map_err(|error| unseen(&error))?;
        let kind = rustix::fs::statfs(&there).map_err(|error| unseen(&error))?.f_type;
        let space = rustix::fs::statvfs(&there).map_err(|error| unseen(&error))?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Ok(Self {
            folder: folder.to_owned(),
            kind: kind & 0xffff_ffff,
            mounted_root: mounted_root(&mounts, &there),
            free: space.f_bavail.saturating_mul(space.f_frsize),
            low_water: journal.low_water(space.f_blocks.saturating_mul(space.f_frsize)),
            sync: match fs::metadata(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Err("there is no data folder yet".to_owned())
                }
                Ok(_) | Err(_) => time_syncs(folder),
            },
        })
    }
}

/// Writes and syncs a file of its own, which is gone afterwards.
fn time_syncs(folder: &Path) -> Result<Duration, String> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = made.map_err(|error| format!("no file can be made in {}: {error}", folder.display()))?;
    let begun = Instant::now();
    let mut quickest = Err("no sync ended in time".to_owned());
    for _ in 0..SYNCS {
        let started = Instant::now();
        let synced = file.write_all(&[0; 4096]).and_then(|()| file.sync_data());
        if let Err(error) = synced {
            quickest = Err(format!("a sync failed: {error}"));
            break;
        }
        let took = started.elapsed();
        quickest = Ok(quickest.map_or(took, |quickest: Duration| quickest.min(took)));
        if begun.elapsed() > SYNCS_TAKE_MAX {
            break;
        }
    }
    // Gone already is as good.
    drop(fs::remove_file(&path));
    quickest
}

pub(super) fn judge(seen: &DiskSeen) -> Vec<Finding> {
    let mut findings = Vec::new();
    let folder = seen.folder.display();
    let elsewhere = "put the data folder on a disk that stays (--data-dir; in Kubernetes a persistent volume, in Docker a named volume)";
    if matches!(seen.kind, TMPFS | RAMFS) {
        let found = format!("{folder} is on a file system in memory");
        findings.push(Finding::new(Code::JournalInMemory, found, elsewhere));
    } else if seen.mounted_root.as_ref().is_some_and(|root| root.contains(EMPTY_DIR)) {
        findings.push(Finding::new(Code::JournalInEmptyDir, format!("{folder} is an emptyDir"), elsewhere));
    } else if seen.kind == OVERLAY {
        let found = format!("{folder} is in the layer of a container");
        findings.push(Finding::new(Code::JournalInContainer, found, elsewhere));
    }
    if seen.free < seen.low_water {
        let found =
            format!("{} bytes are free under {folder}, and {} must stay free", seen.free, seen.low_water);
        let fix = "free space there, or give the journal a larger disk";
        findings.push(Finding::new(Code::DiskLow, found, fix));
    }
    if let Some(quickest) = seen.sync.as_ref().ok().filter(|quickest| **quickest > SYNC_SLOW) {
        let found = format!("the quickest of {SYNCS} syncs in {folder} took {} ms", quickest.as_millis());
        let fix = "put the data folder on a local disk, an SSD if there is one; sending several events at once shares a sync";
        findings.push(Finding::new(Code::SyncSlow, found, fix));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> DiskSeen {
        DiskSeen {
            folder: "/var/lib/sledge".into(),
            kind: 0xef53,
            mounted_root: Some("/".to_owned()),
            free: 1 << 40,
            low_water: 64 << 20,
            sync: Ok(Duration::from_millis(2)),
        }
    }

    #[test]
    fn an_ordinary_disk_is_well_and_each_fault_of_one_is_found() {
        assert!(judge(&well()).is_empty());
        let unsynced = DiskSeen { sync: Err("there is no data folder yet".to_owned()), ..well() };
        assert!(judge(&unsynced).is_empty());
        let pod = "/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/data";
        for (seen, code) in [
            (DiskSeen { kind: TMPFS, ..well() }, Code::JournalInMemory),
            (DiskSeen { kind: RAMFS, ..well() }, Code::JournalInMemory),
            (DiskSeen { kind: OVERLAY, ..well() }, Code::JournalInContainer),
            (DiskSeen { mounted_root: Some(pod.to_owned()), ..well() }, Code::JournalInEmptyDir),
            (DiskSeen { free: 1 << 20, ..well() }, Code::DiskLow),
            (DiskSeen { sync: Ok(Duration::from_millis(80)), ..well() }, Code::SyncSlow),
        ] {
            let findings = judge(&seen);
            assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [code]);
        }
    }

    #[test]
    fn timing_a_sync_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(time_syncs(folder.path()).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(time_syncs(&folder.path().join("missing")).is_err());
    }
}
