//! Looking back at what was delivered, and sending it again.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use super::accounts::Restored;
use super::error::{AppendError, JournalError};
use super::explain::{Explanation, explain};
use super::looker::Looker;
use super::replay::{Progress, ReplayProgress, Replayed, Restore, Span, replay};
use super::restorer::Restorer;
use super::shared::Shared;
use super::system::trim_memory;
use crate::event::{EventBuf, PerLane};

/// Of the journal's limit so much stays free of replayed events: 1/10. Filled up further, retained volumes would have to
/// go, and with them what is to be sent again.
const ROOM_LEFT: u64 = 10;

/// How far the thread that looks back stands behind the others.
const NICENESS: i32 = 10;

/// A handle on the past of an open journal. Clones share it; one at a time looks back.
#[derive(Clone, Debug)]
pub struct Recall {
    shared: Arc<Shared>,
    restorer: Restorer,
    turn: Arc<Semaphore>,
    progress: Arc<Progress>,
}

impl Recall {
    pub(super) fn new(shared: Arc<Shared>, restorer: Restorer) -> Self {
        Self { shared, restorer, turn: Arc::new(Semaphore::new(1)), progress: Arc::default() }
    }

    /// Everything that is known of events of this `external_id`. Whoever takes events in does not notice: the volumes are
    /// read on a thread of its own, of low priority. Cancel-safe.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn explain(&self, external_id: String) -> Result<Explanation, JournalError> {
        self.look_back(move |looker, is_wanted| explain(looker, &external_id, is_wanted)).await
    }

    /// Makes events that were delivered in the span pending again, oldest first, under the ids they have. Returns once
    /// they are on disk. Cut short at any moment, it can simply be done again. In a dry run it only counts. Cancelled, it
    /// stops.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn replay(&self, span: Span, dry_run: bool) -> Result<Replayed, JournalError> {
        let (shared, restorer, progress) =
            (Arc::clone(&self.shared), self.restorer.clone(), Arc::clone(&self.progress));
        let runtime = Handle::current();
        self.look_back(move |looker, is_wanted| {
            progress.begin();
            let mut restoring = Restoring { shared, restorer, runtime, is_wanted };
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
        work: impl FnOnce(&Looker, &dyn Fn() -> bool) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| JournalError::Closed)?;
        let looker = Looker::new(Arc::clone(&self.shared));
        let (answer, answered) = oneshot::channel();
        let looking = move || {
            make_way_for_others();
            let result = work(&looker, &|| !answer.is_closed());
            drop(looker);
            trim_memory();
            drop((answer.send(result), turn));
        };
        let thread = std::thread::Builder::new().name("journal-recall".into()).spawn(looking);
        thread.map_err(|error| JournalError::NoThread { detail: error.to_string() })?;
        answered.await.map_err(|_| self.shared.failure_or_closed())?
    }
}

/// The thread that looks back takes the processor only when nobody else wants it.
fn make_way_for_others() {
    // Lower still, and it might hold up others while it holds the writer's inbox for a moment.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "looking back with the priority of everybody else");
    }
}

struct Restoring<'a> {
    shared: Arc<Shared>,
    restorer: Restorer,
    runtime: Handle,
    is_wanted: &'a dyn Fn() -> bool,
}

impl Restore for Restoring<'_> {
    fn restore(&mut self, events: PerLane<EventBuf>) -> Result<(), AppendError> {
        let accounts = self.shared.accounts.read();
        let limit = accounts.journal_limit_bytes - accounts.journal_limit_bytes / ROOM_LEFT;
        let bytes = (events.grants.text_bytes() + events.usage.text_bytes()) as u64;
        if accounts.journal_bytes.saturating_add(bytes) >= limit {
            let detail = format!(
                "it holds {} bytes, and a replay goes up to {limit}; what is kept of the past would have to go",
                accounts.journal_bytes
            );
            return Err(AppendError::Full { detail });
        }
        self.runtime.block_on(self.restorer.restore(Restored::Replay, events))
    }

    fn is_wanted(&self) -> bool {
        (self.is_wanted)()
    }
}
