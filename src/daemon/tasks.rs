//! Every long task of the process: who it is, and what its end means.

use std::future::Future;

use tokio::task::JoinSet;

/// A long task. None of them ends before it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Takes events in by the Unix stream socket.
    Listener,
    /// Takes events in by the Unix datagram socket.
    DatagramListener,
    /// Takes events in by the loopback address.
    LoopbackListener,
    /// Sends them to Polar.
    Delivery,
    /// Answers on the admin address.
    Admin,
    /// Looks after dead letters on the admin socket.
    Letters,
}

impl Task {
    /// Its name in logs and errors.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "the socket listener",
            Self::DatagramListener => "the datagram listener",
            Self::LoopbackListener => "the loopback listener",
            Self::Delivery => "delivery",
            Self::Admin => "the admin server",
            Self::Letters => "the admin socket",
        }
    }
}

/// A task's end.
#[derive(Debug)]
pub(super) struct Ended<T> {
    /// Which.
    pub(super) task: Task,
    /// What it brought; `None` when it panicked.
    pub(super) outcome: Option<T>,
}

/// The running tasks. Dropping it stops them all at once.
#[derive(Debug)]
pub(super) struct Tasks<T> {
    running: JoinSet<(Task, T)>,
    /// Those that were not seen to end.
    ids: Vec<(tokio::task::Id, Task)>,
}

impl<T: Send + 'static> Tasks<T> {
    pub(super) fn new() -> Self {
        Self { running: JoinSet::new(), ids: Vec::new() }
    }

    /// Starts a task.
    pub(super) fn start(&mut self, task: Task, work: impl Future<Output = T> + Send + 'static) {
        let handle = self.running.spawn(async move { (task, work.await) });
        self.ids.push((handle.id(), task));
    }

    /// Waits for the next task to end; for ever when none runs. Cancel-safe.
    pub(super) async fn next_end(&mut self) -> Ended<T> {
        match self.running.join_next_with_id().await {
            Some(Ok((id, (task, outcome)))) => {
                self.forget(id);
                Ended { task, outcome: Some(outcome) }
            }
            Some(Err(error)) => {
                let task = self.forget(error.id()).unwrap_or(Task::Listener);
                tracing::error!(%error, task = task.as_str(), "a task panicked");
                Ended { task, outcome: None }
            }
            None => std::future::pending().await,
        }
    }

    /// It runs no longer.
    fn forget(&mut self, id: tokio::task::Id) -> Option<Task> {
        let at = self.ids.iter().position(|(known, _)| *known == id)?;
        Some(self.ids.swap_remove(at).1)
    }

    /// Waits for these to end, in any order.
    pub(super) async fn end_of_all(&mut self, tasks: &[Task]) {
        let mut left = tasks.to_vec();
        while !left.is_empty() {
            let ended = self.next_end().await;
            if !left.contains(&ended.task) {
                tracing::error!(
                    task = ended.task.as_str(),
                    "a task ended out of turn while sledge was stopping"
                );
            }
            left.retain(|task| *task != ended.task);
        }
    }

    /// Waits for `task` to end; not for one that ended out of turn, and whose end was seen before.
    pub(super) async fn end_of(&mut self, task: Task) -> Option<T> {
        loop {
            if !self.ids.iter().any(|(_, running)| *running == task) {
                return None;
            }
            let ended = self.next_end().await;
            if ended.task == task {
                return ended.outcome;
            }
            tracing::error!(task = ended.task.as_str(), "a task ended out of turn while sledge was stopping");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_drain_does_not_wait_for_a_task_that_ended_out_of_turn() {
        let mut tasks = Tasks::new();
        let (ending, ended) = oneshot::channel();
        tasks.start(Task::Delivery, async move { ending.send(()).is_ok() });
        tasks.start(Task::Listener, async move { ended.await.is_ok() });
        tasks.end_of_all(&[Task::Listener]).await;
        let outcome = tokio::time::timeout(Duration::from_secs(60), tasks.end_of(Task::Delivery)).await;
        assert_eq!(outcome, Ok(None), "it had ended before the listener did");
    }
}
