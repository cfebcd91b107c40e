//! The voice of sledge: the only room that prints or exits.

mod arrival_lines;
mod balance;
mod balance_pending;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod cli;
mod completions;
mod config;
mod config_args;
mod connect;
mod core_dumps;
mod dead_letters;
mod dead_letters_box;
mod dead_letters_change;
mod dead_letters_filter;
mod dead_letters_look;
mod dead_letters_transfer;
mod dev;
mod dev_feed;
mod doctor;
mod event_lines;
mod event_text;
mod exit;
mod failure;
mod figures;
mod grant;
mod grant_check;
mod grant_once;
mod journal;
mod log;
mod one_event;
mod options;
mod polar;
mod polar_customer;
mod polar_meter;
mod quote;
mod run;
mod send;
mod signals;
mod simulate;
mod status;
mod stdin_events;
mod voice;

pub use cli::{Cli, check, main};
pub use exit::Exit;
pub use options::{OptionEntry, options};
