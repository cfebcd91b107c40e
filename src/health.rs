//! Readiness as a set of latches: every part of the daemon says for itself whether it can serve.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How a part is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It serves.
    Ready,
    /// It serves, but a person should look: the reason. Events are still accepted, so readiness holds.
    Degraded(String),
    /// It can't serve: the reason.
    NotReady(String),
}

/// The readiness of the whole daemon. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    latches: Arc<Mutex<BTreeMap<&'static str, State>>>,
}

/// One part's say.
#[derive(Clone, Debug)]
pub struct Latch {
    health: Health,
    part: &'static str,
}

impl Health {
    /// No parts yet: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part, not ready until it says so.
    #[must_use]
    pub fn latch(&self, part: &'static str) -> Latch {
        let latch = Latch { health: self.clone(), part };
        latch.set(State::NotReady("starting".to_owned()));
        latch
    }

    /// Whether every part can serve.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.parts().iter().any(|(_, state)| matches!(state, State::NotReady(_)))
    }

    /// Every part with its state, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, State)> {
        let latches = self.latches.lock().unwrap_or_else(PoisonError::into_inner);
        latches.iter().map(|(part, state)| (*part, state.clone())).collect()
    }
}

impl Latch {
    /// Says how the part is doing.
    pub fn set(&self, state: State) {
        self.health.latches.lock().unwrap_or_else(PoisonError::into_inner).insert(self.part, state);
    }
}
