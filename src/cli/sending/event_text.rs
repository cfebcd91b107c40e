//! The text of one event or grant from what was typed. Numbers keep the very characters they were typed with.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// An event, its fields in the order people write them.
#[derive(Debug, Serialize)]
pub(super) struct EventText<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external_customer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer_id: Option<&'a str>,
    pub(super) external_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "as_object")]
    pub(super) metadata: &'a [MetadataEntry],
}

/// A grant in its shorthand.
#[derive(Debug, Serialize)]
pub(super) struct GrantText<'a> {
    pub(super) grant: GrantBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external_customer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer_id: Option<&'a str>,
    pub(super) external_id: &'a str,
}

/// What is granted.
#[derive(Debug, Serialize)]
pub(super) struct GrantBody<'a> {
    pub(super) event: &'a str,
    pub(super) property: &'a str,
    pub(super) credits: &'a Number,
}

/// A number as it was typed.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Number(Box<RawValue>);

impl Number {
    /// Reads a JSON number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let value = serde_json::from_str::<Box<RawValue>>(text).ok().filter(|_| is_number)?;
        (value.get() == text).then_some(Self(value))
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Whether it is above zero, told by its digits, so that no number is too small or too large to tell.
    pub(super) fn is_positive(&self) -> bool {
        let mantissa = self.as_str().split(['e', 'E']).next().unwrap_or_default();
        !mantissa.starts_with('-') && mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
    }
}

/// Reads the credits of a grant.
pub(super) fn read_credits(text: &str) -> Result<Number, String> {
    let number = Number::parse(text).filter(Number::is_positive);
    number.ok_or_else(|| {
        if text.contains(['"', '\'']) {
            return "a number in quotes is none: Polar takes it as text and never counts it; write it as 10 or 2.5".to_owned();
        }
        "credits are a number above 0, such as 10 or 2.5; to take credits back, send usage".to_owned()
    })
}

/// One key of the metadata and its value.
#[derive(Clone, Debug)]
pub(super) struct MetadataEntry {
    key: String,
    value: MetadataValue,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum MetadataValue {
    Number(Number),
    Truth(bool),
    Text(String),
}

impl MetadataEntry {
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// `KEY=VALUE` as it would be typed again: the flag it belongs to, and the pair.
    pub(super) fn as_typed(&self) -> (&'static str, String) {
        match &self.value {
            MetadataValue::Number(number) => ("--meta", format!("{}={}", self.key, number.as_str())),
            MetadataValue::Truth(truth) => ("--meta", format!("{}={truth}", self.key)),
            MetadataValue::Text(text) => ("--meta-text", format!("{}={text}", self.key)),
        }
    }
}

/// Reads `KEY=VALUE`, the value as a number or truth value where it is one, and as text otherwise.
pub(super) fn read_metadata(pair: &str) -> Result<MetadataEntry, String> {
    let (key, text) = split(pair)?;
    let value = match text {
        "true" => MetadataValue::Truth(true),
        "false" => MetadataValue::Truth(false),
        _ => match Number::parse(text) {
            Some(number) => MetadataValue::Number(number),
            // Polar takes a number sent as text and then never counts it.
            None if text.parse::<f64>().is_ok() => {
                return Err(format!(
                    "{text:?} looks like a number but is none in JSON; write it as 0.5, 3 or 1e6, or as text with --meta-text"
                ));
            }
            None => MetadataValue::Text(text.to_owned()),
        },
    };
    Ok(MetadataEntry { key: key.to_owned(), value })
}

/// Reads `KEY=TEXT`, always as text.
pub(super) fn read_metadata_text(pair: &str) -> Result<MetadataEntry, String> {
    let (key, text) = split(pair)?;
    Ok(MetadataEntry { key: key.to_owned(), value: MetadataValue::Text(text.to_owned()) })
}

fn split(pair: &str) -> Result<(&str, &str), String> {
    pair.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| "write KEY=VALUE, such as units=3".to_owned())
}

fn as_object<S: Serializer>(entries: &&[MetadataEntry], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|entry| (&entry.key, &entry.value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(pair: &str) -> String {
        serde_json::to_string(&read_metadata(pair).unwrap().value).unwrap()
    }

    #[test]
    fn numbers_keep_their_characters_and_everything_else_is_text() {
        for (pair, json) in [
            ("units=3", "3"),
            ("units=-0.10", "-0.10"),
            ("units=12345678901234567890123", "12345678901234567890123"),
            ("units=1E+2", "1E+2"),
            ("paid=true", "true"),
            ("model=gpt-4", "\"gpt-4\""),
            ("day=2026-01-02", "\"2026-01-02\""),
            ("empty=", "\"\""),
            ("formula=a=b", "\"a=b\""),
            ("quoted=\"3\"", "\"\\\"3\\\"\""),
        ] {
            assert_eq!(value(pair), json, "{pair}");
        }
    }

    #[test]
    fn a_number_polar_would_never_count_is_refused() {
        for pair in ["units=.5", "units=+3", "units=007", "units=NaN", "units=inf", "units=5."] {
            assert!(read_metadata(pair).unwrap_err().contains("--meta-text"), "{pair}");
        }
        assert!(read_metadata("units").is_err() && read_metadata("=3").is_err());
        let text = read_metadata_text("units=007").unwrap();
        assert_eq!(text.as_typed(), ("--meta-text", "units=007".to_owned()));
    }

    #[test]
    fn credits_are_positive_numbers_in_their_own_characters() {
        for text in ["10", "0.5", "2.50", "1e3", "0.00000000001", "1e-400"] {
            assert_eq!(read_credits(text).unwrap().as_str(), text);
        }
        for text in ["0", "0.0", "-5", "-0", "0e9", "ten", "", " 1", "1 ", "\"1\"", "[1]", "true", "NaN"] {
            assert!(read_credits(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_event_is_one_line_of_json() {
        let metadata = [read_metadata("units=3").unwrap(), read_metadata_text("note=a\nb").unwrap()];
        let event = EventText {
            name: "api_usage",
            external_customer_id: Some("user_123"),
            customer_id: None,
            external_id: "1",
            timestamp: None,
            metadata: &metadata,
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"name":"api_usage","external_customer_id":"user_123","external_id":"1","metadata":{"units":3,"note":"a\nb"}}"#
        );
    }

    #[test]
    fn a_grant_is_the_shorthand() {
        let credits = read_credits("10").unwrap();
        let grant = GrantText {
            grant: GrantBody { event: "api_usage", property: "units", credits: &credits },
            external_customer_id: Some("user_123"),
            customer_id: None,
            external_id: "1",
        };
        assert_eq!(
            serde_json::to_string(&grant).unwrap(),
            r#"{"grant":{"event":"api_usage","property":"units","credits":10},"external_customer_id":"user_123","external_id":"1"}"#
        );
    }
}
