//! The pace of a thread beside those that can't wait.
//!
//! At best the system gives it the processor only when nobody else wants it. Where that is not allowed it works for a
//! fraction of a millisecond at a time, behind the others in the queue, and pauses in between.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::system::only_when_idle;

/// How long is worked at a time: so long somebody else may have to wait for it.
const WORK: Duration = Duration::from_micros(200);
/// How long is paused then.
const PAUSE: Duration = Duration::from_micros(200);
/// How far the thread stands behind the others then.
const NICENESS: i32 = 10;

/// How a thread makes way.
#[derive(Debug)]
pub(super) enum Pace {
    /// The system sees to it.
    WhenIdle,
    /// It pauses by itself; this is when it last did.
    WithPauses(Cell<Instant>),
}

impl Pace {
    /// Has the calling thread make way for all others from now on, for the rest of its life.
    pub(super) fn make_way() -> Self {
        match only_when_idle() {
            Ok(()) => Self::WhenIdle,
            Err(error) => {
                tracing::debug!(%error, "looking back with pauses, for the system does not let a thread wait until it is idle");
                Self::behind_others()
            }
        }
    }

    fn behind_others() -> Self {
        if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
            tracing::debug!(%error, "looking back with the priority of everybody else");
        }
        Self::WithPauses(Cell::new(Instant::now()))
    }

    /// Pauses if it is time to. Called after every small piece of work.
    pub(super) fn step(&self) {
        match self {
            Self::WhenIdle => {}
            Self::WithPauses(since) => {
                if since.get().elapsed() >= WORK {
                    std::thread::sleep(PAUSE);
                    since.set(Instant::now());
                }
            }
        }
    }
}
