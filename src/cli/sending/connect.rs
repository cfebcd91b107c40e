//! Finding the daemon's socket.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::cli::looking::named;
use crate::cli::voice::Failure;
use crate::client::Client;
use crate::config::{Surroundings, sockets_to_try};

/// Where the daemon listens.
#[derive(Args, Debug)]
pub(in crate::cli) struct SocketArg {
    /// The daemon's socket [default: /run/sledge/sledge.sock, or the one of this user's own daemon]
    #[arg(long, value_name = "PATH", env = "SLEDGE_SOCKET", hide_env_values = true)]
    pub(super) socket: Option<OsString>,
}

impl SocketArg {
    /// The socket that was named, or the first usual one that is there.
    pub(in crate::cli) fn path(&self) -> PathBuf {
        named(&self.socket).unwrap_or_else(|| first_there(sockets_to_try(&Surroundings::of_process())))
    }

    /// The same for a command that may be repeated in another folder.
    pub(super) fn absolute_path(&self) -> PathBuf {
        let path = self.path();
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Connects to it.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect(&self.path()).await?)
    }
}

/// The first that is there, or may be there where we can't look; failing all, the first, to be named in the error.
fn first_there(candidates: Vec<PathBuf>) -> PathBuf {
    let there = candidates.iter().find(|path| path.try_exists().unwrap_or(true)).cloned();
    there.or_else(|| candidates.into_iter().next()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_socket_that_is_there_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (missing, there) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&there, "").unwrap();
        assert_eq!(first_there(vec![missing.clone(), there.clone()]), there);
        assert_eq!(first_there(vec![missing.clone(), folder.path().join("c")]), missing);
    }
}
