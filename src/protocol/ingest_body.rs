//! Cutting the body of an ingest request into the texts of its events, without copying or understanding them.

use std::fmt;

use memchr::memchr_iter;
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A fault of the body itself, before any event of it was looked at. The variants are Polar's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is JSON, but no object; or it was not said to be JSON.
    NotAnObject,
    /// It has no `events`.
    EventsMissing,
    /// Its `events` is no list.
    EventsNotAList,
    /// It is not JSON.
    Malformed {
        /// Where it stops making sense, in bytes.
        offset: usize,
    },
}

/// The texts of the events of `{"events":[…]}`, borrowed from the body. Of a repeated `events` the last counts, other
/// keys are ignored.
///
/// # Errors
/// When the body is not such an object.
pub fn read_ingest_body(body: &[u8]) -> Result<Vec<&[u8]>, BodyFault> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = json.deserialize_any(BodyVisitor).and_then(|events| json.end().map(|()| events));
    match read.map_err(|error| BodyFault::Malformed { offset: offset_of(body, &error) })? {
        Found::List(texts) => Ok(texts),
        Found::Nothing => Err(BodyFault::EventsMissing),
        Found::NoList => Err(BodyFault::EventsNotAList),
        Found::NoObject => Err(BodyFault::NotAnObject),
    }
}

fn offset_of(body: &[u8], error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return body.len();
    }
    let lines_before = error.line().saturating_sub(1);
    let line_start = match lines_before.checked_sub(1) {
        Some(nth) => memchr_iter(b'\n', body).nth(nth).map_or(0, |newline| newline + 1),
        None => 0,
    };
    (line_start + error.column().saturating_sub(1)).min(body.len())
}

enum Found<'a> {
    List(Vec<&'a [u8]>),
    Nothing,
    NoList,
    NoObject,
}

struct BodyVisitor;

/// The visits of everything that is not what was looked for; each such value must still be read to its end.
macro_rules! anything_else_is {
    ($found:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($found)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($found)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($found)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($found)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($found)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($found)
        }
    };
}

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Found<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with a list of events")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found::Nothing;
        while let Some(is_events) = map.next_key_seed(KeyIs("events"))? {
            if is_events {
                found = map.next_value_seed(EventsVisitor)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::NoObject)
    }

    anything_else_is!(Found::NoObject);
}

/// Compares a key after unescaping.
struct KeyIs(&'static str);

impl<'de> DeserializeSeed<'de> for KeyIs {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

struct EventsVisitor;

impl<'de> DeserializeSeed<'de> for EventsVisitor {
    type Value = Found<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, value: D) -> Result<Found<'de>, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EventsVisitor {
    type Value = Found<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found<'de>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = seq.next_element::<&'de RawValue>()? {
            if texts.len() == u32::MAX as usize {
                return Err(A::Error::custom("too many events"));
            }
            texts.push(text.get().as_bytes());
        }
        Ok(Found::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::NoList)
    }

    anything_else_is!(Found::NoList);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Vec<String> {
        let texts = read_ingest_body(body.as_bytes()).unwrap();
        texts.into_iter().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
    }

    fn fault(body: &[u8]) -> BodyFault {
        read_ingest_body(body).unwrap_err()
    }

    #[test]
    fn events_come_out_with_the_very_characters_they_came_with() {
        let body = r#" {"events" : [ {"a": 0.12345678901234568e-9} ,1, "x" ] , "other":[1e999] } "#;
        assert_eq!(texts(body), [r#"{"a": 0.12345678901234568e-9}"#, "1", "\"x\""]);
        assert!(texts(r#"{"events":[]}"#).is_empty());
    }

    #[test]
    fn the_last_of_repeated_keys_counts_and_keys_are_compared_after_unescaping() {
        assert_eq!(texts(r#"{"events":[1],"events":[2]}"#), ["2"]);
        assert_eq!(texts(r#"{"events":7,"\u0065vents":[3]}"#), ["3"]);
        assert_eq!(fault(br#"{"events":[1],"events":{"a":[]}}"#), BodyFault::EventsNotAList);
    }

    #[test]
    fn faults_of_the_body_are_told_apart() {
        for body in ["[]", "[1,{}]", "1", "-1", "1.5", "null", "true", "\"\\u0041\""] {
            assert_eq!(fault(body.as_bytes()), BodyFault::NotAnObject, "{body}");
        }
        assert_eq!(fault(br#"{"event":[]}"#), BodyFault::EventsMissing);
        for value in ["null", "1", "{}", "\"x\"", "false", "0.5"] {
            let body = format!("{{\"events\":{value}}}");
            assert_eq!(fault(body.as_bytes()), BodyFault::EventsNotAList, "{body}");
        }
    }

    #[test]
    fn malformed_json_is_refused_with_the_place() {
        assert_eq!(fault(b"{\"events\":[}"), BodyFault::Malformed { offset: 11 });
        assert_eq!(fault(b"{\n\n\"events\":[]x}"), BodyFault::Malformed { offset: 14 });
        assert_eq!(fault(b""), BodyFault::Malformed { offset: 0 });
        assert_eq!(fault(b"{\"events\":["), BodyFault::Malformed { offset: 11 });
        assert!(matches!(fault(b"{\"events\":[]} x"), BodyFault::Malformed { offset: 14 }));
        assert!(matches!(fault(b"{\"events\":[NaN]}"), BodyFault::Malformed { .. }));
        assert!(matches!(fault(b"{\"events\":[\"\xff\"]}"), BodyFault::Malformed { .. }));
    }
}
