//! Whether what lies in a folder is gone when the machine, the container or the pod is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;
const OVERLAYFS: i64 = 0x794c_7630;
/// In the path of every `emptyDir` on its node.
const EMPTY_DIR: &str = "kubernetes.io~empty-dir";

/// Why what lies in `folder` will not stay, in words; `None` where nothing speaks against it.
pub(in crate::journal) fn why_volatile(folder: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(folder).ok().map(|stat| stat.f_type);
    let folder = fs::canonicalize(folder).ok();
    let device =
        folder.as_deref().and_then(|folder| fs::metadata(folder).ok()).map(|metadata| metadata.dev());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = folder.zip(device).and_then(|(folder, device)| mount_root(&mounts, &folder, device));
    reason(kind, root.as_deref())
}

/// What the kind of a file system, and the place of it that is mounted, tell.
fn reason(kind: Option<i64>, mount_root: Option<&str>) -> Option<&'static str> {
    match kind {
        Some(TMPFS | RAMFS) => Some("it is memory, and gone when the machine stops"),
        Some(OVERLAYFS) => Some("it is the container's own layer, and gone when the container is removed"),
        _ if mount_root.is_some_and(|root| root.contains(EMPTY_DIR)) => {
            Some("it is an emptyDir, and gone when the pod is")
        }
        _ => None,
    }
}

/// Which part of a file system is mounted where `folder` lies, as `/proc/self/mountinfo` tells.
fn mount_root(mounts: &str, folder: &Path, device: u64) -> Option<String> {
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let of_folder = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let (number, root, point) = (fields.next()?, fields.next()?, fields.next()?);
        (number == device && folder.starts_with(point)).then(|| (point.len(), root.to_owned()))
    });
    of_folder.max_by_key(|(len, _)| *len).map(|(_, root)| root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_the_layer_of_a_container_do_not_stay() {
        assert!(reason(Some(TMPFS), None).is_some_and(|why| why.contains("memory")));
        assert!(reason(Some(OVERLAYFS), Some("/")).is_some_and(|why| why.contains("container")));
        const EXT4: i64 = 0xef53;
        assert_eq!(reason(Some(EXT4), Some("/")), None);
        assert_eq!(reason(None, None), None);
        assert!(why_volatile(Path::new("/proc/self")).is_none(), "another kind of file system");
    }

    #[test]
    fn an_empty_dir_is_known_by_the_place_it_has_on_its_node() {
        let mounts = "22 1 254:1 / / rw - ext4 /dev/vda rw\n\
            99 22 254:1 /var/lib/kubelet/pods/7c/volumes/kubernetes.io~empty-dir/data /data rw,relatime - ext4 /dev/vda rw\n\
            98 22 254:1 /var/lib/kubelet/pods/7c/volumes/kubernetes.io~csi/keep /keep rw,relatime - ext4 /dev/vda rw\n";
        let device = rustix::fs::makedev(254, 1);
        let root = |folder| mount_root(mounts, Path::new(folder), device);
        assert!(reason(None, root("/data/journal").as_deref()).is_some_and(|why| why.contains("emptyDir")));
        for lasting in ["/keep/journal", "/var/lib/sledge", "/database"] {
            assert_eq!(reason(None, root(lasting).as_deref()), None, "{lasting}");
        }
    }
}
