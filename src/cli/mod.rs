//! The voice of sledge: the only room that prints or exits.

mod admin_socket;
mod arrival_lines;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod cli;
mod completions;
mod config;
mod config_args;
mod connect;
mod dead_letters;
mod dead_letters_box;
mod dead_letters_change;
mod dead_letters_filter;
mod dead_letters_look;
mod dead_letters_transfer;
mod dev;
mod dev_feed;
mod event_lines;
mod event_text;
mod exit;
mod explain;
mod failure;
mod figures;
mod grant;
mod journal;
mod log;
mod moment;
mod one_event;
mod options;
mod place;
mod quote;
mod recall_box;
mod replay;
mod run;
mod send;
mod signals;
mod simulate;
mod status;
mod stdin_events;
mod visible;
mod voice;

pub use cli::{Cli, check, main};
pub use exit::Exit;
pub use options::{OptionEntry, options};
