//! The way back into the lanes for events that had been here before.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::inbox::Command;
use super::shared::Shared;
use crate::event::{EventBuf, PerLane};
use crate::journal::accounts::Restored;
use crate::journal::error::AppendError;

/// Events that come back: complete, as they will be sent.
#[derive(Clone, Debug)]
pub(in crate::journal) struct Restoration {
    /// Where they come from.
    pub(super) source: Restored,
    /// The events.
    pub(super) events: PerLane<EventBuf>,
}

impl Restoration {
    /// The texts of both lanes, in bytes.
    pub(super) fn text_bytes(&self) -> usize {
        self.events.grants.text_bytes() + self.events.usage.text_bytes()
    }
}

/// A handle that puts events back. Clones share it.
#[derive(Clone, Debug)]
pub struct Restorer {
    shared: Arc<Shared>,
}

impl Restorer {
    pub(in crate::journal) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Puts complete events at the end of their lanes, all of them or none. Returns once they are on disk. Whoever has
    /// many puts them in some at a time, so that new ones come in between.
    ///
    /// # Errors
    /// When the journal takes nothing now, or is closed or poisoned: then none of them may count as restored.
    pub async fn restore(&self, source: Restored, events: PerLane<EventBuf>) -> Result<(), AppendError> {
        let (answer, answered) = oneshot::channel();
        let restoration = Restoration { source, events };
        let put = self.shared.inbox.put(Command::Restore { restoration, answer });
        put.map_err(|_| self.shared.failure_or_closed())?;
        answered.await.map_err(|_| self.shared.failure_or_closed())?
    }
}
