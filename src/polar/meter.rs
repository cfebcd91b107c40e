//! Meters, as Polar's API writes them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::filter::{Clause, Conjunction, Filter, FilterValue, Operator};

/// A meter that there is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Meter {
    /// Polar's id of it.
    pub id: String,
    /// Its name, shown on invoices.
    pub name: String,
    /// Which events it counts.
    pub filter: Filter,
    /// How they add up.
    pub aggregation: Aggregation,
    /// Whose it is.
    pub organization_id: String,
}

/// A meter to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewMeter {
    name: String,
    filter: Filter,
    aggregation: Aggregation,
}

impl NewMeter {
    /// The sum of `property` over the events named `event`: what credits need.
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
            aggregation: Aggregation { func: Func::Sum, property: Some(property.to_owned()) },
        }
    }
}

/// How events add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregation {
    /// The function.
    pub func: Func,
    /// The metadata property it looks at; a count looks at none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
}

/// A function over events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Func {
    /// How many there are.
    Count,
    /// The sum of a property: the only one that a negative value gives credits on.
    Sum,
    /// Its largest value.
    Max,
    /// Its smallest value.
    Min,
    /// Its average.
    Avg,
    /// How many different values it has.
    Unique,
    /// One that this version of sledge does not know.
    #[serde(other)]
    Unknown,
}

impl Func {
    /// Its name as the dashboard and the API have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
            Self::Avg => "avg",
            Self::Unique => "unique",
            Self::Unknown => "unknown",
        }
    }
}

impl Aggregation {
    /// The property, without the prefix that Polar passes over.
    #[must_use]
    pub fn property(&self) -> Option<&str> {
        self.property.as_deref().map(bare)
    }
}

/// A property without the prefix that Polar passes over.
pub(super) fn bare(property: &str) -> &str {
    property.strip_prefix("metadata.").unwrap_or(property)
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.property() {
            Some(property) => write!(f, "{} of {property}", self.func.as_str()),
            None => f.write_str(self.func.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_meter_is_what_the_guide_sends() {
        let meter = NewMeter::sum("API Calls", "api_usage", "units");
        assert_eq!(
            serde_json::to_string(&meter).unwrap(),
            r#"{"name":"API Calls","filter":{"conjunction":"and","clauses":[{"property":"name","operator":"eq","value":"api_usage"}]},"aggregation":{"func":"sum","property":"units"}}"#
        );
    }

    #[test]
    fn a_function_of_a_later_version_is_read_all_the_same() {
        let read = |text: &str| serde_json::from_str::<Aggregation>(text).unwrap();
        assert_eq!(read(r#"{"func":"median","property":"units"}"#).func, Func::Unknown);
        assert_eq!(read(r#"{"func":"count"}"#).to_string(), "count");
        assert_eq!(read(r#"{"func":"sum","property":"metadata.units"}"#).to_string(), "sum of units");
    }
}
