//! The past of one sledge: behind the socket of one that runs, or in a journal that nobody has open. Both ways lead to
//! the same desk, so both give the same answers; only what was tried so far with a pending event is known to one that
//! runs alone.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;

use super::admin_socket::{ask, not_done, post};
use super::place::Place;
use crate::admin::{ExplainAsked, RecallDesk, ReplayAsked};
use crate::cli::voice::{Exit, Failure};
use crate::journal::{Explanation, Journal, ReplayProgress, Replayed, Span};

/// All that is kept is read for an answer, beside other work.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(120);
/// A replay ends when it is through. Only a daemon that is stuck altogether takes this long.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The past of one sledge.
#[derive(Debug)]
pub(super) enum RecallBox {
    /// It runs, and this is its admin socket.
    Online(PathBuf),
    /// It does not; its journal is open here meanwhile.
    Offline(Box<Journal>, RecallDesk),
}

impl RecallBox {
    pub(super) fn of(place: Place) -> Self {
        match place {
            Place::Online(socket) => Self::Online(socket),
            Place::Offline(journal, _) => {
                let desk = RecallDesk::new(journal.recall());
                Self::Offline(journal, desk)
            }
        }
    }

    /// What is known of an event.
    pub(super) async fn explain(&self, external_id: String) -> Result<Explanation, Failure> {
        match self {
            Self::Online(socket) => {
                post(socket, "/explain", &ExplainAsked { external_id }, EXPLAIN_TIMEOUT).await
            }
            Self::Offline(_, desk) => {
                desk.explain(external_id).await.map_err(|error| not_done(&error.into()))
            }
        }
    }

    /// Sends again what was delivered in the span.
    pub(super) async fn replay(&self, span: Span, dry_run: bool) -> Result<Replayed, Failure> {
        match self {
            Self::Online(socket) => {
                post(socket, "/replay", &ReplayAsked { span, dry_run }, REPLAY_TIMEOUT).await
            }
            Self::Offline(_, desk) => {
                desk.replay(span, dry_run).await.map_err(|error| not_done(&error.into()))
            }
        }
    }

    /// How far the replay is; `None` where that is not known.
    pub(super) async fn progress(&self) -> Option<ReplayProgress> {
        match self {
            Self::Online(socket) => {
                ask(socket, Method::GET, "/replay", Default::default(), EXPLAIN_TIMEOUT).await.ok()
            }
            Self::Offline(_, desk) => desk.progress(),
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
