//! How things are said: streams, figures, moments, failures and the exit code.

mod exit;
mod failure;
pub(super) mod figures;
pub(super) mod log;
mod moment;
mod quote;
mod visible;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod voice;

pub use exit::Exit;
pub(super) use failure::Failure;
pub(super) use figures::{bytes, count, counted, duration, events, units};
pub(super) use log::LogArgs;
pub(super) use moment::{moment, read_moment};
pub(super) use quote::command_line;
pub(super) use visible::visible;
pub(super) use voice::{Tone, Voice};
