//! Being stricter than Polar is known to be: rules of one's own, to see what becomes of an event that Polar refuses
//! for a reason nobody foresaw.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::metadata::Entries;
use super::reading::{CustomerRef, Reading};

/// The part of an event a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedField {
    /// The event's name.
    Name,
    /// Its idempotency key.
    ExternalId,
    /// The application's customer id.
    ExternalCustomerId,
    /// Any key of its metadata.
    MetadataKey,
}

/// How the request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedAs {
    /// 422 of the first layer, under both arms of the union.
    Schema,
    /// 422 of the second layer.
    Business,
    /// 500 for the whole request, naming nothing.
    ServerError,
}

/// A rule: events whose `field` contains `containing` are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlsoRefuse {
    /// Where to look.
    pub field: RefusedField,
    /// What to look for.
    pub containing: String,
    /// How to refuse.
    pub refused_as: RefusedAs,
}

impl AlsoRefuse {
    fn hits(&self, reading: &Reading<'_>) -> bool {
        let hit = |text: &str| text.contains(&self.containing);
        match self.field {
            RefusedField::Name => hit(&reading.name),
            RefusedField::ExternalId => reading.external_id.as_deref().is_some_and(hit),
            RefusedField::ExternalCustomerId => match &reading.customer {
                CustomerRef::External(id) => hit(id),
                CustomerRef::Id(_) => false,
            },
            RefusedField::MetadataKey => {
                let text = reading.metadata.as_deref().unwrap_or("{}");
                let entries: Entries<'_> = serde_json::from_str(text).unwrap_or_default();
                entries.0.iter().any(|(key, _): &(_, &RawValue)| hit(key))
            }
        }
    }

    fn field_name(&self) -> &'static str {
        match self.field {
            RefusedField::Name => "name",
            RefusedField::ExternalId => "external_id",
            RefusedField::ExternalCustomerId => "external_customer_id",
            RefusedField::MetadataKey => "metadata",
        }
    }

    fn places(&self, index: usize) -> Vec<String> {
        let field = self.field_name();
        match self.refused_as {
            RefusedAs::Schema => ["EventCreateCustomer", "EventCreateExternalCustomer"]
                .map(|arm| format!(r#"["body","events",{index},"{arm}","{field}"]"#))
                .into(),
            RefusedAs::Business | RefusedAs::ServerError => {
                vec![format!(r#"["body","events",{index},"{field}"]"#)]
            }
        }
    }
}

/// The first rule's verdict on a batch: `Err(None)` is a 500, `Err(Some(body))` a 422.
pub(super) fn verdict(rules: &[AlsoRefuse], readings: &[Reading<'_>]) -> Result<(), Option<String>> {
    for (kind, error) in [
        (RefusedAs::Schema, "RequestValidationError"),
        (RefusedAs::Business, "PolarRequestValidationError"),
        (RefusedAs::ServerError, ""),
    ] {
        let mut details = Vec::new();
        for rule in rules.iter().filter(|rule| rule.refused_as == kind) {
            for (index, _) in readings.iter().enumerate().filter(|(_, reading)| rule.hits(reading)) {
                for place in rule.places(index) {
                    details.push(format!(
                        r#"{{"type":"value_error","loc":{place},"msg":"Value error, refused by a rule of the simulator.","input":null,"ctx":{{"error":{{}}}}}}"#
                    ));
                }
            }
        }
        if details.is_empty() {
            continue;
        }
        let body = format!(r#"{{"error":"{error}","detail":[{}]}}"#, details.join(","));
        return Err((kind != RefusedAs::ServerError).then_some(body));
    }
    Ok(())
}
