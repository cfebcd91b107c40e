//! Why a command could not do its work, and the exit code that says so.

use std::error::Error;
use std::io;

use super::exit::Exit;
use crate::client::ClientError;
use crate::config::Faults;
use crate::telemetry::TelemetryError;

/// A command's failure: what to tell, and how to exit.
#[derive(Debug)]
pub(in crate::cli) struct Failure {
    /// How to exit.
    pub(in crate::cli) exit: Exit,
    /// What to tell, in one or more lines.
    pub(in crate::cli) message: String,
}

impl Failure {
    pub(in crate::cli) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The error and everything that caused it, each said once: some errors quote their cause in their own words.
    pub(in crate::cli) fn of(exit: Exit, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !message.contains(&words) {
                message.push_str(": ");
                message.push_str(&words);
            }
            cause = error.source();
        }
        Self { exit, message }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::of(Exit::Configuration, &faults)
    }
}

impl From<TelemetryError> for Failure {
    fn from(error: TelemetryError) -> Self {
        let exit = match error {
            TelemetryError::Filter { .. } => Exit::Usage,
            TelemetryError::Twice(_) => Exit::Io,
        };
        // The parser's own words add nothing to ours.
        Self::new(exit, error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::of(Exit::Io, &error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match error {
            ClientError::NoSocket { .. }
            | ClientError::NobodyListens { .. }
            | ClientError::NotASocket { .. }
            | ClientError::NotAllowed { .. }
            | ClientError::Connect { .. }
            | ClientError::NotSledge { .. } => Exit::Unavailable,
            ClientError::Lost { .. } | ClientError::Silent { .. } | ClientError::TurnedAway { .. } => {
                Exit::Temporary
            }
            ClientError::NotALine => Exit::Usage,
        };
        Self::of(exit, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_whole_chain_once() {
        let source = io::Error::other("no such device");
        let failure = Failure::from(ClientError::Connect { path: "/s".into(), source });
        assert_eq!(failure.message, "failed to connect to /s: no such device");
        assert_eq!(failure.exit, Exit::Unavailable);
    }

    #[test]
    fn doubt_is_temporary_and_absence_is_unavailable() {
        let lost = Failure::from(ClientError::Lost { unanswered: 1 });
        assert_eq!(lost.exit, Exit::Temporary);
        let absent = Failure::from(ClientError::NoSocket { path: "/s".into() });
        assert_eq!(absent.exit, Exit::Unavailable);
    }
}
