//! Looking at files and sockets that may never answer: a pipe, or a mount whose server is gone.

use std::time::Duration;

/// Whatever takes longer than this is as good as no answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is seen, on a thread of its own; `None` where that takes too long. The thread is left behind then.
pub(super) async fn in_time<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    within(PATIENCE, look).await
}

/// The same with a patience of the caller's.
pub(super) async fn within<T: Send + 'static>(
    patience: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::time::timeout(patience, tokio::task::spawn_blocking(look)).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_look_that_never_ends_is_left_behind() {
        let (end, ended) = mpsc::sync_channel::<()>(1);
        let look = move || ended.recv().is_ok();
        assert_eq!(within(Duration::from_millis(1), look).await, None);
        drop(end);
        assert_eq!(in_time(|| 7).await, Some(7));
    }
}
