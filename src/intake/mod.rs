//! From sockets to the journal. Whatever a listener hears takes one road, [`Admission`]: read, checked, stamped,
//! appended; and no positive answer leaves before the journal says that the events are on disk.

mod admission;
mod alarm;
mod drain;
mod header_timer;
mod http_connection;
mod http_service;
mod ndjson_acks;
mod ndjson_connection;
mod refusal;
mod replayed;
mod settings;
mod stream_listener;

#[cfg(test)]
mod tests;

pub use admission::Admission;
pub use settings::Settings;
pub use stream_listener::StreamListener;
