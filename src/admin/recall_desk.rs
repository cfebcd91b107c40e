//! Where the past is looked up, and sent again: the same desk for a daemon's own socket and for a journal opened by hand.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::journal::{
    Attempts, BlockId, EventState, Explanation, JournalError, Recall, ReplayProgress, Replayed, Span,
};

/// Delivery answers between two of its steps, so it is not waited for long.
const ATTEMPTS_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks delivery what it has tried with a block that owes an outcome. Nothing comes back for one that it does not have.
pub type AskAttempts = Arc<dyn Fn(BlockId) -> oneshot::Receiver<Attempts> + Send + Sync>;

/// Everything that can be done with the past.
#[derive(Clone)]
pub struct RecallDesk {
    recall: Recall,
    ask_attempts: Option<AskAttempts>,
}

impl fmt::Debug for RecallDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecallDesk").field("recall", &self.recall).finish_non_exhaustive()
    }
}

impl RecallDesk {
    /// A desk for this past. Nothing is known of what was tried with events that are pending.
    #[must_use]
    pub fn new(recall: Recall) -> Self {
        Self { recall, ask_attempts: None }
    }

    /// The same, beside a running delivery.
    #[must_use]
    pub fn beside_delivery(self, ask_attempts: AskAttempts) -> Self {
        Self { ask_attempts: Some(ask_attempts), ..self }
    }

    /// Everything that is known of events of this `external_id`.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn explain(&self, external_id: String) -> Result<Explanation, JournalError> {
        let mut explanation = self.recall.explain(external_id).await?;
        if let Some(ask) = &self.ask_attempts {
            for event in explanation.events.iter_mut().filter(|event| event.state == EventState::Pending) {
                let attempts = ask(BlockId { lane: event.lane, seq: event.block });
                if let Ok(Ok(attempts)) = timeout(ATTEMPTS_TIMEOUT, attempts).await {
                    event.tell_attempts(&attempts);
                }
            }
        }
        Ok(explanation)
    }

    /// Sends again what was delivered in the span, or only counts it.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn replay(&self, span: Span, dry_run: bool) -> Result<Replayed, JournalError> {
        self.recall.replay(span, dry_run).await
    }

    /// How far the replay is that goes on now; `None` when none does.
    #[must_use]
    pub fn progress(&self) -> Option<ReplayProgress> {
        self.recall.progress()
    }
}
