//! The way from the journal to Polar: what is pending is sent until Polar has it, or has said why it won't take it.
//!
//! Everything that is decided is decided by pure types and functions that take the time and chance as arguments: how
//! events become a request ([`Batch`]), what an answer means for a batch ([`Outcome`]) and for everybody
//! ([`Sign`]), how long to wait ([`RetryPolicy`]), how many requests a minute ([`Budget`]). [`Delivery`] is the one
//! loop that acts on it.

mod batch;
mod batcher;
mod budget;
mod clock_skew;
mod conclusion;
mod consume;
mod cuts;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod delivery;
mod departure;
mod drained;
mod findings;
mod gate;
mod halving;
mod handle;
mod history;
mod hold;
mod lessons;
mod offenders;
mod outcome;
mod passing_size;
mod patience;
mod reading;
mod report;
mod resend;
mod retry_policy;
mod said;
mod set_aside;
mod settings;
mod sign;
mod size_limit;
mod strange_duplicates;
mod suspects;
mod unsettled;
mod weather;
mod witness;

#[cfg(test)]
mod tests;

pub use batch::{Batch, Run};
pub use budget::Budget;
pub use consume::Consume;
pub use delivery::Delivery;
pub use drained::{DrainEnd, Drained};
pub use findings::{Finding, Findings};
pub use handle::DeliveryHandle;
pub use hold::HoldReason;
pub use outcome::{Cause, Facts, Outcome, Retry};
pub use patience::Patience;
pub use retry_policy::RetryPolicy;
pub use settings::Settings;
pub use sign::Sign;
