//! What the rest of the daemon may say to delivery while it runs.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::settings::Settings;
use crate::journal::{Attempts, BlockId};

/// A handle on running delivery. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct DeliveryHandle {
    bell: Arc<Notify>,
    elsewhere: Arc<Notify>,
    spent_elsewhere: Arc<AtomicU32>,
    new_settings: Arc<Mutex<Option<Settings>>>,
    asked: Arc<Notify>,
    questions: Arc<Mutex<Vec<Question>>>,
}

/// What was tried with a block, somebody wants to know.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) block: BlockId,
    pub(super) answer: oneshot::Sender<Attempts>,
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

    /// Asks what was tried with a block that owes an outcome. For one that delivery does not have nothing comes back.
    pub fn ask_attempts(&self, block: BlockId) -> oneshot::Receiver<Attempts> {
        let (answer, answered) = oneshot::channel();
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).push(Question { block, answer });
        self.asked.notify_one();
        answered
    }

    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    pub(super) fn take_questions(&self) -> Vec<Question> {
        std::mem::take(&mut self.questions.lock().unwrap_or_else(PoisonError::into_inner))
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
