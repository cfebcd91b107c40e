//! Looking for what is wrong with a set-up: what can be seen of it is gathered within limits of time, and judged by pure
//! functions. Nothing is changed, and nothing is sent that Polar would count.
//!
//! Each subject has a file with what is seen of it (`look`) and what follows from that (`judge`).

mod configuration;
mod disk;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod doctor;
mod finding;
mod journal;
mod meters;
mod mounts;
mod owners;
mod patience;
mod reach;
mod report;
mod running;
mod socket;
mod socket_rights;
mod stand_in;
mod token;

pub use doctor::{Doctor, Wishes};
pub use finding::{Code, Finding};
pub use report::{Check, Report};
pub use stand_in::StandIn;
