//! Stopping in the order of the flow: what was read is finished, what can be delivered is, the journal closes, and whoever
//! looks in is answered to the end.

use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout_at;

use super::error::RunError;
use super::tasks::{Task, Tasks};
use crate::journal::{Journal, JournalError};

/// What a stop left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Events that Polar confirmed in this life.
    pub delivered: u64,
    /// Events that are still owed: safe in the journal, sent after the next start.
    pub left: u64,
}

/// How a task ended, where it has something to say.
pub(super) type TaskEnd = Result<(), JournalError>;

/// How the drain is told to each side.
#[derive(Debug)]
pub(super) struct DrainSignals {
    pub(super) listeners: watch::Sender<bool>,
    /// Who hears it.
    pub(super) listening: Vec<Task>,
    pub(super) delivery: oneshot::Sender<Duration>,
    pub(super) admin: watch::Sender<bool>,
}

/// Stops everything, within this time and two seconds more.
///
/// # Errors
/// When the journal had failed, or fails now.
pub(super) async fn drain(
    journal: Journal,
    mut tasks: Tasks<TaskEnd>,
    signals: DrainSignals,
    drain_deadline: Duration,
) -> Result<Stopped, RunError> {
    let accounts = journal.accounts();
    let deadline = tokio::time::Instant::now() + drain_deadline;
    signals.listeners.send_replace(true);
    if timeout_at(deadline, tasks.end_of_all(&signals.listening)).await.is_err() {
        tracing::warn!("some connections did not end in time and are cut; what they were told is on disk is");
    }
    let left = deadline.saturating_duration_since(tokio::time::Instant::now());
    if signals.delivery.send(left).is_err() {
        tracing::error!("delivery had ended before it was told to");
    }
    // A little longer than delivery was given, so that it can settle what it was answered last.
    let delivery = timeout_at(deadline + Duration::from_secs(1), tasks.end_of(Task::Delivery)).await;
    if let Ok(Some(Err(error))) = delivery {
        tracing::error!(%error, "delivery stopped early");
    }
    journal.close().await?;
    signals.admin.send_replace(true);
    let admin_deadline = deadline + Duration::from_secs(2);
    drop(timeout_at(admin_deadline, tasks.end_of_all(&[Task::Admin, Task::Letters])).await);
    let accounts = accounts.read();
    Ok(Stopped { delivered: accounts.delivered_total(), left: accounts.pending_total() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::journal::Settings;
    use crate::metrics::Metrics;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// The default deadline had passed before such a stop was over.
    #[tokio::test]
    async fn delivery_that_ends_before_its_turn_does_not_hold_up_a_stop_to_its_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::in_folder(folder.path().join("journal"));
        let journal = Journal::open(&settings, Clock::system(), Metrics::new().unwrap()).unwrap();
        let mut tasks = Tasks::new();
        let (listeners, mut stop_listening) = watch::channel(false);
        let (delivery, delivery_drain) = oneshot::channel();
        let admin = watch::Sender::new(false);
        let (failing, has_failed) = oneshot::channel();
        tasks.start(Task::Delivery, async move {
            // It hears of the stop too early, as it does of a journal that fails meanwhile.
            drop(delivery_drain);
            assert!(failing.send(()).is_ok());
            Err(JournalError::Closed)
        });
        tasks.start(Task::Listener, async move {
            drop(has_failed.await);
            drop(stop_listening.wait_for(|stop| *stop).await);
            Ok(())
        });
        for door in [Task::Admin, Task::Letters] {
            let mut stop = admin.subscribe();
            tasks.start(door, async move {
                drop(stop.wait_for(|stop| *stop).await);
                Ok(())
            });
        }
        let signals = DrainSignals { listeners, listening: vec![Task::Listener], delivery, admin };
        let stopped = tokio::time::timeout(PATIENCE, drain(journal, tasks, signals, 60 * PATIENCE)).await;
        let stopped = stopped.expect("the stop waited for delivery, which had ended").unwrap();
        assert_eq!(stopped, Stopped { delivered: 0, left: 0 });
    }
}
