//! Why the daemon did not start, or did not go on.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::journal::{JournalError, OpenError};

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process serves this socket.
    #[error("the socket {} is served by {owner} already; stop that one first, or give this one another {flag}", path.display())]
    SocketInUse {
        /// The socket.
        path: PathBuf,
        /// The flag that names it.
        flag: &'static str,
        /// Who has it.
        owner: String,
    },
    /// Something that is no socket lies there.
    #[error("{} is not a socket and is left alone; give another {flag}, or move it away", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
        /// The flag that names it.
        flag: &'static str,
    },
    /// The socket can't be bound.
    #[error("failed to bind the socket {}: {source}; check that its folder exists and may be written by the user sledge runs as", path.display())]
    Socket {
        /// The socket, or its lock.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The user or group a socket is to belong to is not known here.
    #[error(
        "{key} names the {kind} {name:?}, which this machine does not know; create it, or name another by name or number"
    )]
    NoSuchAccount {
        /// The setting.
        key: &'static str,
        /// `user` or `group`.
        kind: &'static str,
        /// The name as it was given.
        name: String,
        /// What the system said, when it could not even look.
        #[source]
        source: Option<std::io::Error>,
    },
    /// A socket, or the folder made for it, can't be given to its owner or group.
    #[error("failed to give {} to the socket's owner and group: {source}; without root's rights, socket_group must name a group of the user sledge runs as, and socket_owner that user", path.display())]
    SocketOwner {
        /// The socket, or a folder above it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The loopback address for events can't be bound.
    #[error("failed to listen on {address}: {source}; give another --http")]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The admin address can't be bound.
    #[error("failed to listen on the admin address {address}: {source}; {}", way_out(source, address))]
    Admin {
        /// The address.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The journal's opening panicked.
    #[error("the journal could not be opened: an unexpected fault, described above; please report it")]
    JournalPanicked,
    /// The client for Polar can't be made.
    #[error("failed to set up the connection to Polar: {0}")]
    Polar(String),
    /// Two metrics share a name.
    #[error("failed to set up the metrics: {0}; please report this")]
    Metrics(String),
}

impl StartError {
    /// Whether only another configuration helps.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::NoSuchAccount { .. } | Self::SocketOwner { .. })
    }

    /// Whether the same start may succeed later, when another process has ended.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::SocketInUse { .. } | Self::Journal(OpenError::InUse { .. } | OpenError::DiskFull { .. })
        )
    }
}

/// Why the daemon stopped by itself. What was acknowledged is on disk.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A task ended that never should.
    #[error(
        "{task} ended unexpectedly; restart sledge (everything acknowledged is on disk), and please report this"
    )]
    TaskEnded {
        /// Which.
        task: &'static str,
    },
}

/// An address that is taken is mostly another sledge's.
fn way_out(source: &std::io::Error, address: &str) -> String {
    if source.kind() == std::io::ErrorKind::AddrInUse {
        return format!(
            "another sledge may have it (`sledge status --admin {address}` tells): stop that one, or give this one an address of its own, such as --admin 127.0.0.1:0"
        );
    }
    "give another --admin".to_owned()
}
