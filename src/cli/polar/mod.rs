//! What credits need of Polar beside events.

mod customer;
pub(super) mod meter;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod polar;

pub(super) use customer::unknown;
pub(super) use polar::{CustomerArgs, PolarCommand, polar};
