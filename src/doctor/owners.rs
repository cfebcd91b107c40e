//! Whose the socket, the journal and the admin address are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::finding::{Code, Finding};
use crate::admin::Status;
use crate::config::{Config, Origin};

/// A lock file says `process` and a number.
const LOCK_BYTES_MAX: u64 = 64;

/// Who has the socket, the journal and the admin address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owners {
    /// The process that has the socket.
    pub(super) socket: Option<u32>,
    /// The process that has the journal.
    pub(super) journal: Option<u32>,
    /// Where the daemon at the admin address takes events, when that is not at this socket.
    pub(super) elsewhere: Option<String>,
}

impl Owners {
    pub(super) fn look(config: &Config, at_admin_address: Option<&Status>) -> Self {
        let mut socket_lock = config.socket.clone().into_os_string();
        socket_lock.push(".lock");
        let other = at_admin_address.filter(|status| !listens_at(status, &config.socket));
        Self {
            socket: owner(Path::new(&socket_lock)),
            journal: owner(&config.journal.folder.join("lock")),
            elsewhere: other.map(|status| {
                status.listeners.first().map_or("elsewhere", |it| it.address.as_str()).to_owned()
            }),
        }
    }
}

/// The process that holds a lock file. Who died without letting go of one left its name there, and another process may
/// have its number by now: the kernel's list of locks tells.
fn owner(lock: &Path) -> Option<u32> {
    // Whoever answers at an admin address names the folder. A pipe there would never be read to its end.
    let found = fs::metadata(lock).ok().filter(|it| it.is_file() && it.len() <= LOCK_BYTES_MAX)?;
    let text = fs::read_to_string(lock).ok()?;
    let number: u32 = text.trim().strip_prefix("process ")?.parse().ok()?;
    let inode = found.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    is_held(&locks, number, inode).then_some(number)
}

/// Whether the text of `/proc/locks` says so: `1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF`.
fn is_held(locks: &str, process: u32, inode: u64) -> bool {
    locks.lines().any(|line| {
        let mut fields = line.split_whitespace().skip_while(|field| *field != "FLOCK").skip(3);
        let is_its = fields.next() == Some(process.to_string().as_str());
        is_its && fields.next().and_then(|file| file.rsplit(':').next()) == Some(inode.to_string().as_str())
    })
}

pub(super) fn judge(owners: &Owners, config: &Config) -> Vec<Finding> {
    let (socket, folder) = (config.socket.display(), config.data_dir.display());
    let fix = "give each sledge a socket, a data folder and an admin address of its own, and name those of one of them here";
    match (owners.socket, owners.journal) {
        (Some(at_socket), Some(at_journal)) if at_socket != at_journal => {
            let seen = format!(
                "the socket {socket} is served by process {at_socket}, and the data folder {folder} by process {at_journal}"
            );
            return vec![Finding::new(Code::TwoDaemons, seen, fix)];
        }
        _ => {}
    }
    let is_meant = owners.socket.is_some() || *config.origins.of("socket") != Origin::Default;
    match &owners.elsewhere {
        Some(elsewhere) if is_meant => {
            let seen = format!(
                "the daemon at {} takes events at {elsewhere}, not at {socket}",
                config.admin.address
            );
            vec![Finding::new(Code::TwoDaemons, seen, fix)]
        }
        Some(_) | None => Vec::new(),
    }
}

/// Whether a daemon with this status takes events at this socket.
pub(super) fn listens_at(status: &Status, socket: &Path) -> bool {
    status.listeners.iter().any(|listener| is_same_file(Path::new(&listener.address), socket))
}

/// Whether two paths name one file, however each is spelt: from another folder, by way of a link.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).ok().map(|it| (it.dev(), it.ino()));
    // Where the file is gone its folder still tells.
    let place = |path: &Path| {
        let path = std::path::absolute(path).ok()?;
        let folder = path.parent()?.canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    let is_one = |of_one: Option<PathBuf>, of_other| of_one.is_some() && of_one == of_other;
    one == other || file(one).is_some_and(|it| file(other) == Some(it)) || is_one(place(one), place(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_same_file_by_a_link_and_from_another_folder_and_when_the_file_is_gone() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().canonicalize().unwrap(), &link).unwrap();
        let relative = Path::new(folder.path().file_name().unwrap()).join("sledge.sock");
        let absolute = folder.path().canonicalize().unwrap().join("sledge.sock");
        for _ in ["missing", "there"] {
            for spelling in [&relative, &Path::new("./").join(&relative), &link.join("sledge.sock")] {
                assert!(is_same_file(spelling, &absolute), "{}", spelling.display());
            }
            assert!(!is_same_file(&relative, &folder.path().join("other.sock")));
            fs::write(&absolute, "").unwrap();
        }
        assert!(!is_same_file(Path::new("/nowhere/a"), Path::new("/nowhere/b")));
    }

    #[test]
    fn a_lock_is_held_by_the_process_that_the_kernel_names_and_no_other() {
        let locks = "1: POSIX  ADVISORY  WRITE 812 fe:00:131 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 9 fe:00:131 0 EOF\n";
        assert!(is_held(locks, 4711, 131));
        assert!(!is_held(locks, 812, 131) && !is_held(locks, 4711, 13) && !is_held("", 4711, 131));
    }
}
