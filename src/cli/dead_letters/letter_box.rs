//! Where the dead letters are: behind the socket of a sledge that runs, or in a journal that nobody has open. Both
//! ways lead to the same desk, so both give the same answers.

use std::path::PathBuf;

use bytes::Bytes;
use hyper::Method;
use tokio::sync::watch;

use crate::admin::{Dropped, Imported, LetterDesk, Letters, Numbers};
use crate::cli::looking::{PATIENCE, Place, Unanswered, ask, not_done, post};
use crate::cli::voice::{Exit, Failure};
use crate::journal::{DeadLetter, Journal, KeptLetter, LetterNumber, LetterPage, Retried};

/// The dead letters of one sledge.
#[derive(Debug)]
pub(super) enum LetterBox {
    /// It runs, and this is its admin socket.
    Online(PathBuf),
    /// It does not; its journal is open here meanwhile.
    Offline(Box<Journal>, LetterDesk),
}

impl LetterBox {
    /// The dead letters of this sledge.
    pub(super) fn of(place: Place) -> Self {
        match place {
            Place::Online(socket) => Self::Online(socket),
            Place::Offline(journal, rules) => {
                let desk = LetterDesk::new(journal.dead_letters(), watch::channel(rules).1);
                Self::Offline(journal, desk)
            }
        }
    }

    /// Letters numbered `from` and up.
    pub(super) async fn page(&mut self, from: LetterNumber) -> Result<LetterPage, Failure> {
        const LETTERS: usize = 1_000;
        match self {
            Self::Online(socket) => {
                let path = format!("/dead-letters?from={from}&limit={LETTERS}");
                ask(socket, Method::GET, &path, Bytes::new(), PATIENCE).await.map_err(Failure::from)
            }
            Self::Offline(_, desk) => desk.page(from, LETTERS).await.map_err(|error| not_done(&error.into())),
        }
    }

    /// One letter.
    pub(super) async fn get(&mut self, number: LetterNumber) -> Result<Option<KeptLetter>, Failure> {
        match self {
            Self::Online(socket) => {
                let path = format!("/dead-letters/{number}");
                match ask(socket, Method::GET, &path, Bytes::new(), PATIENCE).await {
                    Ok(letter) => Ok(Some(letter)),
                    Err(Unanswered::NotFound) => Ok(None),
                    Err(other) => Err(other.into()),
                }
            }
            Self::Offline(_, desk) => desk.get(number).await.map_err(|error| not_done(&error.into())),
        }
    }

    /// Sends letters on their way again.
    pub(super) async fn retry(&mut self, numbers: &[LetterNumber]) -> Result<Retried, Failure> {
        match self {
            Self::Online(socket) => {
                post(socket, "/dead-letters/retry", &Numbers { numbers: numbers.to_vec() }, PATIENCE).await
            }
            Self::Offline(_, desk) => desk.retry(numbers).await.map_err(|error| not_done(&error)),
        }
    }

    /// Takes letters out for good.
    pub(super) async fn discard(&mut self, numbers: &[LetterNumber]) -> Result<Dropped, Failure> {
        match self {
            Self::Online(socket) => {
                post(socket, "/dead-letters/drop", &Numbers { numbers: numbers.to_vec() }, PATIENCE).await
            }
            Self::Offline(_, desk) => desk.discard(numbers).await.map_err(|error| not_done(&error.into())),
        }
    }

    /// Keeps letters from an export.
    pub(super) async fn import(&mut self, letters: Vec<DeadLetter>) -> Result<Imported, Failure> {
        match self {
            Self::Online(socket) => {
                post(socket, "/dead-letters/import", &Letters { letters }, PATIENCE).await
            }
            Self::Offline(_, desk) => desk.import(letters).await.map_err(|error| not_done(&error)),
        }
    }

    /// Closes the journal, where it was opened here.
    pub(super) async fn close(self) -> Result<(), Failure> {
        match self {
            Self::Online(_) => Ok(()),
            Self::Offline(journal, _) => journal.close().await.map_err(|error| Failure::of(Exit::Io, &error)),
        }
    }
}
