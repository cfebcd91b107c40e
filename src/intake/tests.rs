//! Intake over real sockets. The journal's writer is mostly the test itself, so that it decides when a sync is done.

mod datagram;
mod desk;
mod http;
mod limits;
mod ndjson;
mod onward;
mod stamps;
mod with_journal;
