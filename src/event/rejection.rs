//! Why an event is refused: a stable code, the field, and what to do about it.

use std::borrow::Cow;
use std::fmt;

use super::code::Code;

/// An event of a megabyte can hold a hundred thousand faults; nobody reads past the first ones.
pub(super) const FAULTS_MAX: usize = 100;
/// A key longer than this (in characters) is cut in a fault's path: keys may be long, answers and logs should not.
const SEGMENT_CHARS_MAX: usize = 100;

/// One fault of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    code: Code,
    polar_kind: &'static str,
    path: Vec<String>,
    field: String,
    message: Cow<'static, str>,
}

impl Rejection {
    /// A fault at `path` (keys from the event's root; empty for the whole event).
    pub(super) fn new(code: Code, path: &[&str], message: impl Into<Cow<'static, str>>) -> Self {
        let path: Vec<String> = path.iter().map(|key| shown(key)).collect();
        Self { code, polar_kind: code.polar_kind(), field: path.join("."), path, message: message.into() }
    }

    /// The same fault under a more exact `type`.
    pub(super) fn of_kind(mut self, polar_kind: &'static str) -> Self {
        self.polar_kind = polar_kind;
        self
    }

    /// The refusal of an event larger than `event_bytes_max`; public for readers that stop at the limit and so have
    /// no whole text to hand in.
    #[must_use]
    pub fn event_too_large(event_bytes_max: usize) -> Self {
        let message = format!(
            "the event is larger than {event_bytes_max} bytes; shorten it, or raise event_bytes_max if it must be so large"
        );
        Self::new(Code::EventTooLarge, &[], message)
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The `type` of this fault in a 422 of Polar's shape, such as `missing` or `string_too_long`.
    #[must_use]
    pub fn polar_kind(&self) -> &'static str {
        self.polar_kind
    }

    /// The keys from the event's root to the field at fault; empty for the whole event. Unlike
    /// [`field`](Self::field) it tells a key with a dot in it from two keys.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// The field at fault as a dotted path from the event's root, such as `metadata.units`; empty for the whole event.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong and what to send instead. Never echoes the value: it may be customer data.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            return out.write_str(&self.message);
        }
        write!(out, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for Rejection {}

/// A key as it may be shown: not too long, and without characters that would steer a terminal.
pub(super) fn shown(key: &str) -> String {
    let visible = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
    let mut chars = key.chars();
    let mut text: String = chars.by_ref().take(SEGMENT_CHARS_MAX).map(visible).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}
