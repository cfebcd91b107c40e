//! What an event is: Polar's rules, the grant shorthand, and the refusal of everything else. Pure.
//!
//! A text is read and checked ([`Event::read`], borrowed), then written complete, stamped and ready to send, into an
//! [`EventBuf`] of its [`Lane`].

#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod event;
mod event_buf;
mod event_id;
mod lane;
mod rejection;

pub use event::{Event, Form, Rules};
pub use event_buf::EventBuf;
pub use event_id::{EventId, IdSource};
pub use lane::{Lane, PerLane};
pub use rejection::{Code, Rejection};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UnixMillis = u64;
