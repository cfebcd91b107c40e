//! The reply lines of a connection that asked for acks.

use super::fault::Fault;
use super::json_text::push_string;

const ACCEPTED: &[u8] = br#"{"ok":true,"#;

/// The replies to the events of one read, in their order.
///
/// They are written as the events are read and sent only after the sync. Until then every positive one is a hope:
/// when the sync fails, [`turn_down`](Self::turn_down) makes all of them negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acks {
    text: Vec<u8>,
}

impl Acks {
    /// No replies.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The event that goes by this id was accepted.
    pub fn accepted(&mut self, external_id: &str) {
        self.text.extend_from_slice(ACCEPTED);
        self.text.extend_from_slice(br#""external_id":"#);
        push_string(&mut self.text, external_id);
        self.text.extend_from_slice(b"}\n");
    }

    /// An event was refused.
    pub fn refused(&mut self, fault: &Fault<'_>) {
        self.text.extend_from_slice(br#"{"ok":false,"error":{"code":"#);
        push_string(&mut self.text, fault.code);
        self.text.extend_from_slice(br#","field":"#);
        push_string(&mut self.text, fault.field);
        self.text.extend_from_slice(br#","message":"#);
        push_string(&mut self.text, &fault.message);
        self.text.extend_from_slice(b"}}\n");
    }

    /// Makes every positive reply a refusal; what was refused already keeps its own words.
    pub fn turn_down(&mut self, fault: &Fault<'_>) {
        let hoped = std::mem::take(&mut self.text);
        for line in hoped.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(ACCEPTED) {
                self.refused(fault);
            } else {
                self.text.extend_from_slice(line);
            }
        }
    }

    /// The lines, each with its end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Their size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no reply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(acks: &Acks) -> &str {
        std::str::from_utf8(acks.as_bytes()).unwrap()
    }

    #[test]
    fn replies_are_spelled_exactly_as_promised() {
        let mut acks = Acks::new();
        acks.accepted("a\"b\n");
        acks.refused(&Fault { code: "missing", field: "name", message: "say \"what\"".into() });
        assert_eq!(
            text(&acks),
            "{\"ok\":true,\"external_id\":\"a\\\"b\\n\"}\n\
             {\"ok\":false,\"error\":{\"code\":\"missing\",\"field\":\"name\",\"message\":\"say \\\"what\\\"\"}}\n"
        );
    }

    #[test]
    fn a_failed_sync_turns_every_hope_down_and_leaves_refusals_alone() {
        let mut acks = Acks::new();
        acks.accepted("1");
        acks.refused(&Fault { code: "missing", field: "name", message: "m".into() });
        acks.accepted("{\"ok\":true,");
        acks.turn_down(&Fault::busy("later".to_owned()));
        let busy = "{\"ok\":false,\"error\":{\"code\":\"busy\",\"field\":\"\",\"message\":\"later\"}}\n";
        let missing =
            "{\"ok\":false,\"error\":{\"code\":\"missing\",\"field\":\"name\",\"message\":\"m\"}}\n";
        assert_eq!(text(&acks), format!("{busy}{missing}{busy}"));
    }
}
