//! The voice of sledge: the only room that prints or exits.

#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod cli;
mod completions;
mod config;
mod config_args;
mod dead_letters;
mod journal;
mod looking;
mod options;
mod polar;
mod sending;
mod serving;
mod voice;

pub use cli::{Cli, check, main};
pub use options::{OptionEntry, options};
pub use voice::Exit;
