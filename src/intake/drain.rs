//! The word to stop taking events in.

use tokio::sync::watch;

/// Hears when the drain begins: the signal turns true, or whoever could turn it is gone.
#[derive(Clone, Debug)]
pub(super) struct Drain {
    signal: watch::Receiver<bool>,
}

impl Drain {
    pub(super) fn new(signal: watch::Receiver<bool>) -> Self {
        Self { signal }
    }

    /// Whether it has begun.
    pub(super) fn has_begun(&self) -> bool {
        *self.signal.borrow() || self.signal.has_changed().is_err()
    }

    /// Waits for the drain to begin; at once when it has. Cancel-safe.
    pub(super) async fn begun(&mut self) {
        // An error means that the daemon's end of the signal is gone, which is an end as well.
        drop(self.signal.wait_for(|begun| *begun).await);
    }
}
