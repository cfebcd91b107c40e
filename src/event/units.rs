//! What an accepted event tells of units: whose they are, and how many of what. For whoever counts what is pending.

use std::borrow::Cow;

use uuid::Uuid;

use super::members::Members;
use super::value::{Kind, Value, each_member};

/// A customer, by the id an event names. sledge does not know which two of them are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CustomerRef {
    /// By the application's own id.
    External(String),
    /// By Polar's.
    Polar(Uuid),
}

impl CustomerRef {
    /// By Polar's id, in any spelling that Polar reads; `None` for what is no UUID.
    #[must_use]
    pub fn of_polar(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self::Polar)
    }
}

/// The units in one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units<'a> {
    /// Whose they are.
    pub customer: CustomerRef,
    /// The event's name.
    pub name: Cow<'a, str>,
    /// Every number in the metadata by its property, in its own characters. A number within `_cost` or `_llm` goes by a
    /// dotted name; a number in quotes is none, for Polar does not count it.
    pub numbers: Vec<(String, &'a str)>,
}

impl<'a> Units<'a> {
    /// Reads an event that was accepted; `None` for a text that can't have been.
    #[must_use]
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let (mut name, mut external, mut polar, mut metadata) = (None, None, None, None);
        each_member(text, |key, value| {
            let slot = match key.as_ref() {
                "name" => &mut name,
                "external_customer_id" => &mut external,
                "customer_id" => &mut polar,
                "metadata" => &mut metadata,
                _ => return,
            };
            *slot = Some(value);
        })
        .ok()?;
        let text_of = |value: Option<Value<'a>>| value.and_then(Value::text)?.ok();
        // Where an event names both, Polar goes by the application's id.
        let customer = match (text_of(external), text_of(polar)) {
            (Some(id), _) => CustomerRef::External(id.into_owned()),
            (None, Some(id)) => CustomerRef::of_polar(&id)?,
            (None, None) => return None,
        };
        let mut numbers = Vec::new();
        if let Some(metadata) = metadata {
            push_numbers(metadata, None, &mut numbers);
        }
        Some(Self { customer, name: text_of(name)?, numbers })
    }
}

/// Of a repeated key the last value counts, as everywhere.
fn push_numbers<'a>(object: Value<'a>, within: Option<&str>, numbers: &mut Vec<(String, &'a str)>) {
    let Some(members) = Members::of_object(object, &[], &mut Vec::new()) else { return };
    for (key, value) in members.iter() {
        let path = within.map_or_else(|| key.to_owned(), |within| format!("{within}.{key}"));
        match value.kind() {
            Kind::Number => numbers.push((path, value.json())),
            Kind::Object if within.is_none() => push_numbers(value, Some(key), numbers),
            Kind::Object | Kind::Null | Kind::Boolean | Kind::Text | Kind::List => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_with_their_own_characters_and_texts_are_no_numbers() {
        let text = r#"{"name":"api_\u0075sage","external_customer_id":"c","metadata":{"units":-1.50e1,"text":"5","yes":true,"units":2,"_cost":{"amount":0.3,"currency":"usd"},"_llm":{"total_tokens":7}}}"#;
        let units = Units::read(text.as_bytes()).unwrap();
        assert_eq!(units.customer, CustomerRef::External("c".to_owned()));
        assert_eq!(units.name, "api_usage");
        let expected = [("_cost.amount", "0.3"), ("_llm.total_tokens", "7"), ("units", "2")];
        assert_eq!(units.numbers, expected.map(|(path, number)| (path.to_owned(), number)));
    }

    #[test]
    fn of_two_ids_the_applications_counts_and_polars_is_one_however_it_is_spelled() {
        let id = "9f1c2d3e-4b5a-4c6d-8e7f-0a1b2c3d4e5f";
        let read = |text: String| Units::read(text.as_bytes()).map(|units| units.customer);
        let with = |ids: &str| read(format!(r#"{{"name":"a",{ids}}}"#)).unwrap();
        assert_eq!(
            with(&format!(r#""customer_id":"{id}","external_customer_id":"c""#)),
            CustomerRef::External("c".to_owned())
        );
        let polar = CustomerRef::of_polar(id).unwrap();
        for spelling in [
            id.to_owned(),
            id.to_uppercase(),
            id.replace('-', ""),
            format!("{{{id}}}"),
            format!("urn:uuid:{id}"),
        ] {
            assert_eq!(with(&format!(r#""customer_id":"{spelling}""#)), polar);
        }
        assert_eq!(with(&format!(r#""customer_id":"{id}","external_customer_id":null"#)), polar);
        assert_eq!(read(r#"{"name":"a"}"#.to_owned()), None);
    }
}
