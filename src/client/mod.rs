//! The other end of the protocol, for the command line and for programs in Rust: events out, acks back, in order.

mod ack;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod client;
mod error;
mod exchange;
mod group;

pub use ack::{Ack, Refusal};
pub use client::{Client, Settings};
pub use error::ClientError;
pub use exchange::exchange;
