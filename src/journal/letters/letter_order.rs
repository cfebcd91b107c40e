//! What the writer does with dead letters. Each order is carried out by itself, after the group it came with.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::dead_letter::{DeadLetter, Origin};
use super::dead_letters::LetterNumber;
use super::requeue::Requeued;
use crate::event::{Lane, PerLane};
use crate::journal::Restored;
use crate::journal::disk::{Store, StoreError};
use crate::journal::error::AppendError;
use crate::journal::format::{BlockEntry, RowName, SettlementRecord};
use crate::journal::source::Source;
use crate::journal::volumes::{BlockBuilder, StoredBlock};
use crate::journal::writer::{Committer, push_letter};

/// What the writer is asked to do with dead letters. Whoever orders waits for the answer before ordering more.
#[derive(Debug)]
pub(in crate::journal) enum LetterOrder {
    /// Show them from this number on: at least one if there is any, then as many as fit.
    Read { from: LetterNumber, max: usize, bytes_max: usize, answer: oneshot::Sender<Vec<StoredBlock>> },
    /// Show these, in order, as many as fit, at least the first; `None` for one that is not there.
    Show { numbers: Vec<LetterNumber>, bytes_max: usize, answer: oneshot::Sender<Vec<Option<StoredBlock>>> },
    /// Put their events back into the lanes. The answer names those that were still there.
    Requeue { letters: Vec<Requeued>, answer: oneshot::Sender<Result<Vec<LetterNumber>, AppendError>> },
    /// Take them out for good. The answer names those that were still there.
    Drop { numbers: Vec<LetterNumber>, answer: oneshot::Sender<Vec<LetterNumber>> },
    /// Keep these, from an export.
    Import { letters: Vec<DeadLetter>, answer: oneshot::Sender<Result<(), AppendError>> },
}

impl LetterOrder {
    /// The texts it brings.
    pub(in crate::journal) fn bytes(&self) -> usize {
        match self {
            Self::Requeue { letters, .. } => letters.iter().map(|letter| letter.events.text_bytes()).sum(),
            Self::Import { letters, .. } => letters.iter().map(|letter| letter.event.len()).sum(),
            Self::Read { .. } | Self::Show { .. } | Self::Drop { .. } => 0,
        }
    }
}

impl<S: Store> Committer<S> {
    /// Carries an order out and answers it. Nobody may listen any more: what was done stays done.
    ///
    /// # Errors
    /// When the store fails; the journal must stop then.
    pub(in crate::journal) fn carry_out(&mut self, order: LetterOrder) -> Result<(), StoreError> {
        match order {
            LetterOrder::Read { from, max, bytes_max, answer } => {
                drop(answer.send(self.dead.peek(from, max, bytes_max)?));
            }
            LetterOrder::Show { numbers, bytes_max, answer } => {
                drop(answer.send(self.show_letters(&numbers, bytes_max)?));
            }
            LetterOrder::Requeue { letters, answer } => drop(answer.send(self.requeue(&letters)?)),
            LetterOrder::Drop { numbers, answer } => drop(answer.send(self.drop_letters(&numbers)?)),
            LetterOrder::Import { letters, answer } => drop(answer.send(self.import(letters)?)),
        }
        Ok(())
    }

    fn show_letters(
        &mut self,
        numbers: &[LetterNumber],
        bytes_max: usize,
    ) -> Result<Vec<Option<StoredBlock>>, StoreError> {
        let (mut shown, mut bytes) = (Vec::new(), 0);
        for number in numbers {
            let block = self.dead.show(*number)?;
            bytes += block.iter().flatten().map(Vec::len).sum::<usize>();
            shown.push(block);
            if bytes > bytes_max {
                break;
            }
        }
        Ok(shown)
    }

    /// The way of a dead letter, in reverse: durable in its lane first, then settled in the `dead` row. A crash in
    /// between leaves it in both, and a later retry goes by the same id.
    fn requeue(
        &mut self,
        letters: &[Requeued],
    ) -> Result<Result<Vec<LetterNumber>, AppendError>, StoreError> {
        let lanes = Lane::ALL.into_iter().filter(|lane| letters.iter().any(|letter| letter.lane == *lane));
        if let Some(refusal) = lanes.into_iter().find_map(|lane| self.shared.refusal(lane)) {
            return Ok(Err(refusal));
        }
        let claimed = self.claim(letters.iter().map(|letter| letter.number))?;
        let taken: BTreeSet<LetterNumber> = claimed.iter().map(|entry| entry.seq).collect();
        let mut left = taken.clone();
        let letters: Vec<&Requeued> = letters.iter().filter(|letter| left.remove(&letter.number)).collect();
        let now = self.clock.now();
        let mut builders = PerLane {
            grants: BlockBuilder::new(RowName::Grants, now, self.lanes.grants.next_seq()),
            usage: BlockBuilder::new(RowName::Usage, now, self.lanes.usage.next_seq()),
        };
        let source = Source::Restored(Restored::Requeue);
        letters.iter().for_each(|letter| builders[letter.lane].push_all(source, &letter.events));
        let PerLane { grants, usage } = builders;
        for (lane, builder) in [(Lane::Grants, grants), (Lane::Usage, usage)] {
            let blocks = builder.finish();
            if !blocks.is_empty() {
                self.lanes[lane].write(&blocks, Vec::new())?;
                self.lanes[lane].sync_tail()?;
            }
        }
        self.settle_letters(&claimed)?;
        for letter in letters {
            let bytes = letter.events.text_bytes() as u64;
            self.measured.bytes_since += bytes;
            self.ledger.restored(Restored::Requeue, letter.lane, letter.events.len() as u64, bytes);
            if let Some(units) = &self.units {
                units.added(&letter.events);
            }
        }
        self.publish();
        Ok(Ok(taken.into_iter().collect()))
    }

    fn drop_letters(&mut self, numbers: &[LetterNumber]) -> Result<Vec<LetterNumber>, StoreError> {
        let claimed = self.claim(numbers.iter().copied())?;
        self.settle_letters(&claimed)?;
        self.publish();
        Ok(claimed.iter().map(|entry| entry.seq).collect())
    }

    fn import(&mut self, letters: Vec<DeadLetter>) -> Result<Result<(), AppendError>, StoreError> {
        let bytes = self.ledger.accounts().dead_letter_bytes;
        let full = self.dead_limit.refusal(bytes).map(|detail| AppendError::Full { detail });
        if let Some(refusal) = full.or_else(|| self.shared.refusal(Lane::Grants)) {
            return Ok(Err(refusal));
        }
        let now = self.clock.now();
        let mut builder = BlockBuilder::new(RowName::Dead, now, self.dead.next_seq());
        let letters: Vec<DeadLetter> = letters.into_iter().map(|letter| self.with_spare_id(letter)).collect();
        let bytes = letters.iter().map(|letter| push_letter(&mut builder, letter)).sum();
        let blocks = builder.finish();
        if !blocks.is_empty() {
            self.dead.write(&blocks, Vec::new())?;
            self.dead.sync_tail()?;
        }
        self.ledger.letters_kept(&letters);
        self.ledger.letter_bytes_kept(bytes);
        self.publish();
        Ok(Ok(()))
    }

    /// Fixes the id that a letter without one is retried under, unless that was done before.
    pub(in crate::journal) fn with_spare_id(&mut self, mut letter: DeadLetter) -> DeadLetter {
        if letter.spare_id.is_none() && !has_id(&letter) {
            letter.spare_id = Some(self.ids.next(self.clock.now()).as_str().to_owned());
        }
        letter
    }

    /// Those of the letters that are there, each once, ready to be settled.
    fn claim(&mut self, numbers: impl Iterator<Item = LetterNumber>) -> Result<Vec<BlockEntry>, StoreError> {
        let numbers: BTreeSet<LetterNumber> = numbers.collect();
        let mut claimed = Vec::with_capacity(numbers.len());
        for number in numbers {
            claimed.extend(self.dead.claim(number)?);
        }
        Ok(claimed)
    }

    /// Settles letters, durably: whoever is told that a letter is gone will not see it again.
    fn settle_letters(&mut self, claimed: &[BlockEntry]) -> Result<(), StoreError> {
        let settled_at = self.clock.now();
        let record = |entry: &BlockEntry| SettlementRecord::unsent(RowName::Dead, entry.seq, settled_at);
        self.dead.write(&[], claimed.iter().map(record).collect())?;
        self.dead.sync()?;
        for entry in claimed {
            let origin = if entry.from_intake { Origin::Intake } else { Origin::Delivery };
            self.ledger.letters_gone(origin, 1, u64::from(entry.text_bytes));
        }
        Ok(())
    }
}

/// Whether the event has an `external_id`, as far as its text can be read.
fn has_id(letter: &DeadLetter) -> bool {
    #[derive(serde::Deserialize)]
    struct Identified {
        #[serde(default)]
        external_id: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_str::<Identified>(&letter.event).is_ok_and(|event| event.external_id.is_some())
}
