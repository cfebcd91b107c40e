//! The commands that go on: the daemon, and Polar in memory beside it or alone.

mod arrival_lines;
mod core_dumps;
mod dev;
mod dev_feed;
mod run;
mod signals;
mod simulate;

pub(super) use dev::{DevArgs, SOCKET as DEV_SOCKET, dev};
pub(super) use run::{RunArgs, run};
pub(super) use simulate::{SimulateArgs, simulate};
