//! Where a folder really lies, as the kernel's list of mounts tells it.

use std::path::Path;

/// The folder within its file system that is mounted where `path` lies, from the text of `/proc/self/mountinfo`.
pub(super) fn mounted_root(mountinfo: &str, path: &Path) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for line in mountinfo.lines() {
        let mut fields = line.split(' ').skip(3);
        let (Some(root), Some(point)) = (fields.next(), fields.next()) else { continue };
        let point = unescaped(point);
        // Of mounts at the same point the last one hides the others.
        if path.starts_with(&point) && best.as_ref().is_none_or(|(length, _)| point.len() >= *length) {
            best = Some((point.len(), unescaped(root)));
        }
    }
    best.map(|(_, root)| root)
}

/// Spaces and the like are written as `\040`.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                text.push_str(part.get(3..).unwrap_or_default());
            }
            None => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /dev/shm rw - tmpfs tmpfs rw
40 22 254:1 /var/lib/kubelet/pods/1f/volumes/kubernetes.io~empty-dir/data /var/lib/sledge rw - ext4 /dev/vdb rw
41 22 254:2 /my\\040volume /mnt/a\\040b rw - ext4 /dev/vdc rw";

    #[test]
    fn the_deepest_mount_above_a_folder_is_its_own() {
        let root = |path: &str| mounted_root(MOUNTS, Path::new(path)).unwrap();
        assert_eq!(root("/home/ada"), "/");
        assert!(root("/var/lib/sledge/journal").contains("kubernetes.io~empty-dir"));
        assert_eq!(root("/var/lib/sledge-other"), "/");
        assert_eq!(root("/mnt/a b/data"), "/my volume");
    }
}
