//! An event that passed every rule, and how its text becomes complete.

use std::time::Duration;

use super::UnixMillis;
use super::event_buf::EventBuf;
use super::event_id::{EventId, IdSource};
use super::lane::Lane;
use super::rejection::Rejection;

/// The limits an event is held to beside Polar's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The largest text of one event.
    pub event_bytes_max: usize,
    /// How far ahead of our clock a timestamp may lie; the event is held until it is due.
    pub future_hold_max: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { event_bytes_max: 1 << 20, future_hold_max: Duration::from_secs(5 * 60) }
    }
}

/// What a text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Polar's event only (the list of an ingest request).
    Event,
    /// The grant shorthand only (the grants route).
    Grant,
    /// Either, told apart by the key `grant` (NDJSON lines and datagrams).
    EventOrGrant,
}

/// An event that passed every rule, still borrowed from the bytes it came in.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    text: &'a [u8],
}

impl<'a> Event<'a> {
    /// Reads and checks one event (or grant). Every fault found is reported; the list is never empty.
    ///
    /// # Errors
    /// Everything Polar would refuse or fail on, and our own limits.
    pub fn read(text: &'a [u8], form: Form, rules: &Rules, now: UnixMillis) -> Result<Self, Vec<Rejection>> {
        let _ = (form, rules, now);
        Ok(Self { text })
    }

    /// The lane it travels.
    #[must_use]
    pub fn lane(&self) -> Lane {
        todo!()
    }

    /// Writes its complete text to `out`, stamping `external_id` and `timestamp` (`now`) where they were missing, and
    /// says the id it goes by.
    pub fn write(self, now: UnixMillis, ids: &mut IdSource, out: &mut EventBuf) -> EventId<'a> {
        let _ = (self.text, now, ids, out);
        todo!()
    }
}
