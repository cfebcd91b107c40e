//! A journal in a folder of its own, a simulator on a port of its own, and delivery between them.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sledge::clock::Clock;
use sledge::delivery::{Delivery, Drained, Settings};
use sledge::event::{EventBuf, Lane, PerLane};
use sledge::health::{Health, State};
use sledge::journal::{Accounts, Append, Journal};
use sledge::metrics::{Listener, Metrics};
use sledge::polar::{BaseUrl, PolarClient, TokenSource};
use sledge::simulator::Simulator;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) struct House {
    pub(crate) simulator: Simulator,
    pub(crate) settings: Settings,
    base_url: BaseUrl,
    request_timeout: Duration,
    folder: TempDir,
    health: Health,
    journal: tokio::sync::Mutex<Journal>,
    was_run: AtomicBool,
    _server: JoinSet<()>,
}

/// The text of an event with this id.
pub(crate) fn event(id: &str) -> String {
    format!(
        r#"{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}","timestamp":"2026-08-01T12:00:00Z","metadata":{{"units":1}}}}"#
    )
}

/// The texts of events numbered like this.
pub(crate) fn names(prefix: &str, numbers: Range<usize>) -> Vec<String> {
    numbers.map(|number| event(&format!("{prefix}-{number}"))).collect()
}

impl House {
    pub(crate) async fn new() -> Self {
        let clock = Clock::system();
        let polars_clock = clock.clone();
        let simulator =
            Simulator::new(sledge::simulator::Settings::new(move || polars_clock.now() * 1_000 + 999));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = BaseUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let mut server = JoinSet::new();
        let serving = simulator.clone();
        server.spawn(async move { serving.serve(listener, std::future::pending()).await.unwrap() });

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "polar_oat_old\n").unwrap();
        let in_folder = sledge::journal::Settings::in_folder(folder.path().join("journal"));
        let journal_settings = sledge::journal::Settings { low_water_bytes: Some(1), ..in_folder };
        let journal = Journal::open(&journal_settings, clock, Metrics::new().unwrap()).unwrap();
        Self {
            simulator,
            settings: Settings::for_environment(base_url.environment()),
            base_url,
            request_timeout: Duration::from_secs(60),
            folder,
            health: Health::new(),
            journal: tokio::sync::Mutex::new(journal),
            was_run: AtomicBool::new(false),
            _server: server,
        }
    }

    /// Sends events to this address from now on, and waits so long for an answer.
    pub(crate) fn send_to(&mut self, url: &str, request_timeout: Duration) {
        (self.base_url, self.request_timeout) = (BaseUrl::parse(url).unwrap(), request_timeout);
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Appends events, in many appends as applications would, and waits until they are on disk.
    pub(crate) async fn append(&self, lane: Lane, texts: Vec<String>) {
        let appender = self.journal.lock().await.appender();
        let mut receipts = Vec::new();
        for texts in texts.chunks(100) {
            let mut events = PerLane::<EventBuf>::default();
            for text in texts {
                events[lane].push(text.as_bytes(), 0);
            }
            let append = Append { listener: Listener::Http, events };
            receipts.push(appender.append(append).await.unwrap());
        }
        for receipt in receipts {
            receipt.committed().await.unwrap();
        }
    }

    /// Appends one good event after the other, as a service does, until so many others are dead letters: how many there
    /// were. It does not wait for a moment in which nothing is owed: on a slow machine there may be none.
    pub(crate) async fn trickle_until_dead(&self, dead: u64, prefix: &str, pace: Duration) -> u64 {
        let accounts = self.journal.lock().await.accounts();
        let mut events = 0;
        while accounts.read().dead_lettered_total() < dead {
            self.append(Lane::Usage, names(prefix, events..events + 1)).await;
            events += 1;
            tokio::time::sleep(pace).await;
        }
        events as u64
    }

    /// Delivers until Polar has inserted so many events, then drains.
    pub(crate) async fn deliver_until(&self, inserted: u64, within: Duration) -> (Drained, Accounts) {
        self.deliver(async {
            assert!(self.simulator.wait_for_events(inserted, within).await, "{:?}", self.simulator.state());
        })
        .await
    }

    /// Delivers until nothing is pending.
    pub(crate) async fn deliver_until_settled(&self, within: Duration) -> (Drained, Accounts) {
        let accounts = self.journal.lock().await.accounts();
        let deadline = Instant::now() + within;
        self.deliver(async {
            while accounts.read().pending_total() > 0 {
                assert!(Instant::now() < deadline, "{:?}", accounts.read());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    async fn deliver(&self, until: impl Future<Output = ()> + Send) -> (Drained, Accounts) {
        assert!(!self.was_run.swap(true, Ordering::Relaxed), "a consumer is taken once");
        let consumer = self.journal.lock().await.take_consumer().unwrap();
        let mut polar_settings =
            sledge::polar::Settings::new(self.base_url.clone(), TokenSource::File(self.token_file()));
        polar_settings.request_timeout = self.request_timeout;
        let polar = PolarClient::new(&polar_settings).unwrap();
        let delivery = Delivery::new(
            self.settings.clone(),
            consumer,
            Arc::new(polar),
            Clock::system(),
            Metrics::new().unwrap(),
            self.health.latch("delivery"),
        );
        let begun = Instant::now();
        let drained = Box::pin(delivery.run(async {
            until.await;
            Duration::from_secs(10)
        }))
        .await
        .unwrap();
        let took = begun.elapsed();
        // Settlements are queued to the writer; they are in the accounts with its next group.
        let accounts = self.journal.lock().await.accounts();
        while accounts.read().pending_total() > 0 && begun.elapsed() < took + Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (drained, accounts.read())
    }

    /// Waits until Polar has answered 500 to an event alone.
    pub(crate) async fn wait_until_refused_alone(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.simulator.requests().iter().any(|request| request.events == 1 && request.status == 500) {
            assert!(Instant::now() < deadline, "{:?}", self.simulator.state());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until readiness tells a reason that contains `words`.
    pub(crate) async fn wait_until_degraded(&self, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let parts = self.health.parts();
            let is_told = |state: &State| matches!(state, State::Degraded(reason) if reason.contains(words));
            if parts.iter().any(|(_, state)| is_told(state)) {
                return;
            }
            assert!(Instant::now() < deadline, "{parts:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
