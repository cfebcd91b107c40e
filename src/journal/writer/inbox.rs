//! What waits for the writer. A whole group is taken at once; while the disk syncs, the next one gathers.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::look::LookOrder;
use super::restorer::Restoration;
use crate::event::Lane;
use crate::journal::appender::Append;
use crate::journal::error::AppendError;
use crate::journal::letters::{DeadLetter, LetterOrder};
use crate::journal::pending::SurveyStep;
use crate::journal::settlement::Settlement;
use crate::journal::volumes::StoredBlock;

/// What the writer is asked to do.
#[derive(Debug)]
pub(in crate::journal) enum Command {
    /// Make events durable, then answer.
    Append {
        append: Append,
        /// Its share of the intake buffer, given back when its group is taken to the disk.
        room: OwnedSemaphorePermit,
        answer: oneshot::Sender<Result<(), AppendError>>,
    },
    /// Keep events that intake refused.
    KeepRefused(Vec<DeadLetter>, OwnedSemaphorePermit),
    /// Record what became of events.
    Settle(Settlement),
    /// Hand out pending blocks.
    Read { lane: Lane, events_max: usize, bytes_max: usize, answer: oneshot::Sender<Vec<StoredBlock>> },
    /// Put events back into their lanes, make them durable, then answer.
    Restore { restoration: Restoration, answer: oneshot::Sender<Result<(), AppendError>> },
    /// Look after dead letters.
    Letters(LetterOrder),
    /// Count what was pending at the start.
    Survey(SurveyStep),
    /// Show what lies in the volumes.
    Look(LookOrder),
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Append { append, .. } => append.text_bytes(),
            Self::KeepRefused(letters, _) => letters.iter().map(|letter| letter.event.len()).sum(),
            Self::Settle(settlement) => settlement.dead.iter().map(|letter| letter.event.len()).sum(),
            Self::Letters(order) => order.bytes(),
            Self::Restore { restoration, .. } => restoration.text_bytes(),
            Self::Read { .. } | Self::Look(_) | Self::Survey(_) => 0,
        }
    }
}

/// The writer's inbox. Its bound is kept by those who put in: appends hold a share of the intake buffer, and delivery
/// waits for each answer or has few requests in flight.
#[derive(Debug, Default)]
pub(in crate::journal) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Command>,
    closed: bool,
}

/// What taking a group came to.
#[derive(Debug)]
pub(super) enum Taken {
    /// The oldest commands, at least one.
    Group(Vec<Command>),
    /// Nothing came within the time.
    Nothing,
    /// Closed, and everything was taken.
    Closed,
}

impl Inbox {
    /// Puts a command in. Hands it back when the inbox is closed.
    pub(in crate::journal) fn put(&self, command: Command) -> Result<(), Box<Command>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Box::new(command));
        }
        state.waiting.push_back(command);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for commands, for `patience` at most if given, and takes the oldest of them up to about `bytes_max` of text.
    pub(super) fn take(&self, bytes_max: usize, patience: Option<Duration>) -> Taken {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return Taken::Closed;
            }
            state = match patience {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (state, timeout) =
                        self.arrived.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() && state.waiting.is_empty() {
                        return if state.closed { Taken::Closed } else { Taken::Nothing };
                    }
                    state
                }
            };
        }
        let mut bytes = 0;
        let mut fitting = 0;
        for command in &state.waiting {
            bytes += command.bytes();
            if fitting > 0 && bytes > bytes_max {
                break;
            }
            fitting += 1;
        }
        Taken::Group(state.waiting.drain(..fitting).collect())
    }

    /// Takes no more commands; what is in is still handed out.
    pub(in crate::journal) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Takes no more commands and drops those that wait: whoever waits for their answers learns that none will come.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        let abandoned = std::mem::take(&mut state.waiting);
        drop(state);
        drop(abandoned);
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
