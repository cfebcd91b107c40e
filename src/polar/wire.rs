//! Polar's bodies, as its server of August 2026 writes them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The path events go to.
pub const INGEST_PATH: &str = "/v1/events/ingest";
/// The version of Polar's API that is spoken, sent as `Polar-Version`.
pub const POLAR_VERSION: &str = "2026-04";
/// Polar answers 413 to a body over this many bytes.
pub const REQUEST_BYTES_MAX: usize = 10_485_760;
/// Polar answers 500 to more events than this in one request.
pub const EVENTS_PER_REQUEST_MAX: usize = 32_767;

/// The body of a 200 to an ingest request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestReply {
    /// Events that were new.
    pub inserted: u64,
    /// Events whose `external_id` Polar already had.
    #[serde(default)]
    pub duplicates: u64,
}

/// The body of a 422. `error` is `RequestValidationError` (the schema) or `PolarRequestValidationError` (customers,
/// members and organizations).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationReply {
    /// Which of the two layers refused.
    pub error: String,
    /// Every fault found.
    pub detail: Vec<Fault>,
}

/// One fault of a 422. Polar's own also carry `input`, which echoes customer data: it is not read, kept or logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The stable kind, such as `string_too_long`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where: `["body","events",INDEX,…]` for a fault of an event.
    pub loc: Vec<LocPart>,
    /// What is wrong, for people.
    pub msg: String,
}

impl Fault {
    /// The index of the event at fault, when the fault is one of an event.
    #[must_use]
    pub fn event_index(&self) -> Option<usize> {
        match self.loc.as_slice() {
            [LocPart::Key(body), LocPart::Key(events), LocPart::Index(index), ..]
                if body == "body" && events == "events" =>
            {
                usize::try_from(*index).ok()
            }
            _ => None,
        }
    }
}

/// A step of a fault's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LocPart {
    /// A position in a list.
    Index(u64),
    /// A field's name.
    Key(String),
}

impl fmt::Display for LocPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Key(key) => f.write_str(key),
        }
    }
}
