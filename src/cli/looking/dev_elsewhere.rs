//! A `sledge dev` that runs, while a command looks for sledge somewhere else: the line that it printed was not pasted here.

use std::path::Path;

use tokio::net::UnixStream;

use crate::cli::serving::DEV_SOCKET;
use crate::cli::voice::{Exit, Failure};

/// The failure to find a sledge, with where one was started to try things out. Only one of this user's at its usual place is
/// known of.
pub(in crate::cli) async fn or_dev(failure: Failure) -> Failure {
    or_dev_at(Path::new(DEV_SOCKET), failure).await
}

async fn or_dev_at(socket: &Path, mut failure: Failure) -> Failure {
    if failure.exit == Exit::Unavailable && UnixStream::connect(socket).await.is_ok() {
        failure.message.push_str(&format!(
            "\na `sledge dev` answers at {}: if that is meant, paste the line here that begins with export in its terminal",
            socket.display()
        ));
    }
    failure
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn only_a_dev_that_answers_is_told_of_and_only_where_no_sledge_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("dev.sock");
        let unfound = || Failure::new(Exit::Unavailable, "no socket");
        assert_eq!(or_dev_at(&socket, unfound()).await.message, "no socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let told = or_dev_at(&socket, unfound()).await;
        assert_eq!(told.exit, Exit::Unavailable);
        assert!(told.message.starts_with("no socket\na `sledge dev` answers at "), "{}", told.message);
        let refused = Failure::new(Exit::Temporary, "the journal is full");
        assert_eq!(or_dev_at(&socket, refused).await.message, "the journal is full");
        drop(listener);
        assert_eq!(or_dev_at(&socket, unfound()).await.message, "no socket");
    }
}
