//! Looking after dead letters: reading them, sending them again, dropping them, bringing them back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::dead_letter::DeadLetter;
use super::letter_order::LetterOrder;
use super::requeue::{Requeued, RetryRefused};
use crate::clock::Clock;
use crate::event::Rules;
use crate::journal::consumer::Block;
use crate::journal::error::{AppendError, JournalError};
use crate::journal::format::{decode_block, read_header};
use crate::journal::volumes::StoredBlock;
use crate::journal::writer::{Command, Shared};

/// Texts of letters that are in memory at once for one caller.
const READ_BYTES_MAX: usize = 1 << 20;
/// Letters that the writer takes out, or shows, in one go: others wait meanwhile.
const LETTERS_AT_ONCE: usize = 1_000;

/// A dead letter's number in this journal: stable for as long as it is kept, never used again.
pub type LetterNumber = u64;

/// A kept dead letter. As JSON it is one object: `number`, and the letter's own fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLetter {
    /// Its number.
    pub number: LetterNumber,
    /// What is known of it.
    #[serde(flatten)]
    pub letter: DeadLetter,
}

/// Some of the kept letters, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterPage {
    /// The letters.
    pub letters: Vec<KeptLetter>,
    /// Where the next page begins; `None` when no letter is left.
    pub next: Option<LetterNumber>,
}

/// What became of a retry. Numbers that are not named were not come to: ask for them again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Those whose events are pending again, under the ids they had.
    pub retried: Vec<LetterNumber>,
    /// Those that can't be sent; they stay.
    pub refused: Vec<RetryRefused>,
    /// Those that are not (or no longer) there.
    pub missing: Vec<LetterNumber>,
}

/// A handle on the dead letters of an open journal. Clones share it.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    shared: Arc<Shared>,
    clock: Clock,
}

impl DeadLetters {
    pub(in crate::journal) fn new(shared: Arc<Shared>, clock: Clock) -> Self {
        Self { shared, clock }
    }

    /// The kept letters numbered `from` and up, oldest first, `max` of them at most. A letter that is damaged on disk
    /// is reported in the log and left out.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn read(&self, from: LetterNumber, max: usize) -> Result<Vec<KeptLetter>, JournalError> {
        let mut letters = Vec::new();
        let mut next = Some(from);
        while let Some(from) = next.filter(|_| letters.len() < max) {
            let page = self.page(from, max - letters.len()).await?;
            letters.extend(page.letters);
            next = page.next;
        }
        Ok(letters)
    }

    /// A page of them, of about a mebibyte at most; at least one letter if there is any.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn page(&self, from: LetterNumber, max: usize) -> Result<LetterPage, JournalError> {
        let max = max.clamp(1, LETTERS_AT_ONCE);
        let blocks =
            self.order(|answer| LetterOrder::Read { from, max, bytes_max: READ_BYTES_MAX, answer }).await?;
        let number_of = |stored: &StoredBlock| Some(read_header(stored.first()?).ok()?.seq);
        let kept = |stored: &StoredBlock| {
            Some(KeptLetter { number: number_of(stored)?, letter: decode_letter(stored)? })
        };
        let next = blocks.last().and_then(number_of).map(|last| last + 1);
        Ok(LetterPage { letters: blocks.iter().filter_map(kept).collect(), next })
    }

    /// The letter of this number; `None` when it is not there.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn get(&self, number: LetterNumber) -> Result<Option<KeptLetter>, JournalError> {
        let shown = self.show(&[number]).await?;
        Ok(shown.into_iter().flatten().next().map(|letter| KeptLetter { number, letter }))
    }

    /// Puts the events of these letters back into the lanes, under the ids they have, and takes the letters out.
    /// Returns once that is on disk. Every event is read again under `rules`; those that no longer pass stay.
    ///
    /// # Errors
    /// When the journal takes nothing now, or is closed or poisoned, before anything was done. Where it refuses later,
    /// what was done until then is answered.
    pub async fn retry(&self, numbers: &[LetterNumber], rules: &Rules) -> Result<Retried, AppendError> {
        let mut done = Retried::default();
        let mut left = numbers;
        while !left.is_empty() {
            match self.retry_some(left, rules, &mut done).await {
                Ok(come_to) => left = left.get(come_to..).unwrap_or_default(),
                Err(error) if done == Retried::default() => return Err(error),
                Err(_) => return Ok(done),
            }
        }
        Ok(done)
    }

    /// Retries the first of these, as many as are read at once, and says how many it came to.
    async fn retry_some(
        &self,
        numbers: &[LetterNumber],
        rules: &Rules,
        done: &mut Retried,
    ) -> Result<usize, AppendError> {
        let numbers = numbers.get(..LETTERS_AT_ONCE).unwrap_or(numbers);
        let shown = self.show(numbers).await?;
        let come_to = shown.len();
        let now = self.clock.now();
        let (mut letters, mut refused, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for (number, letter) in numbers.iter().zip(shown) {
            match letter.map(|letter| Requeued::of(*number, &letter, rules, now)) {
                Some(Ok(requeued)) => letters.push(requeued),
                Some(Err(refusal)) => refused.push(refusal),
                None => missing.push(*number),
            }
        }
        if !letters.is_empty() {
            let asked: Vec<LetterNumber> = letters.iter().map(|letter| letter.number).collect();
            let taken = self.order(|answer| LetterOrder::Requeue { letters, answer }).await??;
            missing.extend(asked.into_iter().filter(|number| !taken.contains(number)));
            done.retried.extend(taken);
        }
        done.refused.extend(refused);
        done.missing.extend(missing);
        Ok(come_to)
    }

    /// Takes letters out for good. Returns those that were there, once they are gone from the disk.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn discard(&self, numbers: &[LetterNumber]) -> Result<Vec<LetterNumber>, JournalError> {
        let mut gone = Vec::new();
        for numbers in numbers.chunks(LETTERS_AT_ONCE) {
            let numbers = numbers.to_vec();
            gone.extend(self.order(|answer| LetterOrder::Drop { numbers, answer }).await?);
        }
        Ok(gone)
    }

    /// Keeps letters that come from an export, under new numbers, all of them or none. Returns once they are on disk.
    ///
    /// # Errors
    /// `Full` when there is no room for more dead letters; otherwise the journal is closed or poisoned.
    pub async fn import(&self, letters: Vec<DeadLetter>) -> Result<(), AppendError> {
        self.order(|answer| LetterOrder::Import { letters, answer }).await?
    }

    /// These letters, as many as fit, at least the first.
    async fn show(&self, numbers: &[LetterNumber]) -> Result<Vec<Option<DeadLetter>>, JournalError> {
        let numbers = numbers.to_vec();
        let blocks =
            self.order(|answer| LetterOrder::Show { numbers, bytes_max: READ_BYTES_MAX, answer }).await?;
        Ok(blocks.into_iter().map(|stored| stored.as_ref().and_then(decode_letter)).collect())
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> LetterOrder,
    ) -> Result<T, JournalError> {
        let (answer, answered) = oneshot::channel();
        let put = self.shared.inbox.put(Command::Letters(order(answer)));
        put.map_err(|_| self.shared.failure_or_closed())?;
        answered.await.map_err(|_| self.shared.failure_or_closed())
    }
}

/// The letter in a stored block; a damaged one counts as not there, and is reported.
fn decode_letter(stored: &StoredBlock) -> Option<DeadLetter> {
    let (_, block) = decode_block(stored)
        .inspect_err(|error| tracing::error!(%error, "a dead letter is damaged on disk"))
        .ok()?;
    letter_in(&block)
}

/// The letter in a block of the `dead` row.
pub(in crate::journal) fn letter_in(block: &Block) -> Option<DeadLetter> {
    let letter = block.event(0).map(serde_json::from_slice);
    letter.and_then(|letter| {
        letter.inspect_err(|_| tracing::error!(number = block.id().seq, "a dead letter can't be read")).ok()
    })
}
