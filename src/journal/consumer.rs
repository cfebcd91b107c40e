//! The way out of the journal: blocks oldest first, each handed out once per life, and their settlement.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::error::JournalError;
use super::format::{decode_block, read_header, source_in, u32_at};
use super::settlement::Settlement;
use super::source::Source;
use super::writer::{Command, Shared};
use crate::event::{Lane, PerLane, UnixMillis};

/// A block's name: its lane and the seq of its first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId {
    /// The row it lies in.
    pub lane: Lane,
    /// The seq of its first event.
    pub seq: u64,
}

/// A block of pending events, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    id: BlockId,
    accepted: UnixMillis,
    due: UnixMillis,
    text: Bytes,
    ends: Box<[u32]>,
    /// Four bytes for each event, as they are stored; empty for a block that was never stored.
    lengths: Bytes,
    /// Four bytes for each event: how long after `accepted` it came. Empty where all came together.
    times: Bytes,
    /// The position of the first event it holds.
    first: usize,
}

impl Block {
    /// A block of these texts, back to back, with where each ends.
    #[must_use]
    pub fn new(id: BlockId, accepted: UnixMillis, due: UnixMillis, text: Bytes, ends: Box<[u32]>) -> Self {
        Self { id, accepted, due, text, ends, lengths: Bytes::new(), times: Bytes::new(), first: 0 }
    }

    /// The same, with the lengths and times as they are stored, which tell the road and the time of each event.
    pub(super) fn with_stored(self, lengths: Bytes, times: Bytes) -> Self {
        Self { lengths, times, ..self }
    }

    /// The event at `position` alone, by the same name and at the same position, copied out so that it keeps none of the
    /// others in memory.
    #[must_use]
    pub fn excerpt(&self, position: usize) -> Self {
        let text = Bytes::copy_from_slice(self.event(position).unwrap_or_default());
        Self {
            ends: Box::new([u32::try_from(text.len()).unwrap_or(u32::MAX)]),
            text,
            lengths: Bytes::copy_from_slice(self.word(&self.lengths, position).unwrap_or_default()),
            times: Bytes::copy_from_slice(self.word(&self.times, position).unwrap_or_default()),
            first: position,
            ..*self
        }
    }

    /// Whether it is one event of a block that has others.
    #[must_use]
    pub fn is_excerpt(&self, of: usize) -> bool {
        self.len() < of
    }

    fn word<'a>(&self, words: &'a Bytes, position: usize) -> Option<&'a [u8]> {
        words.get(position.checked_sub(self.first)? * 4..)?.get(..4)
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> BlockId {
        self.id
    }

    /// When the first of its events was accepted, by our clock.
    #[must_use]
    pub fn accepted(&self) -> UnixMillis {
        self.accepted
    }

    /// When the event at `position` was accepted. A block of events that came one by one has a time for each.
    #[must_use]
    pub fn accepted_at(&self, position: usize) -> UnixMillis {
        let after = self.word(&self.times, position).map_or(0, |time| u32_at(time, 0));
        self.accepted.saturating_add(u64::from(after))
    }

    /// When the last of its events was accepted.
    #[must_use]
    pub fn accepted_last(&self) -> UnixMillis {
        self.accepted_at(self.first + self.len().saturating_sub(1))
    }

    /// The time before which it must not be sent, because a timestamp in it still lies ahead; 0 for none.
    #[must_use]
    pub fn due(&self) -> UnixMillis {
        self.due
    }

    /// How many events it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds no event (no block on disk does).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The texts together, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The texts of its events, back to back.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// By which road the event at `position` came, where it is known.
    #[must_use]
    pub fn source(&self, position: usize) -> Option<Source> {
        source_in(self.word(&self.lengths, position)?)
    }

    /// The text of the event at `position`; `None` past the end.
    #[must_use]
    pub fn event(&self, position: usize) -> Option<&[u8]> {
        let index = position.checked_sub(self.first)?;
        let end = *self.ends.get(index)? as usize;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.text.get(start..end)
    }
}

/// Delivery's handle on the journal. There is one.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    unread: watch::Receiver<PerLane<bool>>,
}

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let unread = shared.unread.subscribe();
        Self { shared, unread }
    }

    /// Hands out the next pending blocks of `lane`, oldest first, each once in this life: at least one when any is
    /// left, then as many as fit in `events_max` and `bytes_max` (text bytes). Empty when there is none. A block that
    /// is damaged on disk is left pending and reported, never skipped in silence.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn read(
        &mut self,
        lane: Lane,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Block>, JournalError> {
        let (answer, blocks) = oneshot::channel();
        self.put(Command::Read { lane, events_max, bytes_max, answer })?;
        let stored = blocks.await.map_err(|_| self.shared.failure_or_closed())?;
        let mut blocks = Vec::with_capacity(stored.len());
        for frames in &stored {
            match decode_block(frames) {
                Ok((_, block)) => blocks.push(block),
                Err(error) => {
                    let seq =
                        frames.first().and_then(|frame| read_header(frame).ok()).map(|header| header.seq);
                    tracing::error!(lane = lane.as_str(), seq, %error, "a block is damaged on disk; it stays pending and is not delivered");
                }
            }
        }
        Ok(blocks)
    }

    /// Whether `lane` has blocks that were not handed out yet, as last published.
    #[must_use]
    pub fn has_unread(&self, lane: Lane) -> bool {
        self.shared.unread.borrow()[lane]
    }

    /// Waits until some lane has unread blocks (at once when one has) or the journal closes. Cancel-safe.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn unread(&mut self) -> Result<(), JournalError> {
        let shared = Arc::clone(&self.shared);
        let woken = self
            .unread
            .wait_for(|unread| unread.grants || unread.usage || shared.failure().is_some())
            .await
            .map(|_| ());
        match (woken, self.shared.failure()) {
            (_, Some(failure)) => Err(failure),
            (Err(_), None) => Err(JournalError::Closed),
            (Ok(()), None) => Ok(()),
        }
    }

    /// Records what became of events. Returns when it is queued to the writer, in order; it is on disk with the next group.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn settle(&self, settlement: Settlement) -> Result<(), JournalError> {
        debug_assert!(settlement.balances(), "every resolved event is delivered or dead");
        self.put(Command::Settle(settlement))
    }

    fn put(&self, command: Command) -> Result<(), JournalError> {
        self.shared.inbox.put(command).map_err(|_| self.shared.failure_or_closed())
    }
}
