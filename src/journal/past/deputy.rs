//! One who asks the writer for another that must not hold it up.
//!
//! A thread that gets the processor only when nobody else wants it may be kept from it at any point, also while it holds
//! a lock. So it takes none that the writer or the listeners take: its deputy, a thread like theirs, does.

use std::sync::mpsc::{SyncSender, sync_channel};

use super::pace::Pace;
use crate::journal::error::JournalError;
use crate::journal::writer::Shared;

type Errand = Box<dyn FnOnce(&Shared) + Send>;

/// The way to the deputy.
#[derive(Debug)]
pub(in crate::journal) struct Deputy {
    errands: SyncSender<Errand>,
}

/// Has the work done on a thread of this name that makes way for all others. Meanwhile the calling one is its deputy.
///
/// # Errors
/// When the system gives no thread, or the work panics.
pub(in crate::journal) fn work_apart<T: Send>(
    shared: &Shared,
    name: &str,
    work: impl FnOnce(Deputy, Pace) -> T + Send,
) -> Result<T, JournalError> {
    let (errands, waiting) = sync_channel::<Errand>(1);
    let deputy = Deputy { errands };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let working = thread.spawn_scoped(scope, move || work(deputy, Pace::make_way()));
        let working = working.map_err(|error| JournalError::NoThread { detail: error.to_string() })?;
        // Until nobody can ask any more.
        waiting.into_iter().for_each(|errand| errand(shared));
        working.join().map_err(|_| shared.failure_or_closed())
    })
}

impl Deputy {
    /// Has something done, and waits until it is.
    ///
    /// # Errors
    /// When there is no deputy any more.
    pub(in crate::journal) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<T, JournalError> {
        let (done, is_done) = sync_channel(1);
        let errand = move |shared: &Shared| drop(done.send(work(shared)));
        self.errands.send(Box::new(errand)).map_err(|_| JournalError::Closed)?;
        is_done.recv().map_err(|_| JournalError::Closed)
    }
}
