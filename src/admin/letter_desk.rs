//! Where dead letters are looked after: the same desk for a daemon's own socket and for a journal opened by hand.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::event::Rules;
use crate::journal::{
    AppendError, DeadLetter, DeadLetters, JournalError, KeptLetter, LetterNumber, LetterPage, Retried,
};

/// Everything that can be done with dead letters.
#[derive(Clone, Debug)]
pub struct LetterDesk {
    letters: DeadLetters,
    rules: watch::Receiver<Rules>,
}

/// Letters that are meant, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The numbers.
    pub numbers: Vec<LetterNumber>,
}

/// Letters that come from an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letters {
    /// The letters; a `number` beside their own fields is passed over.
    pub letters: Vec<DeadLetter>,
}

/// What became of a drop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Those that are gone now.
    pub dropped: Vec<LetterNumber>,
    /// Those that were not there.
    pub missing: Vec<LetterNumber>,
}

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// How many letters are kept again, under new numbers.
    pub imported: u64,
}

impl LetterDesk {
    /// A desk for these letters. What is retried is checked under `rules` as they are then.
    #[must_use]
    pub fn new(letters: DeadLetters, rules: watch::Receiver<Rules>) -> Self {
        Self { letters, rules }
    }

    /// Letters numbered `from` and up, `max` or about a mebibyte of them at most.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn page(&self, from: LetterNumber, max: usize) -> Result<LetterPage, JournalError> {
        self.letters.page(from, max).await
    }

    /// One letter; `None` when it is not there.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn get(&self, number: LetterNumber) -> Result<Option<KeptLetter>, JournalError> {
        self.letters.get(number).await
    }

    /// Sends letters on their way to Polar again.
    ///
    /// # Errors
    /// When the journal takes nothing now.
    pub async fn retry(&self, numbers: &[LetterNumber]) -> Result<Retried, AppendError> {
        let rules = self.rules.borrow().clone();
        self.letters.retry(numbers, &rules).await
    }

    /// Takes letters out for good.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub async fn discard(&self, numbers: &[LetterNumber]) -> Result<Dropped, JournalError> {
        let dropped = self.letters.discard(numbers).await?;
        let gone: std::collections::BTreeSet<LetterNumber> = dropped.iter().copied().collect();
        let missing = numbers.iter().copied().filter(|number| !gone.contains(number)).collect();
        Ok(Dropped { dropped, missing })
    }

    /// Keeps letters from an export, all or none.
    ///
    /// # Errors
    /// When there is no room for them, or the journal is closed or poisoned.
    pub async fn import(&self, letters: Vec<DeadLetter>) -> Result<Imported, AppendError> {
        let imported = letters.len() as u64;
        self.letters.import(letters).await?;
        Ok(Imported { imported })
    }
}
