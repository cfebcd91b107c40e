//! How many units each customer has pending.

mod pending_units;
pub(super) mod survey;
mod units_watch;

pub use pending_units::{Pending, PendingEvents, PendingUnits};
pub(super) use survey::{SurveyStep, volumes_of};
pub(super) use units_watch::UnitsWatch;
