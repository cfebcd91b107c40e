//! The other party: Polar's wire types, the client, and everything Polar can answer.

mod wire;

pub use wire::{
    EVENTS_PER_REQUEST_MAX, Fault, INGEST_PATH, IngestReply, LocPart, POLAR_VERSION, REQUEST_BYTES_MAX,
    ValidationReply,
};
