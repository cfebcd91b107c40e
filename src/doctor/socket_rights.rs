//! Whether a user may use a socket, by the permission bits on the way to it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file's owner and permission bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) path: PathBuf,
    uid: u32,
    gid: u32,
    mode: u32,
}

/// A user, and the groups it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    gids: Vec<u32>,
}

impl User {
    /// The user of that number with the groups that the machine's own files give it, and these.
    pub(super) fn of(uid: u32, more: &[u32]) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut gids = groups_of(uid, &read("/etc/passwd"), &read("/etc/group"));
        gids.extend_from_slice(more);
        Self { uid, gids }
    }

    fn may(&self, what: u32, rights: &Rights) -> bool {
        let shift = match rights {
            _ if self.uid == 0 => return true,
            // The class that fits first counts, even where another would allow more.
            Rights { uid, .. } if *uid == self.uid => 6,
            Rights { gid, .. } if self.gids.contains(gid) => 3,
            _ => 0,
        };
        rights.mode >> shift & what == what
    }

    /// The first thing on the way to the socket that stops the user; `None` when nothing does. The last of `way` is
    /// the socket itself, to which one must be able to write; the folders before it must let one through.
    pub(super) fn stopped_by<'r>(&self, way: &'r [Rights]) -> Option<&'r Rights> {
        const SEARCH: u32 = 0o1;
        const WRITE: u32 = 0o2;
        let (socket, folders) = way.split_last()?;
        folders
            .iter()
            .find(|folder| !self.may(SEARCH, folder))
            .or((!self.may(WRITE, socket)).then_some(socket))
    }
}

impl Rights {
    /// Everything on the way to `path`, itself last.
    ///
    /// # Errors
    /// What can't be looked at, and why.
    pub(super) fn on_the_way_to(path: &Path) -> Result<Vec<Self>, String> {
        let at =
            |path: &Path, error: std::io::Error| format!("{} can't be looked at: {error}", path.display());
        let whole = path.canonicalize().map_err(|error| at(path, error))?;
        let mut way = Vec::new();
        for step in whole.ancestors() {
            let metadata = fs::metadata(step).map_err(|error| at(step, error))?;
            let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o777);
            way.push(Self { path: step.to_owned(), uid, gid, mode });
        }
        way.reverse();
        Ok(way)
    }

    /// `/run/sledge (owner 0, group 997, mode 0750)`.
    pub(super) fn in_words(&self) -> String {
        format!("{} (owner {}, group {}, mode {:04o})", self.path.display(), self.uid, self.gid, self.mode)
    }
}

/// The groups of a user, its first one included, from the texts of `passwd` and `group`.
fn groups_of(uid: u32, passwd: &str, group: &str) -> Vec<u32> {
    let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let user =
        passwd.lines().map(fields).find(|user| user.get(2).is_some_and(|number| *number == uid.to_string()));
    let Some(user) = user else { return Vec::new() };
    let name = user.first().cloned().unwrap_or_default();
    let own = user.get(3).and_then(|number| number.parse().ok());
    let others = group
        .lines()
        .map(fields)
        .filter(|group| group.get(3).is_some_and(|members| members.split(',').any(|member| member == name)));
    own.into_iter().chain(others.filter_map(|group| group.get(2)?.parse().ok())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(path: &str, uid: u32, gid: u32, mode: u32) -> Rights {
        Rights { path: path.into(), uid, gid, mode }
    }

    #[test]
    fn the_way_to_a_socket_is_judged_as_the_kernel_does() {
        let way = [
            rights("/", 0, 0, 0o755),
            rights("/run/sledge", 500, 997, 0o750),
            rights("/run/sledge/sledge.sock", 500, 997, 0o660),
        ];
        let user = |uid, gids: &[u32]| User { uid, gids: gids.to_vec() };
        let stopped = |user: User| user.stopped_by(&way).map(|it| it.path.display().to_string());
        assert_eq!(stopped(user(0, &[])), None);
        assert_eq!(stopped(user(500, &[])), None);
        assert_eq!(stopped(user(1000, &[1000, 997])), None);
        assert_eq!(stopped(user(1000, &[1000])).as_deref(), Some("/run/sledge"));
        let closed = [rights("/", 0, 0, 0o755), rights("/s.sock", 1000, 1000, 0o466)];
        let owner = user(1000, &[1000]);
        assert_eq!(
            owner.stopped_by(&closed),
            Some(&closed[1]),
            "the owner's bits count, though all others may"
        );
    }

    #[test]
    fn a_users_groups_are_its_own_and_those_that_list_it() {
        let passwd = "root:x:0:0::/:/bin/sh\nada:x:1000:1001::/home/ada:/bin/sh\n";
        let group = "root:x:0:\nada:x:1001:\nsledge:x:997:bob,ada\nother:x:998:adam\n";
        assert_eq!(groups_of(1000, passwd, group), [1001, 997]);
        assert!(groups_of(4242, passwd, group).is_empty());
    }
}
