//! The socket that events come in by.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::finding::{Code, Finding};
use super::socket_rights::{Rights, User};

/// Who answers at the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// Somebody.
    Somebody,
    /// Nobody, though its file is there.
    Nobody,
    /// Its file is not there.
    NotThere,
    /// That can't be told: why.
    NotKnown(String),
}

/// What is seen of the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SocketSeen {
    path: PathBuf,
    pub(super) answers: Answers,
    /// The user in question, and what lies on its way.
    user: Option<(User, Result<Vec<Rights>, String>)>,
}

impl SocketSeen {
    pub(super) fn look(path: &Path, user: Option<User>) -> Self {
        let answers = match UnixStream::connect(path) {
            Ok(_) => Answers::Somebody,
            Err(error) if error.kind() == ErrorKind::NotFound => Answers::NotThere,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Answers::Nobody,
            Err(error) => Answers::NotKnown(format!("{}: {error}", path.display())),
        };
        let user = user.map(|user| (user, Rights::on_the_way_to(path)));
        Self { path: path.to_owned(), answers, user }
    }

    /// Why the user's way can't be judged, where it was asked for.
    pub(super) fn way_not_seen(&self) -> Option<&str> {
        self.user.as_ref().and_then(|(_, way)| way.as_ref().err()).map(String::as_str)
    }
}

/// `is_served` says whether a daemon runs that listens there.
pub(super) fn judge(seen: &SocketSeen, is_served: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = seen.path.display();
    if seen.answers == Answers::NotThere && is_served {
        let found = format!("a daemon listens at {path}, and nothing is there any more");
        let fix = "restart sledge, and see what removes files from that folder (systemd-tmpfiles, a cleaning job, a second mount)";
        findings.push(Finding::new(Code::SocketMissing, found, fix));
    }
    if seen.answers == Answers::Nobody {
        let found = format!("{path} is there, and nobody answers");
        findings.push(Finding::new(
            Code::SocketStale,
            found,
            "start sledge; where it ended by itself, see why in its log (`journalctl -u sledge`)",
        ));
    }
    if let Some((user, Ok(way))) = &seen.user
        && let Some(stop) = user.stopped_by(way)
    {
        let uid = user.uid;
        let found = format!("user {uid} is stopped by {}", stop.in_words());
        let fix = format!(
            "put user {uid} into the group of the socket and its folder and log in anew, or give the socket that group (socket_group); two containers need the same group number"
        );
        findings.push(Finding::new(Code::SocketNotAllowed, found, fix));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nobody_answers_at_is_stale_and_a_missing_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sledge.sock");
        assert!(judge(&SocketSeen::look(&path, None), false).is_empty());
        assert_eq!(judge(&SocketSeen::look(&path, None), true)[0].code, Code::SocketMissing);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(judge(&SocketSeen::look(&path, None), false).is_empty());
        drop(listener);
        assert_eq!(judge(&SocketSeen::look(&path, None), false)[0].code, Code::SocketStale);
    }
}
