//! How sledge is spoken to on a local socket: HTTP as Polar's own API, or one event per line. Bytes in, bytes out;
//! whoever holds the socket does the reading and writing.

mod acks;
mod fault;
mod fault_code;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod hello;
mod http_reply;
mod ingest_body;
mod json_text;
mod route;
mod speech;

pub use acks::Acks;
pub use fault::Fault;
pub use fault_code::FaultCode;
pub use frames::{Frame, Frames};
pub use hello::{AckMode, FirstLine};
pub use http_reply::{HttpReply, Refusals};
pub use ingest_body::{BodyFault, read_ingest_body};
pub use route::Route;
pub use speech::{Speech, TLS_HANDSHAKE};
