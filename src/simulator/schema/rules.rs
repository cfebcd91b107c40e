//! Rules stricter than Polar's, where they speak as its schema does.

use super::super::also_refuse::{AlsoRefuse, RefusedAs, RefusedField, WORDS};
use super::super::python::Value;
use super::fault::{Fault, Wrong};

/// The faults that rules find in an event, as far as Polar's own have not spoken of the same place: a validator of
/// pydantic that comes after another one never sees what that one refused.
pub(super) fn check<'v>(rules: &[AlsoRefuse], event: &'v Value, found: &[Fault<'v>]) -> Vec<Fault<'v>> {
    let rules = rules.iter().filter(|rule| rule.refused_as == RefusedAs::Schema);
    let mut faults: Vec<Fault<'v>> = Vec::new();
    for fault in rules.flat_map(|rule| faults_of(rule, event)) {
        if !found.iter().chain(&faults).any(|other| other.is_at_or_below(&fault)) {
            faults.push(fault);
        }
    }
    faults
}

fn faults_of<'v>(rule: &AlsoRefuse, event: &'v Value) -> Vec<Fault<'v>> {
    let hit = |text: &str| text.contains(&rule.containing);
    let wrong = || Wrong::value_error(WORDS);
    let of_text = |name: &'static str| match event.get(name) {
        Some(value @ Value::Text(text)) if hit(text) => vec![Fault::at(name, wrong(), value)],
        _ => Vec::new(),
    };
    match rule.field {
        RefusedField::Name => of_text("name"),
        RefusedField::ExternalId => of_text("external_id"),
        RefusedField::ExternalCustomerId => of_text("external_customer_id"),
        RefusedField::MetadataKey => match event.get("metadata") {
            Some(Value::Dict(entries)) => {
                let keys = entries.iter().filter_map(|(key, value)| Some((key.as_deref()?, value)));
                let hits = keys.filter(|(key, _)| hit(key));
                hits.map(|(key, value)| Fault::at(key, wrong(), value).inside("metadata")).collect()
            }
            _ => Vec::new(),
        },
    }
}
