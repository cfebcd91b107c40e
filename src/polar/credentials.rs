//! The token in use, and looking whether a new one was put in its place.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::error::TokenError;
use super::token::{TOKEN_BYTES_MAX, Token};

/// How long a file is waited for by whoever must go on with everything else. A disk at work answers within this.
const FILE_PATIENCE: Duration = Duration::from_millis(500);

/// Where the token comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenSource {
    /// There is none: requests carry no `Authorization`, which only a stand-in for Polar accepts.
    #[default]
    None,
    /// Given directly; it changes only with a restart.
    Fixed(Token),
    /// A file holding the token alone, read again whenever Polar refuses what it held.
    File(PathBuf),
}

/// What a second look at the source found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChange {
    /// The same token as before.
    Same,
    /// Another token, in use from now on.
    Changed,
    /// Nothing usable; the token in use, if any, stays in use.
    Unusable(TokenError),
}

/// The token in use and its source.
#[derive(Debug)]
pub struct Credentials {
    source: TokenSource,
    token: Mutex<Option<Token>>,
    /// A look at the file that has not come back yet.
    looking: Mutex<Option<Receiver<Found>>>,
}

/// What a look at the file finds.
type Found = Result<(Token, Metadata), TokenError>;

impl Credentials {
    /// Takes the token from its source. A file that holds no token yet is no error: it is looked at again later, and told of
    /// then.
    #[must_use]
    pub fn new(source: TokenSource) -> Self {
        let credentials = Self { source, token: Mutex::new(None), looking: Mutex::new(None) };
        if let TokenSource::Fixed(token) = &credentials.source {
            credentials.replace(token.clone());
        } else {
            credentials.reread();
        }
        credentials
    }

    /// The mark of the token that is there now; `None` where none was named.
    ///
    /// # Errors
    /// Why there is none that could be used.
    pub fn mark(source: &TokenSource) -> Result<Option<u64>, TokenError> {
        Ok(Self::read(source)?.map(|token| token.mark()))
    }

    /// The token that is there now, for whoever needs it once.
    ///
    /// # Errors
    /// When a file was named and holds none.
    pub(super) fn read(source: &TokenSource) -> Result<Option<Token>, TokenError> {
        match source {
            TokenSource::None => Ok(None),
            TokenSource::Fixed(token) => Ok(Some(token.clone())),
            TokenSource::File(path) => read_token_file(path).map(|(token, _)| Some(token)),
        }
    }

    /// Where the token comes from.
    #[must_use]
    pub fn source(&self) -> &TokenSource {
        &self.source
    }

    /// The token in use.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the source again. The whole (tiny) file is read each time, so that no change hides behind the
    /// resolution of a file's time stamp. A file system that does not answer is waited for once, and only for a moment:
    /// what it says in the end is found by a later look.
    pub fn reread(&self) -> TokenChange {
        let TokenSource::File(path) = &self.source else {
            return TokenChange::Same;
        };
        match self.look_at(path) {
            Err(fault) => TokenChange::Unusable(fault),
            Ok((token, _)) if self.token().as_ref() == Some(&token) => TokenChange::Same,
            Ok((token, file)) => {
                warn_of_other_readers(path, &file);
                self.replace(token);
                TokenChange::Changed
            }
        }
    }

    fn look_at(&self, path: &Path) -> Found {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let (look, patience) = match looking.take() {
            Some(stuck) => (stuck, Duration::ZERO),
            None => (begin_to_read(path)?, FILE_PATIENCE),
        };
        match look.recv_timeout(patience) {
            Ok(found) => found,
            Err(RecvTimeoutError::Timeout) => {
                *looking = Some(look);
                Err(TokenError::Stuck { path: path.to_owned() })
            }
            Err(RecvTimeoutError::Disconnected) => Err(unreadable(path, std::io::ErrorKind::Other)),
        }
    }

    fn replace(&self, token: Token) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
    }
}

/// Reads the file on a thread of its own, which no file system can keep anything else from going on with. There is one at a
/// time, and it ends when the file system answers, or with the process.
fn begin_to_read(path: &Path) -> Result<Receiver<Found>, TokenError> {
    let (tell, found) = sync_channel(1);
    let file = path.to_owned();
    let look = thread::Builder::new().name("token file".to_owned());
    // Nobody listens any more where the client is gone.
    let begun = look.spawn(move || drop(tell.send(read_token_file(&file))));
    begun.map(|_| found).map_err(|error| unreadable(path, error.kind()))
}

fn unreadable(path: &Path, kind: std::io::ErrorKind) -> TokenError {
    TokenError::Unreadable { path: path.to_owned(), kind }
}

fn read_token_file(path: &Path) -> Found {
    let unreadable = |error: std::io::Error| unreadable(path, error.kind());
    let in_file = |fault| TokenError::InFile { path: path.to_owned(), fault: Box::new(fault) };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mut bytes = Vec::new();
    // Twice the limit leaves room for white space, and a file that is no token at all is not read to its end.
    file.take(2 * TOKEN_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| in_file(TokenError::NotAToken))?;
    let token = Token::parse(text).map_err(in_file)?;
    Ok((token, metadata))
}

fn warn_of_other_readers(path: &Path, file: &Metadata) {
    let reader = rustix::process::geteuid().as_raw();
    if let Some(change) = what_closes(file.permissions().mode(), file.uid(), reader) {
        let path = path.display();
        tracing::warn!(
            "the token file {path} can be read by other users of this machine; run: chmod {change} {path}"
        );
    }
}

/// The change of mode that a token's file of this `mode` and `owner` needs, where it shows the token to more users than
/// `reader`, who sends it. What belongs to somebody else is handed to its reader by its group, as Kubernetes hands out secrets.
#[must_use]
pub fn what_closes(mode: u32, owner: u32, reader: u32) -> Option<&'static str> {
    if owner == reader {
        return (mode & 0o044 != 0).then_some("600");
    }
    (mode & 0o004 != 0).then_some("o=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_is_picked_up_when_it_appears_and_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let credentials = Credentials::new(TokenSource::File(path.clone()));
        assert_eq!(credentials.token(), None);
        assert!(matches!(credentials.reread(), TokenChange::Unusable(TokenError::Unreadable { .. })));

        std::fs::write(&path, "first\n").unwrap();
        assert_eq!(credentials.reread(), TokenChange::Changed);
        assert_eq!(credentials.reread(), TokenChange::Same);
        std::fs::write(&path, "other\n").unwrap();
        assert_eq!(credentials.reread(), TokenChange::Changed);
        assert_eq!(credentials.token(), Some(Token::parse("other").unwrap()));
    }

    #[test]
    fn a_spoiled_token_file_leaves_the_token_in_use_and_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "good").unwrap();
        let credentials = Credentials::new(TokenSource::File(path.clone()));
        for spoiled in ["", "undefined", "two words", "\u{fffd}"] {
            std::fs::write(&path, spoiled).unwrap();
            let TokenChange::Unusable(fault) = credentials.reread() else {
                panic!("{spoiled:?} was taken for a token")
            };
            assert!(fault.to_string().contains("token file"), "{fault}");
            assert_eq!(credentials.token(), Some(Token::parse("good").unwrap()));
        }
    }

    #[test]
    fn a_file_system_that_does_not_answer_keeps_nobody_waiting_and_is_heard_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        // Opening a pipe that nobody writes to waits, as a file of a server that is gone does.
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let credentials = Credentials::new(TokenSource::File(path.clone()));
        assert_eq!(credentials.token(), None);
        let stuck = TokenChange::Unusable(TokenError::Stuck { path: path.clone() });
        let begun = std::time::Instant::now();
        for _ in 0..1_000 {
            assert_eq!(credentials.reread(), stuck);
        }
        assert!(begun.elapsed() < FILE_PATIENCE * 500, "it was waited for each time");
        std::fs::write(&path, "polar_oat_late").unwrap();
        while credentials.reread() == stuck {
            thread::yield_now();
        }
        assert_eq!(credentials.token(), Some(Token::parse("polar_oat_late").unwrap()));
    }

    #[test]
    fn only_files_that_others_may_read_are_warned_of() {
        let (sledge, root) = (65_532, 0);
        for mode in [0o100_644, 0o100_640, 0o100_604] {
            assert_eq!(what_closes(mode, sledge, sledge), Some("600"), "{mode:o}");
        }
        assert_eq!(what_closes(0o100_600, sledge, sledge), None);
        assert_eq!(what_closes(0o100_400, sledge, sledge), None);
        assert_eq!(what_closes(0o100_440, root, sledge), None, "its group hands it to its reader");
        assert_eq!(what_closes(0o100_444, root, sledge), Some("o="));
    }
}
