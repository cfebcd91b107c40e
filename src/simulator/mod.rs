//! Polar in memory: an HTTP server that answers as Polar does, faults and all.
//!
//! Apps and tests send to it instead of to Polar, read back what arrived, and script what is hard to provoke on the
//! real one: outages, cut connections, wrong answers, rate limits, a restored database. It is an independent reading
//! of Polar's rules and shares no validation with the rest of the crate, so that a mistake on one side shows on the
//! other.

mod also_refuse;
mod arrival;
mod balance;
mod calendar;
mod control;
mod customer;
mod deadlock;
mod gate;
mod id_table;
mod ingest;
mod listing;
mod metadata;
mod meter;
mod number;
mod page;
mod python;
mod query;
mod quick;
mod rate;
mod reading;
mod reply;
mod same_origin;
mod schema;
mod script;
mod server;
mod service;
mod settings;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod simulator;
mod state;
mod timestamp;
mod world;

pub use also_refuse::{AlsoRefuse, RefusedAs, RefusedField};
pub use arrival::{Arrival, Arrivals, Seen};
pub use customer::{CustomerExists, NewCustomer};
pub use id_table::IdRecord;
pub use meter::{Aggregation, Clause, Conjunction, Filter, FilterValue, NewMeter, Operator};
pub use reply::Reply;
pub use script::{Cut, Scripted};
pub use settings::{RateLimit, Settings};
pub use simulator::{Change, Simulator, SnapshotId, UnknownSnapshot};
pub use state::{BalanceView, RequestRecord, State};
