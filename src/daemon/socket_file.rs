//! A Unix socket's file: one daemon for each, taken over from a dead one, never from a living one.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use tokio::net::{UnixDatagram, UnixListener, UnixSocket};

use super::error::StartError;
use super::socket_rights::SocketRights;
use crate::lock_file::{LockError, LockFile};

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketUse {
    /// Events.
    Events,
    /// Events in datagrams.
    Datagrams,
    /// Dead letters.
    Admin,
}

impl SocketUse {
    fn flag(self) -> &'static str {
        match self {
            Self::Events => "--socket",
            Self::Datagrams => "--datagram-socket",
            Self::Admin => "--admin-socket",
        }
    }
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// The socket's folder, where it has to be made.
const FOLDER_MODE: u32 = 0o750;

/// A bound socket file. Dropping it removes the file, so that clients learn at once that nobody listens, and its lock.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Held as long as the socket is ours.
    _lock: LockFile,
}

impl SocketFile {
    /// Binds a stream socket at `path`. A socket file that a dead process left behind is replaced; that is decided under a lock, so of two
    /// daemons that start together only one can come to it.
    ///
    /// # Errors
    /// When another daemon serves it, something that is no socket lies there, or the system refuses.
    pub(super) fn bind(
        path: &Path,
        usage: SocketUse,
        rights: SocketRights,
    ) -> Result<(Self, UnixListener), StartError> {
        let at = |source| StartError::Socket { path: path.to_owned(), source };
        let lock = make_way(path, usage, rights)?;
        let socket = UnixSocket::new_stream().map_err(at)?;
        socket.bind(path).map_err(at)?;
        let file = Self { path: path.to_owned(), _lock: lock };
        // Nobody can connect before it listens, so nobody can before its rights are given.
        rights.give(path)?;
        let listener = socket.listen(BACKLOG).map_err(at)?;
        Ok((file, listener))
    }

    /// Binds a datagram socket at `path`, in the same way.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub(super) fn bind_datagram(
        path: &Path,
        rights: SocketRights,
    ) -> Result<(Self, UnixDatagram), StartError> {
        let at = |source| StartError::Socket { path: path.to_owned(), source };
        let lock = make_way(path, SocketUse::Datagrams, rights)?;
        let socket = UnixSocket::new_datagram().map_err(at)?;
        // It takes datagrams as soon as it is bound. The file is made with what the unbound socket allows, so until its
        // rights are given nobody but this process's user may send.
        fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(|error| at(error.into()))?;
        socket.bind(path).map_err(at)?;
        let file = Self { path: path.to_owned(), _lock: lock };
        rights.give(path)?;
        Ok((file, socket.datagram().map_err(at)?))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good. The lock is let go after it.
        drop(fs::remove_file(&self.path));
    }
}

/// Makes the folder, takes the lock, and removes what a dead process left.
fn make_way(path: &Path, usage: SocketUse, rights: SocketRights) -> Result<LockFile, StartError> {
    make_folder(path, rights)?;
    let lock_path = lock_path(path);
    let lock = LockFile::take(&lock_path).map_err(|error| match error {
        LockError::Held { owner } => {
            StartError::SocketInUse { path: path.to_owned(), flag: usage.flag(), owner }
        }
        LockError::Io(source) => StartError::Socket { path: lock_path, source },
    })?;
    remove_stale(path, usage)?;
    Ok(lock)
}

/// Makes the folders that are missing above the socket, for those who may use it.
fn make_folder(path: &Path, rights: SocketRights) -> Result<(), StartError> {
    let at = |source| StartError::Socket { path: path.to_owned(), source };
    let above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    let missing: Vec<&Path> = above.take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(at)?;
        rights.let_group_in(folder)?;
    }
    Ok(())
}

/// The lock lies beside the socket, because the socket's own file comes and goes.
fn lock_path(path: &Path) -> PathBuf {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    PathBuf::from(lock_path)
}

/// Removes what lies at `path` if it is a socket that nobody answers on.
fn remove_stale(path: &Path, usage: SocketUse) -> Result<(), StartError> {
    let at = |source| StartError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(StartError::NotASocket { path: path.to_owned(), flag: usage.flag() });
        }
        Ok(_) => {}
    }
    let living = || StartError::SocketInUse {
        path: path.to_owned(),
        flag: usage.flag(),
        owner: "another program".to_owned(),
    };
    // Nobody is reached through a stale file, whatever kind of socket it was; a living one of another kind says so.
    match UnixStream::connect(path) {
        // It answers, though it holds no lock of ours.
        Ok(_) => Err(living()),
        Err(error) if error.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()) => Err(living()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(at),
        Err(error) => Err(at(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::SocketAccess;

    fn rights(access: &SocketAccess) -> SocketRights {
        SocketRights::look_up(access).unwrap()
    }

    fn bind(path: &Path) -> Result<(SocketFile, UnixListener), StartError> {
        SocketFile::bind(path, SocketUse::Events, rights(&SocketAccess::default()))
    }

    fn bind_datagram(path: &Path) -> Result<(SocketFile, UnixDatagram), StartError> {
        SocketFile::bind_datagram(path, rights(&SocketAccess::default()))
    }

    #[tokio::test]
    async fn a_stale_socket_is_taken_over_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/sledge.sock");
        fs::create_dir(folder.path().join("run")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (file, _listener) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let refused = bind(&path).unwrap_err();
        assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
        drop(file);
        assert_eq!(
            fs::read_dir(folder.path().join("run")).unwrap().count(),
            0,
            "neither socket nor lock is left"
        );
    }

    #[tokio::test]
    async fn a_stale_datagram_socket_is_taken_over_and_a_living_one_of_any_kind_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sledge.dgram");
        let in_use = || matches!(bind(&path), Err(StartError::SocketInUse { .. }));
        let living = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let refused = bind_datagram(&path).unwrap_err();
        assert!(refused.to_string().contains("another --datagram-socket"), "{refused}");
        assert!(in_use());
        drop(living);
        let (_file, _socket) = bind_datagram(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(in_use());
    }

    #[tokio::test]
    async fn another_programs_socket_and_plain_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sledge.sock");
        let living = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(StartError::SocketInUse { .. })));
        drop(living);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(StartError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_missing_folder_is_made_for_owner_and_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/deep/sledge.sock");
        let _bound = bind(&path).unwrap();
        let mode = fs::metadata(folder.path().join("run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{mode:o}");
    }

    #[tokio::test]
    async fn the_admin_socket_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (_file, _listener) = SocketFile::bind(&path, SocketUse::Admin, SocketRights::OWN_USER).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = SocketFile::bind(&path, SocketUse::Admin, SocketRights::OWN_USER).unwrap_err();
        assert!(refused.to_string().contains("another --admin-socket"), "{refused}");
    }
}
