//! Every metric of the daemon, in one list. Labels are closed sets: never a customer, an event name or an id.

mod catalogue;
mod labels;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod metrics;

pub use catalogue::{CATALOGUE, help};
pub use labels::Listener;
pub use metrics::Metrics;
