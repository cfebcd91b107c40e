//! The pace of a thread beside those that can't wait: it gets the processor only when nobody else wants it, works for a
//! fraction of a millisecond at a time, and pauses in between.
//!
//! The pauses are needed all the same. Whoever wants the processor back gets it at once only where the system interrupts a
//! thread for it; and on a busy machine all that sledge does counts as one, so that a thread without a pause would use up
//! what its others have coming.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::journal::disk::only_when_idle;

/// How long is worked at a time: so long somebody else may have to wait for it.
const WORK: Duration = Duration::from_micros(200);
/// How long is paused then.
const PAUSE: Duration = Duration::from_micros(200);
/// How far a thread stands behind the others where it can't wait until nobody wants the processor.
const NICENESS: i32 = 10;

/// How a thread makes way.
#[derive(Debug)]
pub(in crate::journal) struct Pace {
    /// When the last pause ended.
    since: Cell<Instant>,
}

impl Pace {
    /// Has the calling thread make way for all others from now on, for the rest of its life.
    pub(super) fn make_way() -> Self {
        if let Err(error) = only_when_idle() {
            tracing::debug!(%error, "the system lets no thread wait until it is idle");
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                tracing::debug!(%error, "nor may one stand behind the others; it only pauses");
            }
        }
        Self { since: Cell::new(Instant::now()) }
    }

    /// Pauses if it is time to. Called after every small piece of work.
    pub(in crate::journal) fn step(&self) {
        if self.since.get().elapsed() >= WORK {
            std::thread::sleep(PAUSE);
            self.since.set(Instant::now());
        }
    }
}
