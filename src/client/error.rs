//! What can go wrong on the way to the daemon, each with what to do.

use std::io;
use std::path::PathBuf;

/// Why events could not be handed over.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No socket is there.
    #[error("no socket at {}: sledge is not running, or listens elsewhere; start it with `sledge run` (or `sledge dev`), or name its socket with --socket", path.display())]
    NoSocket {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The socket is there, but nobody listens.
    #[error("nobody answers at {}: sledge has stopped; start it with `sledge run` (or `sledge dev`)", path.display())]
    NobodyListens {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{} is {what}, and no socket; name the daemon's socket itself with --socket", path.display())]
    NotASocket {
        /// What was named.
        path: PathBuf,
        /// What that is.
        what: &'static str,
    },
    /// This user may not use the socket.
    #[error("not allowed to use {}: only its owner and the group {group} may; add this user to that group and log in again", path.display())]
    NotAllowed {
        /// The socket.
        path: PathBuf,
        /// The group's name, or its number when it has none here.
        group: String,
    },
    /// Connecting failed otherwise.
    #[error("failed to connect to {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An event must be one line of text with something in it.
    #[error("an event must be one line that is not blank")]
    NotALine,
    /// The connection ended with events unanswered: each may have been taken or not.
    #[error("the connection ended with {unanswered} unanswered; send those again with the ids they had")]
    Lost {
        /// How many events have no answer.
        unanswered: usize,
    },
    /// No answer came in time: each of these events may have been taken or not.
    #[error("no answer for {seconds} s with {unanswered} unanswered; send those again with the ids they had")]
    Silent {
        /// How many events have no answer.
        unanswered: usize,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The daemon turned the connection itself away.
    #[error("sledge turned the connection away ({code}): {message}")]
    TurnedAway {
        /// The stable code.
        code: String,
        /// What to do.
        message: String,
    },
    /// Something else than sledge is listening there.
    #[error("what listens at {} does not answer as sledge does; is --socket right?", path.display())]
    NotSledge {
        /// The socket.
        path: PathBuf,
    },
}

impl ClientError {
    /// How many events were on their way and may have been taken or not.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        match self {
            Self::Lost { unanswered } | Self::Silent { unanswered, .. } => *unanswered,
            Self::NoSocket { .. }
            | Self::NobodyListens { .. }
            | Self::NotASocket { .. }
            | Self::NotAllowed { .. }
            | Self::Connect { .. }
            | Self::NotALine
            | Self::TurnedAway { .. }
            | Self::NotSledge { .. } => 0,
        }
    }
}
