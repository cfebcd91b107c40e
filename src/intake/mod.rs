//! From sockets to the journal. Whatever a listener hears takes one road, [`Admission`]: read, checked, stamped,
//! appended; and no positive answer leaves before the journal says that the events are on disk.

mod admission;
mod alarm;
mod client_stream;
mod connections;
mod datagram_listener;
mod drain;
mod foreign_tokens;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod header_timer;
mod http_connection;
mod http_road;
mod http_service;
mod loopback_guard;
mod loopback_listener;
mod ndjson_acks;
mod ndjson_connection;
mod onward;
mod pending_question;
mod received;
mod refusal;
mod settings;
mod stream_listener;

#[cfg(test)]
mod tests;

pub use admission::Admission;
pub use datagram_listener::DatagramListener;
pub use foreign_tokens::ForeignTokens;
pub use loopback_listener::LoopbackListener;
pub use onward::{Onward, Streamed};
pub use settings::Settings;
pub use stream_listener::StreamListener;
