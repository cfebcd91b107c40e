//! Seam: replaced by `crate::daemon` once it is built.

use crate::config::Config;

#[derive(Debug, thiserror::Error)]
#[error("this build has no daemon")]
pub(super) struct StartError;

impl StartError {
    pub(super) fn is_temporary(&self) -> bool {
        false
    }
}

#[derive(Debug, thiserror::Error)]
#[error("this build has no daemon")]
pub(super) struct RunError;

#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) delivered: u64,
    pub(super) left: u64,
}

#[derive(Debug)]
pub(super) struct Daemon;

impl Daemon {
    pub(super) async fn build(_config: Config) -> Result<Self, StartError> {
        Err(StartError)
    }

    pub(super) fn admin_address(&self) -> std::io::Result<std::net::SocketAddr> {
        Err(std::io::Error::other(StartError))
    }

    pub(super) async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Stopped, RunError> {
        shutdown.await;
        Ok(Stopped { delivered: 0, left: 0 })
    }
}
