//! The `external_id` that makes sending an event again safe.

use std::borrow::Cow;

/// The id an event goes by at Polar: the sender's, unescaped, or a UUIDv7 of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId<'a>(Cow<'a, str>);

impl EventId<'_> {
    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes ids: UUIDv7 of the operating system's randomness, fetched many at a time. One per connection or thread.
#[derive(Debug, Default)]
pub struct IdSource {}
