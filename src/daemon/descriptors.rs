//! File descriptors for as many connections as may be, and for the journal beside them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::health::{Latch, State};

/// What is taken where the system lets a process have it: much more than is needed by default.
const WANTED: u64 = 4_096;

/// The descriptors of this process, and whether they are enough.
#[derive(Debug)]
pub(super) struct Descriptors {
    latch: Latch,
}

impl Descriptors {
    /// Takes them for the first time.
    pub(super) fn taken_for(config: &Config, latch: Latch) -> Self {
        let descriptors = Self { latch };
        descriptors.take_for(config);
        descriptors
    }

    /// Takes as many as these settings may need, as far as the system lets it. Where it does not, says so: accepting rests
    /// when there are none left, and the journal may be what finds none.
    pub(super) fn take_for(&self, config: &Config) {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = config.descriptors_needed().max(WANTED);
        let wanted = maximum.map_or(wanted, |maximum| maximum.min(wanted));
        if current.is_some_and(|current| current < wanted) {
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).ok();
        }
        let taken = getrlimit(Resource::Nofile).current;
        self.latch.set(match taken.and_then(|taken| config.too_few_descriptors(taken)) {
            None => State::Ready,
            Some(reason) => {
                tracing::warn!("{reason}");
                State::Degraded(reason)
            }
        });
    }
}
