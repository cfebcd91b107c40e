//! Looking back at what was delivered, and sending it again.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use super::deputy::{Deputy, work_apart};
use super::explain::{Explanation, explain};
use super::looker::Looker;
use super::replay::{Progress, ReplayProgress, Replayed, Restore, Span, replay};
use crate::event::{EventBuf, PerLane};
use crate::journal::accounts::Restored;
use crate::journal::error::{AppendError, JournalError};
use crate::journal::writer::{Restorer, Shared};

/// Of the journal's limit so much stays free of replayed events: 1/10. Filled up further, retained volumes would have to
/// go, and with them what is to be sent again.
const ROOM_LEFT: u64 = 10;

/// A handle on the past of an open journal. Clones share it; one at a time looks back.
#[derive(Clone, Debug)]
pub struct Recall {
    shared: Arc<Shared>,
    restorer: Restorer,
    turn: Arc<Semaphore>,
    progress: Arc<Progress>,
}

impl Recall {
    pub(in crate::journal) fn new(shared: Arc<Shared>, restorer: Restorer) -> Self {
        Self { shared, restorer, turn: Arc::new(Semaphore::new(1)), progress: Arc::default() }
    }

    /// Everything that is known of events of this `external_id`. Whoever takes events in does not notice: the volumes are
    /// read on a thread of its own, of low priority. Cancel-safe.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn explain(&self, external_id: String) -> Result<Explanation, JournalError> {
        self.look_back(move |looker| explain(looker, &external_id)).await
    }

    /// Makes events that were delivered in the span pending again, oldest first, under the ids they have. Returns once
    /// they are on disk. Cut short at any moment, it can simply be done again. In a dry run it only counts. Cancelled, it
    /// stops.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn replay(&self, span: Span, dry_run: bool) -> Result<Replayed, JournalError> {
        let (restorer, progress) = (self.restorer.clone(), Arc::clone(&self.progress));
        let runtime = Handle::current();
        self.look_back(move |looker| {
            progress.begin();
            let mut restoring = Restoring { deputy: looker.deputy(), restorer, runtime };
            let replayed = replay(looker, span, dry_run, &mut restoring, &progress);
            progress.end();
            replayed
        })
        .await
    }

    /// How far the replay is that goes on now.
    #[must_use]
    pub fn progress(&self) -> Option<ReplayProgress> {
        self.progress.read()
    }

    async fn look_back<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Looker<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| JournalError::Closed)?;
        let shared = Arc::clone(&self.shared);
        let (answer, answered) = oneshot::channel();
        let attend = move || {
            let presence = shared.presence_of_a_looker();
            let is_wanted = || !answer.is_closed();
            let look = |deputy, pace| work(&Looker::new(deputy, pace, &is_wanted));
            let result = work_apart(&shared, "journal-look", look).flatten();
            drop(presence);
            drop((answer.send(result), turn));
        };
        let thread = std::thread::Builder::new().name("journal-recall".into()).spawn(attend);
        thread.map_err(|error| JournalError::NoThread { detail: error.to_string() })?;
        answered.await.map_err(|_| self.shared.failure_or_closed())?
    }
}

struct Restoring<'a> {
    deputy: &'a Deputy,
    restorer: Restorer,
    runtime: Handle,
}

impl Restore for Restoring<'_> {
    fn restore(&mut self, events: PerLane<EventBuf>) -> Result<(), AppendError> {
        let (restorer, runtime) = (self.restorer.clone(), self.runtime.clone());
        self.deputy.run(move |shared| {
            let accounts = shared.accounts.read();
            let limit = accounts.journal_limit_bytes - accounts.journal_limit_bytes / ROOM_LEFT;
            let bytes = (events.grants.text_bytes() + events.usage.text_bytes()) as u64;
            if accounts.journal_bytes.saturating_add(bytes) >= limit {
                let detail = format!(
                    "it holds {} bytes, and a replay goes up to {limit}; what is kept of the past would have to go",
                    accounts.journal_bytes
                );
                return Err(AppendError::Full { detail });
            }
            runtime.block_on(restorer.restore(Restored::Replay, events))
        })?
    }
}
