//! The handle: what tests and the control surface do to a simulator.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use super::also_refuse::AlsoRefuse;
use super::arrival::{Arrival, Arrivals, BEHIND_MAX};
use super::customer::{CustomerExists, NewCustomer};
use super::id_table::IdRecord;
use super::meter::NewMeter;
use super::number::Sum;
use super::script::Scripted;
use super::settings::{RateLimit, Settings};
use super::state::{RequestRecord, State};
use super::world::World;
use super::{listing, server};

/// A snapshot of what Polar's database held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotId(usize);

impl SnapshotId {
    /// The snapshot's number, from 0.
    #[must_use]
    pub fn number(self) -> usize {
        self.0
    }

    /// The snapshot of that number, whether it exists or not.
    #[must_use]
    pub fn from_number(number: usize) -> Self {
        Self(number)
    }
}

/// There is no such snapshot: take one first. Restoring one drops those taken after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no snapshot {0}, take one first; restoring a snapshot drops later ones")]
pub struct UnknownSnapshot(usize);

/// A change of settings; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// The rate limit in force; its window starts anew.
    pub rate_limit: Option<RateLimit>,
    /// Whether fresh tokens have a zone of their own.
    pub fresh_token_zone: Option<bool>,
    /// The accepted tokens; an empty list accepts any that starts with `polar_oat_`.
    pub accepted_tokens: Option<Vec<String>>,
    /// Known tokens without any scope.
    pub tokens_without_scope: Option<Vec<String>>,
    /// Known tokens with these scopes and no others.
    pub token_scopes: Option<BTreeMap<String, Vec<String>>>,
    /// Tokens of a second organization, which has nothing in common with this one but the address; an empty list ends it.
    pub tokens_of_another_organization: Option<Vec<String>>,
    /// The delay of balances, in milliseconds.
    pub settle_delay_ms: Option<u64>,
    /// The latency of every answer under `/v1`, in milliseconds.
    pub latency_ms: Option<u64>,
    /// How much longer an ingest request takes for each of its events, in microseconds.
    pub latency_per_event_us: Option<u64>,
    /// Whether crossed ids in unanswered requests are a deadlock.
    pub deadlocks: Option<bool>,
    /// For how long from now on every request is turned away with 429, in milliseconds; 0 ends it.
    pub block_organization_ms: Option<u64>,
    /// How far Polar's clock is ahead of ours (or, negative, behind), in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// The text of the `Date` header; an empty one follows the clock again.
    pub date: Option<String>,
    /// Whether every request under `/v1` has its connection closed before it is read.
    pub refuse_connections: Option<bool>,
    /// Rules stricter than Polar's.
    pub also_refuse: Option<Vec<AlsoRefuse>>,
}

/// Polar in memory. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Simulator {
    world: Arc<Mutex<World>>,
    inserted: watch::Sender<u64>,
    arrivals: broadcast::Sender<Arc<Arrival>>,
    neighbour: Arc<Mutex<Option<Box<Neighbour>>>>,
}

/// A second organization, and who belongs to it.
#[derive(Debug)]
struct Neighbour {
    tokens: Vec<String>,
    simulator: Simulator,
}

impl Simulator {
    /// An empty Polar.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new(settings))),
            inserted: watch::Sender::new(0),
            arrivals: broadcast::Sender::new(BEHIND_MAX),
            neighbour: Arc::default(),
        }
    }

    /// Serves HTTP/1.1 on `listener` until `shutdown` ends, then answers what is in flight and returns.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        server::serve(self, listener, shutdown).await
    }

    /// Creates a customer; events sent for its external id before now become its own.
    ///
    /// # Errors
    /// When the email or the external id is taken.
    pub fn create_customer(&self, customer: NewCustomer) -> Result<Uuid, CustomerExists> {
        self.world().create_customer(customer).map(|customer| customer.id)
    }

    /// Creates a meter. Events kept in full from before now count in it.
    pub fn create_meter(&self, meter: NewMeter) -> Uuid {
        self.world().create_meter(meter).id
    }

    /// Credits left for a customer on the first meter of that name; `None` while nothing of theirs counted.
    #[must_use]
    pub fn balance(&self, external_customer_id: &str, meter: &str) -> Option<f64> {
        self.world().credits_left(external_customer_id, meter).map(Sum::approximately)
    }

    /// Writes the replies to the next ingest requests, after those already written. Over HTTP at most 10,000 may be
    /// waiting.
    pub fn script(&self, replies: impl IntoIterator<Item = Scripted>) {
        self.world().script.extend(replies);
    }

    /// Forgets the replies still written.
    pub fn clear_script(&self) {
        self.world().script.clear();
    }

    /// Changes settings.
    pub fn change(&self, change: Change) {
        let mut world = self.world();
        let settings = &mut world.settings;
        replace(&mut settings.fresh_token_zone, change.fresh_token_zone);
        replace(&mut settings.settle_delay_ms, change.settle_delay_ms);
        replace(&mut settings.latency_ms, change.latency_ms);
        replace(&mut settings.latency_per_event_us, change.latency_per_event_us);
        replace(&mut settings.deadlocks, change.deadlocks);
        replace(&mut settings.tokens_without_scope, change.tokens_without_scope);
        replace(&mut settings.token_scopes, change.token_scopes);
        if let Some(tokens) = change.accepted_tokens {
            settings.accepted_tokens = (!tokens.is_empty()).then_some(tokens);
        }
        if let Some(limit) = change.rate_limit {
            settings.rate_limit = limit;
            world.windows = Default::default();
        }
        if let Some(block_ms) = change.block_organization_ms {
            let now_us = (world.settings.now)();
            world.windows.block(now_us.saturating_add(block_ms.saturating_mul(1000)));
        }
        replace(&mut world.clock_offset_ms, change.clock_offset_ms);
        replace(&mut world.refuse_connections, change.refuse_connections);
        replace(&mut world.also_refuse, change.also_refuse);
        if let Some(date) = change.date {
            world.date = (!date.is_empty()).then_some(date);
        }
        drop(world);
        if let Some(tokens) = change.tokens_of_another_organization {
            self.another_organization(tokens);
        }
    }

    /// Begins a second organization at the same address: whoever comes with one of these tokens deals with it, and finds
    /// nothing there of the first one. A former second one is gone.
    pub fn another_organization(&self, tokens: Vec<String>) -> Self {
        let settings = Settings { accepted_tokens: Some(tokens.clone()), ..self.world().settings.clone() };
        let other = Self::new(settings);
        let neighbour = Neighbour { tokens, simulator: other.clone() };
        *self.neighbour.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(neighbour));
        other
    }

    /// The organization that a token is of, when it is the second one.
    pub(super) fn neighbour_of(&self, token: &str) -> Option<Self> {
        let neighbour = self.neighbour.lock().unwrap_or_else(PoisonError::into_inner);
        let neighbour = neighbour.as_ref().filter(|it| it.tokens.iter().any(|known| known == token));
        neighbour.map(|neighbour| neighbour.simulator.clone())
    }

    /// What arrived, in numbers.
    #[must_use]
    pub fn state(&self) -> State {
        self.world().state()
    }

    /// The latest 10,000 requests under `/v1`, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.world().requests.iter().cloned().collect()
    }

    /// Up to `limit` of all `external_id`s that ever arrived, in order of first arrival, from `offset` on.
    #[must_use]
    pub fn external_ids(&self, offset: usize, limit: usize) -> Vec<IdRecord> {
        self.world().ids.page(offset, limit)
    }

    /// Up to `limit` of the `external_id`s that were inserted once and that a restore took back, in order of first
    /// arrival, from `offset` on.
    #[must_use]
    pub fn lost_ids(&self, offset: usize, limit: usize) -> Vec<IdRecord> {
        self.world().ids.lost_page(offset, limit)
    }

    /// What became of one `external_id`; `None` when it never arrived.
    #[must_use]
    pub fn external_id(&self, external_id: &str) -> Option<IdRecord> {
        let world = self.world();
        let place = usize::try_from(world.ids.find(external_id)?).ok()?;
        world.ids.page(place, 1).pop()
    }

    /// The events kept in full, oldest first, as they came.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        self.world().events.iter().map(|event| event.text.to_string()).collect()
    }

    /// Tells of every request under `/v1` that is answered from now on.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        Arrivals::new(self.arrivals.subscribe())
    }

    /// Waits until `events` events have been inserted since the start or the last reset. `false` when that did not
    /// happen within `timeout`.
    pub async fn wait_for_events(&self, events: u64, timeout: Duration) -> bool {
        let mut inserted = self.inserted.subscribe();
        let enough = inserted.wait_for(|inserted| *inserted >= events);
        matches!(tokio::time::timeout(timeout, enough).await, Ok(Ok(_)))
    }

    /// Keeps what Polar's database holds, in memory. Over HTTP at most 16 may be kept.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotId {
        SnapshotId(self.world().snapshot())
    }

    /// Goes back to a snapshot: events answered since are gone, and their ids are free again.
    ///
    /// # Errors
    /// When there is no such snapshot.
    pub fn restore(&self, snapshot: SnapshotId) -> Result<(), UnknownSnapshot> {
        if self.world().restore(snapshot.0) { Ok(()) } else { Err(UnknownSnapshot(snapshot.0)) }
    }

    /// Forgets everything that arrived, the database, the script and the rules; the settings stay.
    pub fn reset(&self) {
        self.world().reset();
        self.publish_inserted(0);
    }

    pub(super) fn is_watched(&self) -> bool {
        self.arrivals.receiver_count() > 0
    }

    pub(super) fn tell(&self, arrival: Arrival) {
        // Fails when the last watcher has just left: there is nobody to tell.
        drop(self.arrivals.send(Arc::new(arrival)));
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish_inserted(&self, inserted: u64) {
        self.inserted.send_replace(inserted);
    }

    pub(super) fn latest_requests(&self, limit: usize) -> Vec<RequestRecord> {
        self.world().requests.iter().rev().take(limit).cloned().collect()
    }

    pub(super) fn scripted_len(&self) -> usize {
        self.world().script.len()
    }

    pub(super) fn snapshots_len(&self) -> usize {
        self.world().snapshots.len()
    }

    pub(super) fn events_page(&self, limit: usize) -> String {
        listing::latest(&self.world(), limit)
    }
}

fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
