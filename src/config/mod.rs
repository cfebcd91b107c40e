//! From what flags and variables said to what every room needs: [`RawConfig`] in, [`Config`] or every fault out.
//!
//! Precedence, strongest first: a flag, its `SLEDGE_…` variable, the variables Polar's users know (`POLAR_MODE`,
//! `POLAR_SERVER`, `POLAR_ACCESS_TOKEN`), the default.

#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod config;
mod fault;
mod listeners;
mod paths;
mod raw_config;
mod surroundings;
mod target;
mod token;

pub use config::Config;
pub use fault::{Fault, Faults};
pub use paths::{ADMIN, DATA_DIR, SOCKET, SOCKET_PATH_BYTES_MAX, sockets_to_try};
pub use raw_config::{Given, Origin, RawConfig};
pub use surroundings::Surroundings;
