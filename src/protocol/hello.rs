//! The hello: an optional first line by which a connection says how it wants to be answered.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::fault::Fault;
use super::fault_code::FaultCode;

/// Whether a connection of lines is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckMode {
    /// Nothing comes back: fire and forget.
    #[default]
    None,
    /// One reply line for each event, in order, after the sync.
    Each,
}

/// What the first line of a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstLine {
    /// No hello: it is an event (or is to be refused as one), and nothing is to come back.
    Event,
    /// A hello.
    Hello(AckMode),
    /// A hello that asks for something unknown. The connection is told and closed, because whoever asked would wait
    /// for answers in vain.
    Unknown(Fault<'static>),
}

/// An event may carry unknown fields, so a line that names an event or a grant is never taken for a hello.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow)]
    sledge: Option<&'a RawValue>,
    name: Option<IgnoredAny>,
    grant: Option<IgnoredAny>,
}

impl FirstLine {
    /// Reads the first line of a connection.
    #[must_use]
    pub fn read(line: &[u8]) -> Self {
        match serde_json::from_slice::<Probe<'_>>(line) {
            Ok(Probe { sledge: Some(options), name: None, grant: None }) => Self::of_options(options.get()),
            _ => Self::Event,
        }
    }

    fn of_options(options: &str) -> Self {
        let Ok(options) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(options) else {
            return unknown(
                "sledge",
                "the hello is an object of options, such as {\"sledge\":{\"ack\":\"each\"}}",
            );
        };
        let mut ack = AckMode::None;
        for (option, value) in options {
            match (option.as_ref(), serde_json::from_str::<Cow<'_, str>>(value.get()).as_deref()) {
                ("ack", Ok("each")) => ack = AckMode::Each,
                ("ack", Ok("none")) => ack = AckMode::None,
                ("ack", _) => return unknown("sledge.ack", "ack is \"each\" or \"none\""),
                _ => {
                    return unknown("sledge", "this version knows only the option ack; leave the others out");
                }
            }
        }
        Self::Hello(ack)
    }
}

fn unknown(field: &'static str, message: &'static str) -> FirstLine {
    FirstLine::Unknown(Fault { code: FaultCode::UnknownOption.as_str(), field, message: message.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_field(line: &str) -> &'static str {
        match FirstLine::read(line.as_bytes()) {
            FirstLine::Unknown(fault) => fault.field,
            other => panic!("{line} was read as {other:?}"),
        }
    }

    #[test]
    fn a_hello_chooses_its_acks() {
        assert_eq!(FirstLine::read(br#"{"sledge":{"ack":"each"}}"#), FirstLine::Hello(AckMode::Each));
        assert_eq!(
            FirstLine::read(br#" { "sledge" : { "ack" : "e\u0061ch" } }"#),
            FirstLine::Hello(AckMode::Each)
        );
        assert_eq!(FirstLine::read(br#"{"sledge":{"ack":"none"}}"#), FirstLine::Hello(AckMode::None));
        assert_eq!(FirstLine::read(br#"{"sledge":{}}"#), FirstLine::Hello(AckMode::None));
    }

    #[test]
    fn an_unknown_option_is_named_instead_of_ignored() {
        assert_eq!(fault_field(r#"{"sledge":{"ack":"all"}}"#), "sledge.ack");
        assert_eq!(fault_field(r#"{"sledge":{"ack":true}}"#), "sledge.ack");
        assert_eq!(fault_field(r#"{"sledge":{"acks":"each"}}"#), "sledge");
        assert_eq!(fault_field(r#"{"sledge":"each"}"#), "sledge");
    }

    #[test]
    fn an_event_is_never_taken_for_a_hello() {
        for line in [
            r#"{"name":"api_usage","external_customer_id":"c"}"#,
            r#"{"name":"api_usage","external_customer_id":"c","sledge":{"ack":"each"}}"#,
            r#"{"grant":{"event":"api_usage"},"sledge":1}"#,
            r#"{"sledge":null}"#,
            r#"{"sledge":{"ack":"each"}"#,
            "[]",
        ] {
            assert_eq!(FirstLine::read(line.as_bytes()), FirstLine::Event, "{line}");
        }
    }
}
