//! Assembly: the only room that knows all others. It binds, opens, starts, watches and drains.

#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod daemon;
mod descriptors;
mod drain;
mod error;
mod listeners;
mod reloader;
mod socket_file;
mod socket_rights;
mod tasks;

pub use daemon::Daemon;
pub use drain::Stopped;
pub use error::{RunError, StartError};
pub use reloader::Reloader;
