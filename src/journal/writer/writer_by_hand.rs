//! A journal whose writer is the test: it decides when, and how, appends are answered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::inbox::{Command, Taken};
use super::shared::Shared;
use crate::event::Lane;
use crate::journal::appender::{Append, Appender};
use crate::journal::error::{AppendError, JournalError};
use crate::journal::letters::DeadLetter;

/// Longer than any append takes, far shorter than a test run may hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// The intake buffer, the gates and the inbox of a journal without a disk.
#[derive(Debug)]
pub(crate) struct WriterByHand {
    shared: Arc<Shared>,
    arrived: Mutex<Arrived>,
}

#[derive(Debug, Default)]
struct Arrived {
    appends: VecDeque<HeldAppend>,
    /// As they were handed over, turn by turn.
    letters: Vec<Vec<DeadLetter>>,
}

/// An append that waits for the test's word. Dropped, it is as if the writer had died.
#[derive(Debug)]
pub(crate) struct HeldAppend {
    pub(crate) append: Append,
    room: OwnedSemaphorePermit,
    answer: oneshot::Sender<Result<(), AppendError>>,
}

impl HeldAppend {
    /// The events are on disk now.
    pub(crate) fn commit(self) {
        self.answer_with(Ok(()));
    }

    /// The events will not be.
    pub(crate) fn refuse(self, error: AppendError) {
        self.answer_with(Err(error));
    }

    fn answer_with(self, answer: Result<(), AppendError>) {
        // A sender who has gone needs no answer.
        drop(self.answer.send(answer));
        drop(self.room);
    }
}

impl WriterByHand {
    pub(crate) fn new(intake_bytes_max: usize) -> Self {
        Self { shared: Arc::new(Shared::new(intake_bytes_max)), arrived: Mutex::default() }
    }

    pub(crate) fn appender(&self) -> Appender {
        Appender::new(Arc::clone(&self.shared))
    }

    /// The next append; waits for it.
    pub(crate) async fn append(&self) -> HeldAppend {
        until_there_is("an append", || self.waiting_append()).await
    }

    /// The next append, if one waits already.
    pub(crate) fn waiting_append(&self) -> Option<HeldAppend> {
        self.with_arrived(|arrived| arrived.appends.pop_front())
    }

    /// The refused events that were handed over to be kept, at least one; waits for it.
    pub(crate) async fn letters(&self) -> Vec<DeadLetter> {
        self.letters_by_turn().await.concat()
    }

    /// As [`letters`](Self::letters), turn by turn.
    pub(crate) async fn letters_by_turn(&self) -> Vec<Vec<DeadLetter>> {
        let waiting = || Some(self.waiting_letters()).filter(|letters| !letters.is_empty());
        until_there_is("a dead letter", waiting).await
    }

    /// As [`letters_by_turn`](Self::letters_by_turn), of those that wait already.
    pub(crate) fn waiting_letters(&self) -> Vec<Vec<DeadLetter>> {
        self.with_arrived(|arrived| std::mem::take(&mut arrived.letters))
    }

    /// Fills the journal up, or makes room again.
    pub(crate) fn set_full(&self, reason: Option<&str>) {
        for lane in Lane::ALL {
            self.shared.set_gate(lane, reason.map(str::to_owned));
        }
    }

    /// The journal serves no more.
    pub(crate) fn fail(&self, error: JournalError) {
        self.shared.fail(error);
    }

    fn with_arrived<T>(&self, look: impl FnOnce(&mut Arrived) -> T) -> T {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Taken::Group(commands) = self.shared.inbox.take(usize::MAX, Some(Duration::ZERO)) {
            for command in commands {
                match command {
                    Command::Append { append, room, answer } => {
                        arrived.appends.push_back(HeldAppend { append, room, answer });
                    }
                    Command::KeepRefused(letters, _) => arrived.letters.push(letters),
                    Command::Settle(_)
                    | Command::Read { .. }
                    | Command::Restore { .. }
                    | Command::Letters(_)
                    | Command::Look(_)
                    | Command::Survey(_) => {}
                }
            }
        }
        look(&mut arrived)
    }
}

/// Looks again and again while the other tasks go on. Paused time stands still meanwhile, so the patience is real.
async fn until_there_is<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what} was waited for in vain");
        tokio::task::yield_now().await;
    }
}
