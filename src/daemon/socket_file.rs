//! A Unix socket's file: one daemon for each, taken over from a dead one, never from a living one.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tokio::net::{UnixDatagram, UnixListener};

use super::error::StartError;
use crate::lock_file::{LockError, LockFile};

/// Whoever may write to the socket can give credits away: its owner and its group, nobody else.
const SOCKET_MODE: u32 = 0o660;
/// The socket's folder, where it has to be made.
const FOLDER_MODE: u32 = 0o750;

/// The option that names the stream socket.
const SOCKET: &str = "--socket";
/// The option that names the datagram socket.
const DATAGRAM_SOCKET: &str = "--datagram-socket";

/// A bound socket file. Dropping it removes the file, so that clients learn at once that nobody listens, and its lock.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Held as long as the socket is ours.
    _lock: LockFile,
}

impl SocketFile {
    /// Binds a stream socket at `path`. A socket file that a dead process left behind is replaced; that is decided under
    /// a lock, so of two daemons that start together only one can come to it.
    ///
    /// # Errors
    /// When another daemon serves it, something that is no socket lies there, or the system refuses.
    pub(super) fn bind(path: &Path) -> Result<(Self, UnixListener), StartError> {
        Self::bind_by(path, SOCKET, UnixListener::bind)
    }

    /// Binds a datagram socket at `path`, in the same way.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub(super) fn bind_datagram(path: &Path) -> Result<(Self, UnixDatagram), StartError> {
        Self::bind_by(path, DATAGRAM_SOCKET, UnixDatagram::bind)
    }

    fn bind_by<'p, S>(
        path: &'p Path,
        option: &'static str,
        bind: impl FnOnce(&'p Path) -> io::Result<S>,
    ) -> Result<(Self, S), StartError> {
        let at = |source| StartError::Socket { path: path.to_owned(), source };
        if let Some(folder) =
            path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(at)?;
        }
        let lock_path = lock_path(path);
        let lock = LockFile::take(&lock_path).map_err(|error| match error {
            LockError::Held { owner } => StartError::SocketInUse { path: path.to_owned(), owner, option },
            LockError::Io(source) => StartError::Socket { path: lock_path, source },
        })?;
        remove_stale(path, option)?;
        let socket = bind(path).map_err(at)?;
        let file = Self { path: path.to_owned(), _lock: lock };
        fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).map_err(at)?;
        Ok((file, socket))
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

/// The lock lies beside the socket, because the socket's own file comes and goes.
fn lock_path(path: &Path) -> PathBuf {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    PathBuf::from(lock_path)
}

/// Removes what lies at `path` if it is a socket that nobody answers on.
fn remove_stale(path: &Path, option: &'static str) -> Result<(), StartError> {
    let at = |source| StartError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(StartError::NotASocket { path: path.to_owned(), option });
        }
        Ok(_) => {}
    }
    let living =
        || StartError::SocketInUse { path: path.to_owned(), owner: "another program".to_owned(), option };
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
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_taken_over_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/sledge.sock");
        fs::create_dir(folder.path().join("run")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (file, _listener) = SocketFile::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let refused = SocketFile::bind(&path).unwrap_err();
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
        let living = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let refused = SocketFile::bind_datagram(&path).unwrap_err();
        assert!(refused.to_string().contains("another --datagram-socket"), "{refused}");
        assert!(matches!(SocketFile::bind(&path), Err(StartError::SocketInUse { .. })));
        drop(living);
        let (_file, _socket) = SocketFile::bind_datagram(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(SocketFile::bind(&path), Err(StartError::SocketInUse { .. })));
    }

    #[tokio::test]
    async fn another_programs_socket_and_plain_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sledge.sock");
        let living = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(SocketFile::bind(&path), Err(StartError::SocketInUse { .. })));
        drop(living);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(SocketFile::bind(&path), Err(StartError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_missing_folder_is_made_for_owner_and_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/deep/sledge.sock");
        let _bound = SocketFile::bind(&path).unwrap();
        let mode = fs::metadata(folder.path().join("run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{mode:o}");
    }
}
