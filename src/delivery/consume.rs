//! What delivery needs of the journal, so that its loop can be tested without a disk.

use std::future::Future;

use crate::event::Lane;
use crate::journal::{Block, Consumer, JournalError, Settlement};

/// The way out of the journal.
pub trait Consume: Send {
    /// Hands out the next pending blocks of `lane`, oldest first, each once in this life.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    fn read(
        &mut self,
        lane: Lane,
        events_max: usize,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<Block>, JournalError>> + Send;

    /// Whether `lane` has blocks that were not handed out yet.
    fn has_unread(&self, lane: Lane) -> bool;

    /// Waits until some lane has unread blocks. Cancel-safe.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    fn unread(&mut self) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Records what became of events.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    fn settle(&mut self, settlement: Settlement) -> impl Future<Output = Result<(), JournalError>> + Send;
}

impl Consume for Consumer {
    async fn read(
        &mut self,
        lane: Lane,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Block>, JournalError> {
        Self::read(self, lane, events_max, bytes_max).await
    }

    fn has_unread(&self, lane: Lane) -> bool {
        Self::has_unread(self, lane)
    }

    async fn unread(&mut self) -> Result<(), JournalError> {
        Self::unread(self).await
    }

    async fn settle(&mut self, settlement: Settlement) -> Result<(), JournalError> {
        Self::settle(self, settlement).await
    }
}
