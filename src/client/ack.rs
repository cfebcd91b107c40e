//! What the daemon says of one event.

use serde::{Deserialize, Serialize};

/// The answer to one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// It is on disk and goes by this id.
    Accepted {
        /// The sender's `external_id`, or the one it was given.
        external_id: String,
    },
    /// It was not taken.
    Refused(Refusal),
}

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The stable code.
    pub code: String,
    /// The field at fault as a dotted path; empty for the whole event.
    #[serde(default)]
    pub field: String,
    /// What is wrong and what to do.
    #[serde(default)]
    pub message: String,
}

impl Refusal {
    /// Whether the same event may be taken in a moment: the disk was behind.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.code == "busy"
    }

    /// Whether the event itself is in order and only the time was wrong.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self.code.as_str(), "busy" | "journal_full" | "journal_closed" | "journal_failed")
    }
}

#[derive(Deserialize)]
struct Line {
    ok: bool,
    external_id: Option<String>,
    error: Option<Refusal>,
}

impl Ack {
    /// Reads one reply line; `None` when it is none.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        match serde_json::from_slice(line).ok()? {
            Line { ok: true, external_id: Some(external_id), error: None } => {
                Some(Self::Accepted { external_id })
            }
            Line { ok: false, error: Some(refusal), .. } => Some(Self::Refused(refusal)),
            Line { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Acks, Fault};

    #[test]
    fn the_replies_the_protocol_writes_are_read_back() {
        let mut acks = Acks::new();
        acks.accepted("a\"1");
        acks.refused(&Fault::busy("later".to_owned()));
        let lines: Vec<_> = acks.as_bytes().split_inclusive(|byte| *byte == b'\n').map(Ack::read).collect();
        let busy = Refusal { code: "busy".to_owned(), field: String::new(), message: "later".to_owned() };
        assert!(busy.is_busy() && busy.is_temporary());
        assert_eq!(lines, [Some(Ack::Accepted { external_id: "a\"1".to_owned() }), Some(Ack::Refused(busy))]);
    }

    #[test]
    fn what_is_no_reply_is_not_guessed_at() {
        for line in ["", "ok", "{}", r#"{"ok":true}"#, r#"{"ok":false}"#, r#"{"inserted":1}"#] {
            assert_eq!(Ack::read(line.as_bytes()), None, "{line}");
        }
    }
}
