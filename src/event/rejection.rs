//! Why an event is refused: a stable code, the field, and what to do about it.

/// One fault of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Rejection {
    code: Code,
    field: String,
    message: String,
}

impl Rejection {
    pub(super) fn new(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: message.into() }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
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

/// The closed set of refusals. Their spelling is an interface: it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Not a JSON object.
    MalformedJson,
    /// Larger than `event_bytes_max`.
    EventTooLarge,
}

impl Code {
    /// Every code, in the order of their indices.
    pub const ALL: &'static [Self] = &[Self::MalformedJson, Self::EventTooLarge];

    /// The code as answers, metrics and dead letters spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::EventTooLarge => "event_too_large",
        }
    }
}
