//! A `sledge dev` that runs, while a command looks for sledge somewhere else: the line that it printed was not pasted here.

use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::cli::serving::DEV_SOCKET;
use crate::cli::voice::{Exit, Failure};

/// What to say of a `sledge dev` that runs. Only one of this user's, at its usual place, is known of.
pub(super) fn dev_elsewhere() -> Option<String> {
    at(Path::new(DEV_SOCKET))
}

/// The failure of a command that found no sledge, or no Polar that it may speak to, with where a `dev` is.
pub(in crate::cli) fn or_dev(failure: Failure) -> Failure {
    with(failure, dev_elsewhere)
}

fn with(mut failure: Failure, dev: impl FnOnce() -> Option<String>) -> Failure {
    match failure.exit {
        Exit::Unavailable | Exit::Configuration => {
            failure.message.extend(dev().map(|told| format!("\n{told}")));
            failure
        }
        Exit::Ok | Exit::Finding | Exit::Usage | Exit::Io | Exit::Temporary => failure,
    }
}

fn at(socket: &Path) -> Option<String> {
    UnixStream::connect(socket).ok()?;
    let socket = socket.display();
    Some(format!(
        "a `sledge dev` answers at {socket}: if that is meant, paste the line here that begins with export in its terminal"
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_a_dev_that_answers_is_told_of_and_only_where_no_sledge_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("dev.sock");
        let told = |exit| with(Failure::new(exit, "no socket"), || at(&socket)).message;
        assert_eq!(told(Exit::Unavailable), "no socket");
        let listener = UnixListener::bind(&socket).unwrap();
        for exit in [Exit::Unavailable, Exit::Configuration] {
            assert!(told(exit).starts_with("no socket\na `sledge dev` answers at "), "{exit:?}");
        }
        assert_eq!(told(Exit::Temporary), "no socket");
        drop(listener);
        assert_eq!(told(Exit::Unavailable), "no socket", "its file alone is none");
    }
}
