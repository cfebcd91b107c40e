//! The connections of one listener: each a task of its own, never more than allowed, each seen to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{self, Instant};

use super::alarm::Alarm;

/// How long accepting rests after it failed: usually there are no descriptors left, and asking again at once would
/// only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections over the limit that are still being told so. Those beyond are closed without a word.
const TURNED_AWAY_MAX: usize = 64;
/// How long a connection over the limit may take to show how it speaks.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// The open connections of a listener.
#[derive(Debug)]
pub(super) struct Connections {
    tasks: JoinSet<Served>,
    senders: usize,
    setting: &'static str,
    over_limit: Alarm,
}

/// What a connection's task was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    Sender,
    TurnedAway,
}

impl Connections {
    /// None yet. Their limit is what `setting` says.
    pub(super) fn new(setting: &'static str) -> Self {
        Self { tasks: JoinSet::new(), senders: 0, setting, over_limit: Alarm::default() }
    }

    /// Serves the connection, or has it turned away when `connections_max` are served.
    pub(super) fn take<S, A, B>(
        &mut self,
        stream: S,
        connections_max: usize,
        serve: impl FnOnce(S) -> A,
        turn_away: impl FnOnce(S) -> B,
    ) where
        A: Future<Output = ()> + Send + 'static,
        B: Future<Output = io::Result<()>> + Send + 'static,
    {
        if self.senders < connections_max {
            self.senders += 1;
            let served = serve(stream);
            self.tasks.spawn(async move {
                served.await;
                Served::Sender
            });
            return;
        }
        if let Some(refused) = self.over_limit.ring(1, Instant::now()) {
            let setting = self.setting;
            tracing::warn!(
                refused,
                connections_max,
                "connections were refused; reuse connections or raise {setting}"
            );
        }
        if self.tasks.len().saturating_sub(self.senders) < TURNED_AWAY_MAX {
            let told = turn_away(stream);
            self.tasks.spawn(async move {
                // It may have gone, or say nothing: then there is nobody to tell.
                drop(time::timeout(TURN_AWAY_TIMEOUT, told).await);
                Served::TurnedAway
            });
        }
    }

    /// Waits for one connection to end; `None` at once when none is open. Cancel-safe.
    pub(super) async fn next_end(&mut self) -> Option<()> {
        let ended = self.tasks.join_next().await?;
        self.forget(ended);
        Some(())
    }

    fn forget(&mut self, ended: Result<Served, JoinError>) {
        match ended {
            Ok(Served::Sender) => self.senders = self.senders.saturating_sub(1),
            Ok(Served::TurnedAway) => {}
            Err(error) => {
                self.senders = self.senders.saturating_sub(1);
                tracing::error!(%error, "a connection's task panicked; its sender was cut off without answers");
            }
        }
    }
}

/// A connection that is waiting to be accepted right now.
pub(super) async fn accept_waiting<T>(
    mut poll_accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> Option<T> {
    let at_once = poll_fn(|context| match poll_accept(context) {
        Poll::Ready(Ok(accepted)) => Poll::Ready(Some(accepted)),
        Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
    });
    tokio::task::unconstrained(at_once).await
}

/// Says why no connection could be accepted, and rests.
pub(super) async fn rest_after(error: io::Error) {
    tracing::error!(%error, "failed to accept a connection; if descriptors ran out, raise the limit of open files or \
                             lower connections_max");
    time::sleep(ACCEPT_PAUSE).await;
}
