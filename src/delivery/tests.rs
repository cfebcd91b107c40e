//! The loop against a Polar and a journal in memory, in paused time.

mod clock_jumps;
mod drains;
mod fake_polar;
pub(super) mod fixture;
mod gateways;
mod holds;
mod house;
mod innocents;
mod memory_journal;
mod model;
mod outages;
mod poison;
mod refusals;
mod reloads;
mod sharing;
mod walls;
