//! Looking after dead letters: reading them, and taking them out once a person has decided.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::dead_letter::DeadLetter;
use super::error::JournalError;
use super::frame::decode_block;
use super::inbox::Command;
use super::shared::Shared;

/// A dead letter's number in this journal: stable for as long as it is kept, never used again.
pub type LetterNumber = u64;

/// A kept dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLetter {
    /// Its number.
    pub number: LetterNumber,
    /// What is known of it.
    pub letter: DeadLetter,
}

/// A handle on the dead letters of an open journal. Clones share it.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    shared: Arc<Shared>,
}

impl DeadLetters {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The kept letters numbered `from` and up, oldest first, `max` of them at most. A letter that is damaged on disk
    /// is reported in the log and left out.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn read(&self, from: LetterNumber, max: usize) -> Result<Vec<KeptLetter>, JournalError> {
        let (answer, blocks) = oneshot::channel();
        self.put(Command::ReadLetters { from, max, answer })?;
        let blocks = blocks.await.map_err(|_| self.shared.failure_or_closed())?;
        let mut letters = Vec::with_capacity(blocks.len());
        for stored in &blocks {
            let Ok((header, block)) = decode_block(stored) else {
                tracing::error!("a dead letter is damaged on disk and can't be shown");
                continue;
            };
            match block.event(0).map(serde_json::from_slice) {
                Some(Ok(letter)) => letters.push(KeptLetter { number: header.seq, letter }),
                Some(Err(_)) | None => {
                    tracing::error!(number = header.seq, "a dead letter can't be read");
                }
            }
        }
        Ok(letters)
    }

    fn put(&self, command: Command) -> Result<(), JournalError> {
        self.shared.inbox.put(command).map_err(|_| self.shared.failure_or_closed())
    }
}
