//! SIGTERM and SIGINT: the first asks for a drain, the second leaves at once. SIGHUP asks for a reload.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::cli::voice::{Exit, Failure};

/// The signal that asks for a reload. Several that come before one is answered are one.
#[derive(Debug)]
pub(super) struct HangUps(Signal);

impl HangUps {
    /// Listens from now on; the signal ends the process no more.
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // The runtime ends, and everything with it.
            std::future::pending().await
        }
    }
}

/// The signals that ask a process to stop.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Runs what `work` makes of a shutdown signal to its end; asked a second time, it is left where it is.
    pub(super) async fn run<T, F: Future<Output = Result<T, Failure>>>(
        mut self,
        work: impl FnOnce(oneshot::Receiver<()>) -> F,
    ) -> Result<T, Failure> {
        let (stop, stopped) = oneshot::channel();
        let work = work(stopped);
        tokio::pin!(work);
        tokio::select! {
            ended = &mut work => return ended,
            () = self.next() => {}
        }
        drop(stop);
        tokio::select! {
            ended = work => ended,
            () = self.next() => {
                Err(Failure::new(Exit::Temporary, "stopped at once, as asked; what was accepted is on disk and goes out after the next start"))
            }
        }
    }
}
