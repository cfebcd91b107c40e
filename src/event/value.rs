//! A JSON value as the text it came in, and an object as its members.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::code::Code;

/// Deeper nesting is refused: Polar's parser gives up on the whole batch some hundred levels further down.
pub(super) const DEPTH_MAX: usize = 100;
/// Python reads no integer of more digits, and one of them fails the whole batch.
pub(super) const DIGITS_MAX: usize = 4300;

/// One JSON value, known to be well formed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a>(&'a str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    Text,
    List,
    Object,
}

/// Why a JSON string is no text Polar can keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextFault {
    LoneSurrogate,
    Nul,
}

impl<'a> Value<'a> {
    pub(super) fn json(self) -> &'a str {
        self.0
    }

    pub(super) fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    pub(super) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The text of a JSON string, unescaped; `None` for every other kind.
    pub(super) fn text(self) -> Option<Result<Cow<'a, str>, TextFault>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Some(Ok(Cow::Borrowed(inner)));
        }
        Some(match serde_json::from_str::<String>(self.0) {
            Ok(text) if text.contains('\0') => Err(TextFault::Nul),
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => Err(TextFault::LoneSurrogate),
        })
    }

    /// Whether a number is one Python reads as an `int` (never overflows) rather than a `float`.
    pub(super) fn is_integer(self) -> bool {
        !self.0.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
    }

    /// Whether a number stays finite as Polar reads it.
    pub(super) fn is_finite(self) -> bool {
        // Without an exponent it takes more than 308 digits to overflow; nearly every number stops here.
        let may_overflow = self.0.len() > 300 || self.0.bytes().any(|byte| matches!(byte, b'e' | b'E'));
        !may_overflow || self.is_integer() || self.as_f64().is_finite()
    }

    /// Whether a number is below zero as Polar reads it: `-0` and `-1e-400` are not.
    pub(super) fn is_negative(self) -> bool {
        self.0.starts_with('-') && self.as_f64() < 0.0
    }

    pub(super) fn as_f64(self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// What in this value would keep Polar's parser from reading the batch it is in, wherever it stands.
    pub(super) fn unreadable(self) -> Option<Code> {
        // Most values are too short for either fault. A level of nesting takes two bytes.
        let is_nested = matches!(self.kind(), Kind::List | Kind::Object);
        if self.0.len() <= if is_nested { 2 * DEPTH_MAX } else { DIGITS_MAX } {
            return None;
        }
        let (mut depth, mut digits, mut in_text, mut escaped, mut fraction) =
            (0_usize, 0_usize, false, false, false);
        for byte in self.0.bytes() {
            if in_text {
                (in_text, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
                continue;
            }
            match byte {
                b'0'..=b'9' => {
                    digits += usize::from(!fraction);
                    continue;
                }
                b'.' | b'e' | b'E' | b'+' => {
                    // What came before was a float's integer part, which has no limit.
                    (digits, fraction) = (0, true);
                    continue;
                }
                b'"' => in_text = true,
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if digits > DIGITS_MAX {
                return Some(Code::NumberTooLong);
            }
            if depth > DEPTH_MAX {
                return Some(Code::NestingTooDeep);
            }
            (digits, fraction) = (0, byte == b'-' && fraction);
        }
        (digits > DIGITS_MAX).then_some(Code::NumberTooLong)
    }
}

/// Calls `visit` with every member of the object `json`, in order, keys unescaped; a repeated key comes repeatedly.
///
/// # Errors
/// The text is no JSON object, or a key holds half a surrogate pair.
pub(super) fn each_member<'a>(
    json: &'a str,
    visit: impl FnMut(Cow<'a, str>, Value<'a>),
) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_map(MemberVisitor { visit, lifetime: PhantomData })?;
    reader.end()
}

struct MemberVisitor<'a, F> {
    visit: F,
    lifetime: PhantomData<&'a str>,
}

impl<'a, F: FnMut(Cow<'a, str>, Value<'a>)> Visitor<'a> for MemberVisitor<'a, F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<Key<'a>, &'a RawValue>()? {
            (self.visit)(key.0, Value(value.get()));
        }
        Ok(())
    }
}

/// A key, borrowed unless it had escapes; serde's own `Cow` always copies.
struct Key<'a>(Cow<'a, str>);

impl<'a> Deserialize<'a> for Key<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'a> Visitor<'a> for KeyVisitor {
    type Value = Key<'a>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Key<'a>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'a>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}
