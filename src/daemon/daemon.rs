//! Assembly: opens and binds everything, starts every task, watches over them, and drains them in the order of the flow.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::error::{RunError, StartError};
use super::socket_file::SocketFile;
use super::tasks::{Task, Tasks};
use crate::admin::{Admin, ListenerStatus, View};
use crate::clock::Clock;
use crate::config::Config;
use crate::delivery::{self, Delivery, DeliveryHandle};
use crate::health::{Health, Latch, State};
use crate::intake::{Admission, StreamListener};
use crate::journal::{AccountsReader, Journal};
use crate::metrics::Metrics;
use crate::polar::PolarClient;

/// A daemon that has everything it needs: what can fail at the start has been done.
#[derive(Debug)]
pub struct Daemon {
    journal: Journal,
    listener: StreamListener,
    socket_file: SocketFile,
    delivery: Delivery,
    delivery_handle: DeliveryHandle,
    admin: Admin,
    admin_listener: TcpListener,
    listening: Latch,
    draining: Latch,
    drain_deadline: Duration,
}

/// What a stop left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Events that Polar confirmed in this life.
    pub delivered: u64,
    /// Events that are still owed: safe in the journal, sent after the next start.
    pub left: u64,
}

impl Daemon {
    /// Binds the sockets and opens the journal.
    ///
    /// # Errors
    /// The first thing that is not to be had; nothing is left behind.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let started = Instant::now();
        let clock = Clock::system();
        let metrics = Metrics::new().map_err(|error| StartError::Metrics(error.to_string()))?;
        let health = Health::new();
        let journal_latch = health.latch("journal");
        let listening = health.latch("listener");

        let (socket_file, socket) = SocketFile::bind(&config.socket)?;
        let admin_at = |source| StartError::Admin { address: config.admin.address.clone(), source };
        let admin_listener = TcpListener::bind(&config.admin.address).await.map_err(admin_at)?;
        let client = PolarClient::new(&config.polar).map_err(|error| StartError::Polar(error.to_string()))?;
        let mut journal = open_journal(&config, &clock, &metrics).await?;
        journal_latch.set(State::Ready);

        let delivery = Delivery::new();
        let view = View {
            accounts: journal.accounts(),
            metrics: metrics.clone(),
            health: health.clone(),
            listeners: vec![ListenerStatus::unix(&config.socket)],
            polar: config.polar.base_url.to_string(),
            started,
            now: Arc::new({
                let clock = clock.clone();
                move || clock.now()
            }),
        };
        todo!()
    }
}
