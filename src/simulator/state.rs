//! What arrived, in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::reading::CustomerRef;
use super::world::{Sizes, World};

/// Counts kept while requests come in.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    pub(super) by_status: BTreeMap<u16, u64>,
    pub(super) ingest_requests: u64,
    pub(super) received: u64,
    pub(super) inserted: u64,
    pub(super) duplicates: u64,
    pub(super) sizes: Sizes,
    pub(super) concurrent: u64,
    pub(super) concurrent_max: u64,
}

/// One request under `/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// When it was answered by Polar's clock, in milliseconds since 1970.
    pub at_ms: u64,
    /// Its method.
    pub method: String,
    /// Its path as it came.
    pub path: String,
    /// The status it was answered with; 0 when the connection was cut.
    pub status: u16,
    /// How many events it carried, when it was an ingest request that could be read.
    pub events: u64,
    /// How many of them were inserted, whatever was answered.
    pub inserted: u64,
    /// How many of them were there already.
    pub duplicates: u64,
    /// Whether a scripted reply was used up by it.
    pub scripted: bool,
}

/// A customer's standing on a meter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BalanceView {
    /// The customer's external id, or Polar's id when there is none.
    pub customer: String,
    /// The meter's name.
    pub meter: String,
    /// Units consumed so far.
    pub consumed_units: f64,
    /// Credits left: what was credited less what was consumed.
    pub balance: f64,
    /// Whether Polar knows the customer yet.
    pub customer_known: bool,
}

/// Everything that arrived, in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct State {
    /// Answers by status; 0 counts cut connections.
    pub requests_by_status: BTreeMap<u16, u64>,
    /// Requests to the ingest endpoint, whatever became of them.
    pub ingest_requests: u64,
    /// Events in ingest requests that could be read, refused ones included.
    pub events_received: u64,
    /// Events inserted.
    pub events_inserted: u64,
    /// Events whose `external_id` was there already.
    pub events_duplicate: u64,
    /// Events Polar has now: fewer than inserted after a restore.
    pub events_present: u64,
    /// Distinct `external_id`s that ever arrived.
    pub external_ids: u64,
    /// Those that were inserted once and are not there now: what a restore took back.
    pub external_ids_lost: u64,
    /// How often an `external_id` arrived while another request that carried it was unanswered.
    pub external_ids_in_two_requests_at_once: u64,
    /// The most requests that were unanswered at one time.
    pub concurrent_requests_max: u64,
    /// Ingest requests by the number of events in them.
    pub request_sizes: BTreeMap<usize, u64>,
    /// Events that name a parent.
    pub events_with_parent: u64,
    /// Those whose parent Polar does not have.
    pub orphans: u64,
    /// Whether it is that of a `sledge dev`.
    pub of_dev: bool,
    /// Replies that are still scripted.
    pub scripted_replies: u64,
    /// Balances, at most 1,000 of them; with more customers it is left open which.
    pub balances: Vec<BalanceView>,
    /// The latest events as they came, newest first, at most 20.
    pub latest_events: Vec<String>,
}

const BALANCES_MAX: usize = 1000;
const LATEST_MAX: usize = 20;

impl World {
    /// The state now.
    pub(super) fn state(&self) -> State {
        let tallies = &self.tallies;
        let scripted = self.script.iter().map(|scripted| u64::from(scripted.times.max(1))).sum();
        State {
            requests_by_status: tallies.by_status.clone(),
            ingest_requests: tallies.ingest_requests,
            events_received: tallies.received,
            events_inserted: tallies.inserted,
            events_duplicate: tallies.duplicates,
            events_present: self.database.present,
            external_ids: u64::try_from(self.ids.len()).unwrap_or(u64::MAX),
            external_ids_lost: u64::try_from(self.ids.lost()).unwrap_or(u64::MAX),
            external_ids_in_two_requests_at_once: self.ids.overlaps(),
            concurrent_requests_max: tallies.concurrent_max,
            request_sizes: tallies.sizes.clone(),
            events_with_parent: self.database.children,
            orphans: self.database.missing_parents.values().sum(),
            of_dev: self.settings.of_dev,
            scripted_replies: scripted,
            balances: self.balances(),
            latest_events: self
                .events
                .iter()
                .rev()
                .take(LATEST_MAX)
                .map(|event| event.text.to_string())
                .collect(),
        }
    }

    fn balances(&self) -> Vec<BalanceView> {
        let (now_us, delay_us) = (self.now_us(), self.settle_delay_us());
        let mut views: BTreeMap<(String, usize), BalanceView> = BTreeMap::new();
        for ((reference, meter), balance) in self.database.balances.iter().take(BALANCES_MAX) {
            let known = self.customer_of(reference);
            let name = match (known, reference) {
                (Some(customer), _) => {
                    customer.new.external_id.clone().unwrap_or_else(|| customer.id.to_string())
                }
                (None, CustomerRef::External(id)) => id.to_string(),
                (None, CustomerRef::Id(id)) => id.to_string(),
            };
            let meter_name = self.database.meters.get(*meter).map_or("", |meter| &meter.new.name);
            let consumed = balance.consumed(now_us, delay_us).approximately();
            let view = views.entry((name.clone(), *meter)).or_insert_with(|| BalanceView {
                customer: name,
                meter: meter_name.to_owned(),
                consumed_units: 0.0,
                balance: 0.0,
                customer_known: known.is_some(),
            });
            view.consumed_units += consumed;
            view.balance = 0.0 - view.consumed_units;
        }
        views.into_values().collect()
    }
}
