//! A group: all that waited, gathered into what is written and synced together, and whom to answer then.

use std::time::Instant;

use tokio::sync::oneshot;

use super::committer::Committer;
use super::inbox::Command;
use super::look::LookOrder;
use super::restorer::Restoration;
use crate::event::{EventBuf, Lane, PerLane, UnixMillis};
use crate::journal::appender::Append;
use crate::journal::disk::Store;
use crate::journal::error::AppendError;
use crate::journal::format::{RowName, SettlementRecord};
use crate::journal::letters::{DeadLetter, LetterOrder, Origin};
use crate::journal::pending::SurveyStep;
use crate::journal::settlement::Settlement;
use crate::journal::source::Source;
use crate::journal::volumes::{BlockBuilder, Row};

/// What one group does.
pub(super) struct Group {
    pub(super) now: UnixMillis,
    pub(super) blocks: PerLane<BlockBuilder>,
    pub(super) letters: BlockBuilder,
    /// What those letters take.
    pub(super) letter_bytes: u64,
    pub(super) settlements: PerLane<Vec<SettlementRecord>>,
    /// What to enter into the book once it is durable.
    pub(super) settled: Vec<Settlement>,
    pub(super) kept: Vec<DeadLetter>,
    pub(super) appended: Vec<Waiting>,
    pub(super) restored: Vec<Restoring>,
    pub(super) reads: Vec<Command>,
    pub(super) orders: Vec<LetterOrder>,
    pub(super) survey: Vec<SurveyStep>,
    pub(super) looks: Vec<LookOrder>,
}

/// An append to be answered.
pub(super) struct Waiting {
    pub(super) append: Append,
    pub(super) answer: oneshot::Sender<Result<(), AppendError>>,
}

/// Events that come back, to be answered.
pub(super) struct Restoring {
    pub(super) restoration: Restoration,
    pub(super) answer: oneshot::Sender<Result<(), AppendError>>,
}

impl<S: Store> Committer<S> {
    /// Gathers what was asked for, and answers those for whom there is no room.
    pub(super) fn gather(&mut self, commands: Vec<Command>) -> Group {
        let now = self.clock.now();
        let builder = |row: &Row<S>, name| BlockBuilder::new(name, now, row.next_seq());
        let mut group = Group {
            now,
            blocks: PerLane {
                grants: builder(&self.lanes.grants, RowName::Grants),
                usage: builder(&self.lanes.usage, RowName::Usage),
            },
            letters: builder(&self.dead, RowName::Dead),
            letter_bytes: 0,
            settlements: PerLane::default(),
            settled: Vec::new(),
            kept: Vec::new(),
            appended: Vec::new(),
            restored: Vec::new(),
            reads: Vec::new(),
            orders: Vec::new(),
            survey: Vec::new(),
            looks: Vec::new(),
        };
        for command in commands {
            match command {
                Command::Append { append, room, answer } => {
                    self.gather_append(&mut group, Waiting { append, answer });
                    drop(room);
                }
                Command::KeepRefused(letters, room) => {
                    self.gather_refused(&mut group, letters);
                    drop(room);
                }
                Command::Settle(settlement) => gather_settlement(&mut group, settlement),
                Command::Read { .. } => group.reads.push(command),
                Command::Restore { restoration, answer } => {
                    self.gather_restored(&mut group, Restoring { restoration, answer });
                }
                Command::Letters(order) => group.orders.push(order),
                Command::Survey(step) => group.survey.push(step),
                Command::Look(order) => group.looks.push(order),
            }
        }
        group
    }

    fn gather_append(&mut self, group: &mut Group, waiting: Waiting) {
        let source = Source::Listener(waiting.append.listener);
        match self.gather_events(group, source, &waiting.append.events) {
            Ok(()) => group.appended.push(waiting),
            Err(refusal) => drop(waiting.answer.send(Err(refusal))),
        }
    }

    fn gather_restored(&mut self, group: &mut Group, restoring: Restoring) {
        let Restoration { source, events } = &restoring.restoration;
        match self.gather_events(group, Source::Restored(*source), events) {
            Ok(()) => group.restored.push(restoring),
            Err(refusal) => drop(restoring.answer.send(Err(refusal))),
        }
    }

    fn gather_events(
        &mut self,
        group: &mut Group,
        source: Source,
        events: &PerLane<EventBuf>,
    ) -> Result<(), AppendError> {
        let bytes = (events.grants.text_bytes() + events.usage.text_bytes()) as u64;
        let ahead = self.measured.bytes_since + bytes;
        for lane in Lane::ALL.into_iter().filter(|lane| !events[*lane].is_empty()) {
            let refusal = self.space.refusal(lane, self.measured.journal_bytes, self.measured.disk, ahead);
            refusal.map_or(Ok(()), |detail| Err(AppendError::Full { detail }))?;
        }
        for lane in Lane::ALL {
            group.blocks[lane].push_all(source, &events[lane]);
        }
        self.measured.bytes_since += bytes;
        Ok(())
    }

    fn gather_refused(&mut self, group: &mut Group, letters: Vec<DeadLetter>) {
        let bytes = self.ledger.accounts().dead_letter_bytes + group.letter_bytes;
        let full = self.dead_limit.refusal(bytes);
        // A journal that takes no usage has no room for what was not even accepted.
        let full = full.or_else(|| self.shared.refusal(Lane::Usage).map(|refusal| refusal.to_string()));
        if let Some(detail) = full {
            self.ledger.letters_not_kept(letters.len() as u64);
            if let Some(events) = self.dead_limit.not_kept(letters.len() as u64, Instant::now()) {
                tracing::error!(
                    events,
                    detail,
                    "there is no more room for dead letters: refused events are only counted, not kept; look at them with `sledge dead-letters list`, export and drop them, or raise dead_bytes_max"
                );
            }
            return;
        }
        for letter in letters {
            let letter = self.with_spare_id(letter);
            group.letter_bytes += push_letter(&mut group.letters, &letter);
            group.kept.push(letter);
        }
    }
}

fn gather_settlement(group: &mut Group, settlement: Settlement) {
    for letter in &settlement.dead {
        group.letter_bytes += push_letter(&mut group.letters, letter);
    }
    for block in &settlement.blocks {
        group.settlements[block.id.lane].push(SettlementRecord {
            row: RowName::from(block.id.lane),
            seq: block.id.seq,
            events: 0,
            settled_at: group.now,
            attempts: block.attempts.clone(),
            dead_positions: block.dead_positions.clone(),
        });
    }
    group.settled.push(settlement);
}

/// Adds a letter and says how many bytes it takes, written down.
pub(in crate::journal) fn push_letter(letters: &mut BlockBuilder, letter: &DeadLetter) -> u64 {
    match serde_json::to_vec(letter) {
        Ok(text) => {
            letters.push_letter(letter.origin == Origin::Intake, &text);
            text.len() as u64
        }
        Err(error) => {
            tracing::error!(%error, "a dead letter could not be written down");
            0
        }
    }
}
