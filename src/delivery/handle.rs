//! What the rest of the daemon may say to delivery while it runs.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::settings::Settings;

/// A handle on running delivery. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct DeliveryHandle {
    bell: Arc<Notify>,
    elsewhere: Arc<Notify>,
    spent_elsewhere: Arc<AtomicU32>,
    new_settings: Arc<Mutex<Option<Settings>>>,
}

impl DeliveryHandle {
    /// Looks for a new token and tries Polar at once, whatever delivery was waiting for (but a 429).
    pub fn probe_now(&self) {
        self.bell.notify_one();
    }

    /// Works by these settings from the next request on, and tries Polar at once as [`probe_now`](Self::probe_now) does.
    pub fn change_settings(&self, settings: Settings) {
        *self.new_settings.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
        self.probe_now();
    }

    /// Counts a request that was sent to Polar by somebody else here: it comes out of the same budget.
    pub fn count_request(&self) {
        self.spent_elsewhere.fetch_add(1, Ordering::Relaxed);
        self.elsewhere.notify_one();
    }

    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Waits for a request that somebody else sent, so that it is spent in the minute it was sent in.
    pub(super) async fn spent_elsewhere(&self) {
        self.elsewhere.notified().await;
    }

    pub(super) fn take_new_settings(&self) -> Option<Settings> {
        self.new_settings.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn take_spent_elsewhere(&self) -> u32 {
        self.spent_elsewhere.swap(0, Ordering::Relaxed)
    }
}
