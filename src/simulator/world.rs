//! Everything the simulator remembers, under one lock.

use std::collections::{BTreeMap, HashMap, VecDeque};

use uuid::{Builder, Uuid};

use super::also_refuse::AlsoRefuse;
use super::balance::Balance;
use super::customer::{Customer, CustomerExists, NewCustomer};
use super::deadlock::OpenTransactions;
use super::id_table::IdTable;
use super::meter::{Meter, Metered, NewMeter};
use super::number::Sum;
use super::rate::Windows;
use super::reading::CustomerRef;
use super::script::Scripted;
use super::settings::Settings;
use super::state::{RequestRecord, Tallies};

/// An event in full.
#[derive(Clone, Debug)]
pub(super) struct KeptEvent {
    /// Its place among all events ever inserted, from 1.
    pub(super) seq: u64,
    pub(super) commit: u32,
    pub(super) timestamp_us: i64,
    pub(super) text: Box<str>,
}

/// What Polar's database holds: what a snapshot keeps and a restore brings back.
#[derive(Clone, Debug, Default)]
pub(super) struct Database {
    pub(super) customers: Vec<Customer>,
    pub(super) meters: Vec<Meter>,
    pub(super) balances: HashMap<(CustomerRef<'static>, usize), Balance>,
    /// Events it holds.
    pub(super) present: u64,
    /// Events with a parent.
    pub(super) children: u64,
    /// Parents that are named but not there, and by how many events.
    pub(super) missing_parents: HashMap<String, u64>,
}

/// A database at a moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) commit: u32,
    database: Database,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) clock_offset_ms: i64,
    pub(super) date: Option<String>,
    pub(super) refuse_connections: bool,
    pub(super) also_refuse: Vec<AlsoRefuse>,
    pub(super) script: VecDeque<Scripted>,
    pub(super) windows: Windows,
    pub(super) organization_id: Uuid,
    pub(super) ids: IdTable,
    pub(super) commits: u32,
    pub(super) database: Database,
    pub(super) events: VecDeque<KeptEvent>,
    pub(super) seq: u64,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) open_transactions: OpenTransactions,
    pub(super) tallies: Tallies,
    pub(super) requests: VecDeque<RequestRecord>,
}

/// Requests remembered one by one.
const REQUESTS_KEPT_MAX: usize = 10_000;

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            clock_offset_ms: 0,
            date: None,
            refuse_connections: false,
            also_refuse: Vec::new(),
            script: VecDeque::new(),
            windows: Windows::default(),
            organization_id: new_id(),
            ids: IdTable::default(),
            commits: 0,
            database: Database::default(),
            events: VecDeque::new(),
            seq: 0,
            snapshots: Vec::new(),
            open_transactions: OpenTransactions::default(),
            tallies: Tallies::default(),
            requests: VecDeque::new(),
        }
    }

    /// Polar's time of day, microseconds since 1970.
    pub(super) fn now_us(&self) -> u64 {
        (self.settings.now)().saturating_add_signed(self.clock_offset_ms.saturating_mul(1000))
    }

    pub(super) fn settle_delay_us(&self) -> u64 {
        self.settings.settle_delay_ms.saturating_mul(1000)
    }

    /// The reply written beforehand for the ingest request that is being answered.
    pub(super) fn next_scripted(&mut self) -> Option<Scripted> {
        let next = self.script.front_mut()?;
        let scripted = next.clone();
        if next.times <= 1 {
            self.script.pop_front();
        } else {
            next.times -= 1;
        }
        Some(scripted)
    }

    pub(super) fn note_request(&mut self, record: RequestRecord) {
        *self.tallies.by_status.entry(record.status).or_default() += 1;
        if self.requests.len() >= REQUESTS_KEPT_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(record);
    }

    /// Creates a customer; events sent for its external id before now become its own.
    pub(super) fn create_customer(&mut self, new: NewCustomer) -> Result<Customer, CustomerExists> {
        let clash = |old: &&Customer| {
            old.new.email.eq_ignore_ascii_case(&new.email)
                || (new.external_id.is_some() && old.new.external_id == new.external_id)
        };
        if let Some(old) = self.database.customers.iter().find(clash) {
            let same_email = old.new.email.eq_ignore_ascii_case(&new.email);
            return Err(CustomerExists { field: if same_email { "email" } else { "external_id" } });
        }
        let (now_us, delay_us) = (self.now_us(), self.settle_delay_us());
        let customer = Customer { id: new_id(), created_us: now_us, new };
        if let Some(id) = customer.new.external_id.clone() {
            let reference = CustomerRef::External(id.into());
            for meter in 0..self.database.meters.len() {
                if let Some(balance) = self.database.balances.get_mut(&(reference.clone(), meter)) {
                    balance.is_attributed(now_us, delay_us);
                }
            }
        }
        self.database.customers.push(customer.clone());
        Ok(customer)
    }

    /// Creates a meter and counts the kept events into it.
    pub(super) fn create_meter(&mut self, new: NewMeter) -> Meter {
        let now_us = self.now_us();
        let meter = Meter { id: new_id(), created_us: now_us, new };
        let index = self.database.meters.len();
        self.database.meters.push(meter.clone());
        for event in &self.events {
            let Some(view) = super::listing::EventView::of(&event.text) else { continue };
            let seen = Metered { name: &view.name, customer: &view.customer, metadata: view.metadata };
            if let Some(units) = meter.measure(seen) {
                let key = (view.customer.clone().into_owned(), index);
                self.database.balances.entry(key).or_default().add(units, now_us, 0);
            }
        }
        meter
    }

    /// The customer an event belongs to, when Polar has one.
    pub(super) fn customer_of(&self, reference: &CustomerRef<'_>) -> Option<&Customer> {
        self.database.customers.iter().find(|customer| match reference {
            CustomerRef::Id(id) => customer.id == *id,
            CustomerRef::External(id) => customer.new.external_id.as_deref() == Some(id),
        })
    }

    /// The credits a customer, known to Polar or not, has left on the first meter of that name.
    pub(super) fn credits_left(&self, external_id: &str, meter: &str) -> Option<Sum> {
        let meter = self.database.meters.iter().position(|known| known.new.name == meter)?;
        let reference = CustomerRef::External(external_id.to_owned().into());
        let consumed = match self.customer_of(&reference) {
            Some(customer) => self.consumed(customer, meter)?,
            None => {
                let balance = self.database.balances.get(&(reference, meter))?;
                balance.consumed(self.now_us(), self.settle_delay_us())
            }
        };
        Some(consumed.negated())
    }

    /// What a customer consumed on a meter; `None` when nothing of theirs ever counted on it.
    pub(super) fn consumed(&self, customer: &Customer, meter: usize) -> Option<Sum> {
        let (now_us, delay_us) = (self.now_us(), self.settle_delay_us());
        let mut keys = vec![CustomerRef::Id(customer.id)];
        keys.extend(customer.new.external_id.clone().map(|id| CustomerRef::External(id.into())));
        let mut sum: Option<Sum> = None;
        for key in keys {
            if let Some(balance) = self.database.balances.get(&(key, meter)) {
                sum.get_or_insert_default().add(balance.consumed(now_us, delay_us));
            }
        }
        sum
    }

    /// Keeps the database as it is, to come back to it.
    pub(super) fn snapshot(&mut self) -> usize {
        self.snapshots.push(Snapshot { commit: self.commits, database: self.database.clone() });
        self.snapshots.len() - 1
    }

    /// Goes back to a snapshot; later snapshots are gone. `false` when there is none of that number.
    pub(super) fn restore(&mut self, snapshot: usize) -> bool {
        let Some(found) = self.snapshots.get(snapshot) else { return false };
        let commit = found.commit;
        self.database = found.database.clone();
        self.snapshots.truncate(snapshot + 1);
        self.ids.restore(commit);
        self.events.retain(|event| event.commit <= commit);
        true
    }

    /// Forgets everything that arrived and everything that was scripted; the settings stay.
    pub(super) fn reset(&mut self) {
        let fresh = Self::new(self.settings.clone());
        let kept = std::mem::replace(self, fresh);
        self.organization_id = kept.organization_id;
        self.tallies.concurrent = kept.tallies.concurrent;
    }
}

/// A random UUID of version 4, as Polar gives its objects.
pub(super) fn new_id() -> Uuid {
    Builder::from_random_bytes(fastrand::u128(..).to_le_bytes()).into_uuid()
}

/// Sizes of requests, and how many had each.
pub(super) type Sizes = BTreeMap<usize, u64>;
