//! Everything delivery needs around it, in memory.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::fake_polar::FakePolar;
use super::memory_journal::MemoryJournal;
use crate::clock::Clock;
use crate::delivery::{Delivery, Drained, Settings};
use crate::event::{Lane, UnixMillis};
use crate::health::{Health, State};
use crate::journal::JournalError;
use crate::metrics::Metrics;
use crate::polar::Environment;

/// The wall clock's time when a test begins.
pub(super) const NOON: UnixMillis = 1_800_000_000_000;
/// Longer than any test may take, in its own time.
const DAYS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

#[derive(Debug)]
pub(super) struct House {
    pub(super) polar: Arc<FakePolar>,
    pub(super) journal: MemoryJournal,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
    pub(super) settings: Settings,
    pub(super) begun: Instant,
    wall: Arc<AtomicU64>,
    steady: Arc<AtomicU64>,
    /// How far a person has set the machine's clock, in milliseconds.
    pub(super) set_by: AtomicI64,
    pub(super) clock: Clock,
}

impl House {
    pub(super) fn with(polar: FakePolar) -> Self {
        let (wall, steady) = (Arc::new(AtomicU64::new(NOON)), Arc::new(AtomicU64::new(0)));
        Self {
            polar: Arc::new(polar),
            journal: MemoryJournal::default(),
            metrics: Metrics::new().unwrap(),
            health: Health::new(),
            settings: Settings::for_environment(Environment::Custom),
            begun: Instant::now(),
            clock: Clock::by_hands(Arc::clone(&wall), Arc::clone(&steady)),
            wall,
            steady,
            set_by: AtomicI64::new(0),
        }
    }

    pub(super) fn delivery(&self, seed: u64) -> Delivery<MemoryJournal, FakePolar> {
        let mut delivery = Delivery::new(
            self.settings.clone(),
            self.journal.clone(),
            Arc::clone(&self.polar),
            self.clock.clone(),
            self.metrics.clone(),
            self.health.latch("delivery"),
        );
        delivery.rng = fastrand::Rng::with_seed(seed);
        delivery
    }

    /// Runs delivery while `story` happens; when the story ends, delivery drains for as long as the story says.
    pub(super) async fn run(&self, story: impl Future<Output = Duration> + Send) -> Drained {
        self.run_seeded(1, story).await.unwrap()
    }

    pub(super) async fn run_seeded(
        &self,
        seed: u64,
        story: impl Future<Output = Duration> + Send,
    ) -> Result<Drained, JournalError> {
        let run = Box::pin(self.delivery(seed).run(story));
        let wall_clock = async {
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let elapsed = u64::try_from(self.begun.elapsed().as_millis()).unwrap();
                self.steady.store(elapsed, Ordering::Relaxed);
                let set_by = self.set_by.load(Ordering::Relaxed);
                self.wall.store((NOON + elapsed).saturating_add_signed(set_by), Ordering::Relaxed);
            }
        };
        tokio::select! {
            drained = tokio::time::timeout(DAYS, run) => drained.expect("delivery ends"),
            () = wall_clock => unreachable!("a clock does not end"),
        }
    }

    /// Runs delivery until nothing is owed.
    pub(super) async fn run_until_settled(&self) -> Drained {
        self.run(async {
            self.journal.pending_at_most(0).await;
            Duration::from_secs(1)
        })
        .await
    }

    /// Appends one good event after the other, as a service does, until nothing is owed.
    pub(super) async fn settled_beside_a_trickle(&self, pace: Duration) {
        while self.journal.with(|books| books.pending) > 0 {
            self.journal.append_many(Lane::Usage, NOON, 1, 1);
            after(pace).await;
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.health.parts().into_iter().find_map(|(_, state)| match state {
            State::Degraded(reason) | State::NotReady(reason) => Some(reason),
            State::Ready => None,
        })
    }

    pub(super) fn is_held(&self, reason: &str) -> bool {
        let families = self.metrics.registry().gather();
        let held = families.iter().find(|family| family.name() == "sledge_held").unwrap();
        let mut samples = held.get_metric().iter();
        let sample = samples.find(|sample| sample.get_label()[0].value() == reason).unwrap();
        sample.get_gauge().get_value() > 0.0
    }

    /// Every event that Polar has, sorted.
    pub(super) fn inserted(&self) -> Vec<String> {
        let mut inserted: Vec<String> = self.polar.with(|world| world.inserted.iter().cloned().collect());
        inserted.sort_unstable();
        inserted
    }
}

/// A moment of the story.
pub(super) async fn after(duration: Duration) {
    tokio::time::sleep(duration).await;
}
