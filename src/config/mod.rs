//! From what flags, variables and the file said to what every room needs: [`Sources`] in, [`Config`] or every fault out.
//!
//! Precedence, strongest first: a flag, its `SLEDGE_…` variable, the file, the variables Polar's users know
//! (`POLAR_MODE`, `POLAR_SERVER`, `POLAR_ACCESS_TOKEN`), the default. Keys, variables, flags, defaults and documents
//! come from one table of [`Setting`]s.

#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod config;
mod config_file;
mod contradictions;
mod descriptors;
mod did_you_mean;
mod fault;
mod listeners;
mod origin;
mod paths;
mod raw_config;
mod reload_plan;
mod setting;
mod socket_access;
mod sources;
mod surroundings;
mod table;
mod target;
mod token;
mod written_value;

#[cfg(test)]
mod documents;

pub use config::{Config, LogSettings};
pub use config_file::{ANNOTATED_DEFAULTS, CONFIG_FILE};
pub use fault::{Fault, Faults};
pub use listeners::loopback_address;
pub use origin::{Given, Origin, Origins, Place};
pub use paths::{ADMIN, ADMIN_SOCKET, DATA_DIR, SOCKET, SOCKET_PATH_BYTES_MAX, data_dir, sockets_to_try};
pub use raw_config::{RawConfig, RawValue};
pub use reload_plan::ReloadPlan;
pub use setting::{Change, DefaultValue, Flag, Setting, Takes, Unit, Value};
pub use socket_access::SocketAccess;
pub use sources::Sources;
pub use surroundings::{Surroundings, VARIABLES_OF_DEV};
pub use table::settings;
pub use token::CREDENTIAL_FILE;
