//! What an event is: Polar's rules, the grant shorthand, and the refusal of everything else. Pure.
//!
//! A text is read and checked ([`Event::read`], borrowed), then written complete, stamped and ready to send, into an
//! [`EventBuf`] of its [`Lane`].

mod code;
mod cost;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod event;
mod event_buf;
mod event_id;
mod fields;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod grant;
mod id_source;
mod lane;
mod llm;
mod members;
mod metadata;
mod near_miss;
mod rejection;
mod text;
mod timestamp;
mod units;
mod value;

#[cfg(test)]
mod polar_corpus;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use code::Code;
pub use event::{Event, Form, Rules};
pub use event_buf::EventBuf;
pub use event_id::{EventId, ONCE, external_id};
pub use id_source::IdSource;
pub use lane::{Lane, PerLane};
pub use rejection::Rejection;
pub use timestamp::rfc3339;
pub use units::{CustomerRef, Units};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UnixMillis = u64;
