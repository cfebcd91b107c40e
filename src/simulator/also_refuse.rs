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

/// What such a refusal says.
pub(super) const WORDS: &str = "refused by a rule of the simulator.";

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
}

/// Whether a rule takes the whole request down.
pub(super) fn takes_down(rules: &[AlsoRefuse], reading: &Reading<'_>) -> bool {
    rules.iter().any(|rule| rule.refused_as == RefusedAs::ServerError && rule.hits(reading))
}

/// The field for which a rule refuses an event in the second layer.
pub(super) fn second_layer(rules: &[AlsoRefuse], reading: &Reading<'_>) -> Option<&'static str> {
    let mut rules = rules.iter().filter(|rule| rule.refused_as == RefusedAs::Business);
    rules.find(|rule| rule.hits(reading)).map(AlsoRefuse::field_name)
}

/// Whether any rule speaks in the first layer, so that no event may pass it unseen.
pub(super) fn speaks_in_the_schema(rules: &[AlsoRefuse]) -> bool {
    rules.iter().any(|rule| rule.refused_as == RefusedAs::Schema)
}
