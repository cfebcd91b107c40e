//! Events and grants, from the command line or standard input to the daemon's socket.

mod connect;
mod event_lines;
mod event_text;
mod grant;
mod grant_check;
mod grant_once;
mod one_event;
mod send;
mod stdin_events;

pub(super) use connect::SocketArg;
pub(super) use event_lines::EventLines;
pub(super) use grant::{GrantArgs, grant};
pub(super) use send::{SendArgs, send};
