//! Meters: which events count, and how they add up.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::metadata;
use super::number::Sum;
use super::reading::CustomerRef;

/// How a filter's clauses are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conjunction {
    /// All of them.
    And,
    /// Any of them.
    Or,
}

/// How a property is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Contains.
    Like,
    /// Does not contain.
    NotLike,
}

/// What a property is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FilterValue {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i32),
    /// A string.
    Text(String),
}

/// A condition, or a group of conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Clause {
    /// A comparison.
    Compare {
        /// `name`, `external_customer_id`, or a (dotted) metadata key, with or without `metadata.` before it.
        property: String,
        /// How to compare.
        operator: Operator,
        /// With what.
        value: FilterValue,
    },
    /// A group.
    Group(Filter),
}

/// Which events a meter counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// How the clauses are joined.
    pub conjunction: Conjunction,
    /// The clauses; none means every event.
    pub clauses: Vec<Clause>,
}

/// How events add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "func", rename_all = "snake_case")]
pub enum Aggregation {
    /// The number of events.
    Count,
    /// The sum of a numeric metadata property; anything but a number does not count.
    Sum {
        /// The metadata key.
        property: String,
    },
}

/// A meter to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMeter {
    /// Its name.
    pub name: String,
    /// Which events it counts.
    pub filter: Filter,
    /// How they add up.
    pub aggregation: Aggregation,
}

impl NewMeter {
    /// A Sum meter over the metadata property `property` of the events named `event`: what credits need.
    #[must_use]
    pub fn sum(name: &str, event: &str, property: &str) -> Self {
        let clause = Clause::Compare {
            property: "name".to_owned(),
            operator: Operator::Eq,
            value: FilterValue::Text(event.to_owned()),
        };
        Self {
            name: name.to_owned(),
            filter: Filter { conjunction: Conjunction::And, clauses: vec![clause] },
            aggregation: Aggregation::Sum { property: property.to_owned() },
        }
    }
}

/// A meter.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    pub(super) id: Uuid,
    pub(super) created_us: u64,
    pub(super) new: NewMeter,
}

/// What a meter sees of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metered<'e> {
    pub(super) name: &'e str,
    pub(super) customer: &'e CustomerRef<'e>,
    pub(super) metadata: &'e str,
}

impl Meter {
    /// What the event adds; `None` when it does not count here.
    pub(super) fn measure(&self, event: Metered<'_>) -> Option<Sum> {
        if !self.new.filter.admits(event) {
            return None;
        }
        let mut sum = Sum::default();
        match &self.new.aggregation {
            Aggregation::Count => sum.add_one(),
            Aggregation::Sum { property } => {
                let number = metadata::lookup(event.metadata, bare(property))?;
                if !number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
                    return None;
                }
                sum.add_text(number);
            }
        }
        Some(sum)
    }
}

fn bare(property: &str) -> &str {
    property.strip_prefix("metadata.").unwrap_or(property)
}

impl Filter {
    fn admits(&self, event: Metered<'_>) -> bool {
        let admits = |clause: &Clause| match clause {
            Clause::Compare { property, operator, value } => compare(event, bare(property), *operator, value),
            Clause::Group(filter) => filter.admits(event),
        };
        match self.conjunction {
            Conjunction::And => self.clauses.iter().all(admits),
            Conjunction::Or => self.clauses.is_empty() || self.clauses.iter().any(admits),
        }
    }
}

fn compare(event: Metered<'_>, property: &str, operator: Operator, value: &FilterValue) -> bool {
    let fixed = match (property, event.customer) {
        ("name", _) => Some(event.name),
        ("source", _) => Some("user"),
        ("external_customer_id", CustomerRef::External(id)) => Some(id.as_ref()),
        _ => None,
    };
    if let Some(text) = fixed {
        return matches!(value, FilterValue::Text(wanted) if holds(operator, text, wanted.as_str(), text, wanted));
    }
    let Some(found) = metadata::lookup(event.metadata, property) else { return false };
    let wanted_text = match value {
        FilterValue::Bool(true) => "t".to_owned(),
        FilterValue::Bool(false) => "f".to_owned(),
        FilterValue::Int(number) => number.to_string(),
        FilterValue::Text(text) => text.clone(),
    };
    let text: Result<String, _> = serde_json::from_str(found);
    let shown = text.as_deref().unwrap_or(found);
    if let Ok(text) = &text {
        return holds(operator, text.as_str(), wanted_text.as_str(), text, &wanted_text);
    }
    match (found.parse::<f64>(), found, value) {
        (Ok(number), _, FilterValue::Int(wanted)) => {
            holds(operator, number, f64::from(*wanted), shown, &wanted_text)
        }
        (Ok(number), _, FilterValue::Bool(wanted)) => {
            holds(operator, number, f64::from(u8::from(*wanted)), shown, &wanted_text)
        }
        (_, "true" | "false", FilterValue::Bool(wanted)) => {
            holds(operator, found == "true", *wanted, shown, &wanted_text)
        }
        _ => false,
    }
}

fn holds<T: PartialOrd>(
    operator: Operator,
    found: T,
    wanted: T,
    found_text: &str,
    wanted_text: &str,
) -> bool {
    match operator {
        Operator::Eq => found == wanted,
        Operator::Ne => found != wanted,
        Operator::Gt => found > wanted,
        Operator::Gte => found >= wanted,
        Operator::Lt => found < wanted,
        Operator::Lte => found <= wanted,
        Operator::Like => found_text.contains(wanted_text),
        Operator::NotLike => !found_text.contains(wanted_text),
    }
}
