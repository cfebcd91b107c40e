//! What the rest of the daemon may say to delivery while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// A handle on running delivery. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct DeliveryHandle {
    bell: Arc<Notify>,
    spent_elsewhere: Arc<AtomicU32>,
}

impl DeliveryHandle {
    /// Looks for a new token and tries Polar at once, whatever delivery was waiting for (but a 429).
    pub fn probe_now(&self) {
        self.bell.notify_one();
    }

    /// Counts a request that was sent to Polar by somebody else here: it comes out of the same budget.
    pub fn count_request(&self) {
        self.spent_elsewhere.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    pub(super) fn take_spent_elsewhere(&self) -> u32 {
        self.spent_elsewhere.swap(0, Ordering::Relaxed)
    }
}
