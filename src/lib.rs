//! sledge keeps usage events and credit grants safe on the local disk until Polar has them.
//!
//! An event takes one road: [`intake`] admits it, [`journal`] makes it durable and only then is it acknowledged,
//! [`delivery`] sends it through [`polar`] and settles it. ARCHITECTURE.md is the map.

pub mod admin;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod delivery;
pub mod doctor;
pub mod event;
pub mod forward;
#[cfg(test)]
mod fuzz_tests;
pub mod health;
pub mod intake;
pub mod journal;
pub mod lock_file;
pub mod metrics;
pub mod polar;
pub mod protocol;
pub mod simulator;
pub mod telemetry;
