//! The `external_id` that makes sending an event again safe.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use uuid::fmt::Hyphenated;

use super::value::each_member;

/// The length of a stamped id's text.
pub(super) const STAMPED_BYTES: usize = Hyphenated::LENGTH;

/// The id an event goes by at Polar: the sender's, unescaped, or a UUIDv7 of ours.
#[derive(Clone)]
pub struct EventId<'a>(Text<'a>);

#[derive(Clone)]
enum Text<'a> {
    Given(Cow<'a, str>),
    /// In place, so that stamping an event takes no memory.
    Stamped([u8; STAMPED_BYTES]),
}

impl<'a> EventId<'a> {
    pub(super) fn given(id: Cow<'a, str>) -> Self {
        Self(Text::Given(id))
    }

    /// The id whose text is `uuid`, all of it ASCII.
    pub(super) fn stamped(uuid: &str) -> EventId<'static> {
        let mut text = [b'0'; STAMPED_BYTES];
        for (to, from) in text.iter_mut().zip(uuid.bytes()) {
            *to = from;
        }
        EventId(Text::Stamped(text))
    }

    /// An id that was stamped and written down before; `None` for a text that no stamp looks like.
    #[must_use]
    pub fn stamped_before(text: &str) -> Option<EventId<'static>> {
        let is_stamp = text.len() == STAMPED_BYTES && uuid::Uuid::try_parse(text).is_ok();
        is_stamp.then(|| Self::stamped(text))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Given(id) => id,
            Text::Stamped(text) => str::from_utf8(text).unwrap_or_default(),
        }
    }

    /// Whether the id was made here because the event came without one.
    #[must_use]
    pub fn is_stamped(&self) -> bool {
        matches!(self.0, Text::Stamped(_))
    }

    /// The same id, free of the bytes the event came in.
    #[must_use]
    pub fn into_owned(self) -> EventId<'static> {
        EventId(match self.0 {
            Text::Given(id) => Text::Given(Cow::Owned(id.into_owned())),
            Text::Stamped(text) => Text::Stamped(text),
        })
    }
}

impl fmt::Debug for EventId<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("EventId").field(&self.as_str()).finish()
    }
}

impl PartialEq for EventId<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for EventId<'_> {}

impl Hash for EventId<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// How the ids of grants begin that a customer is to get once, however often they are made: `sledge grant --once`.
pub const ONCE: &str = "once:";

/// The `external_id` in an event's text, unescaped; `None` where there is none, or the text can't be read. Nothing else of
/// the text is looked at.
#[must_use]
pub fn external_id(text: &[u8]) -> Option<Cow<'_, str>> {
    let mut found = None;
    let read = each_member(str::from_utf8(text).ok()?, |key, value| {
        if key == "external_id" {
            found = value.text().and_then(Result::ok);
        }
    });
    read.ok().and(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_however_it_is_written_and_the_last_one_counts() {
        for (text, id) in [
            (r#"{"name":"a","external_id":"call-81"}"#, Some("call-81")),
            (r#"{"external_id":"\u0063all\/81","name":"a"}"#, Some("call/81")),
            (r#"{"external\u005fid":"a"}"#, Some("a")),
            (r#"{"external_id":"first","external_id":"last"}"#, Some("last")),
            (r#"{"metadata":{"external_id":"inner"}}"#, None),
            (r#"{"external_id":null}"#, None),
            (r#"{"external_id":7}"#, None),
            (r#"{"external_id":"cut"#, None),
        ] {
            assert_eq!(external_id(text.as_bytes()).as_deref(), id, "{text}");
        }
    }
}
