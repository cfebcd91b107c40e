//! Which events a meter counts, as Polar keeps it. What that means for an event is in `verdict.rs`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::meter::bare;

/// Which events count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// How the clauses are joined.
    pub conjunction: Conjunction,
    /// The clauses; none lets every event through.
    pub clauses: Vec<Clause>,
}

/// How clauses are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conjunction {
    /// All of them must hold.
    And,
    /// One of them must.
    Or,
}

/// A condition, or conditions in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Clause {
    /// A property compared with a value.
    Compare {
        /// `name`, `source`, `timestamp`, or a key of the metadata.
        property: String,
        /// How.
        operator: Operator,
        /// With what.
        value: FilterValue,
    },
    /// A filter within a filter.
    Nested(Filter),
}

/// How a property is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equals.
    Eq,
    /// Does not equal.
    Ne,
    /// Is greater.
    Gt,
    /// Is greater or equal.
    Gte,
    /// Is less.
    Lt,
    /// Is less or equal.
    Lte,
    /// Contains, as a text; `%` and `_` in the value stand for any text and any character.
    Like,
    /// Does not contain.
    NotLike,
    /// One that this version of sledge does not know.
    #[serde(other)]
    Unknown,
}

/// What a property is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FilterValue {
    /// A truth value.
    Truth(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.clauses.is_empty() {
            return f.write_str("every event");
        }
        let joint = match self.conjunction {
            Conjunction::And => " and ",
            Conjunction::Or => " or ",
        };
        for (number, clause) in self.clauses.iter().enumerate() {
            if number > 0 {
                f.write_str(joint)?;
            }
            match clause {
                Clause::Nested(filter) => write!(f, "({filter})")?,
                Clause::Compare { property, operator, value } => {
                    write!(f, "{} {} {value}", bare(property), operator.as_str())?;
                }
            }
        }
        Ok(())
    }
}

impl Operator {
    fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "≠",
            Self::Gt => ">",
            Self::Gte => "≥",
            Self::Lt => "<",
            Self::Lte => "≤",
            Self::Like => "contains",
            Self::NotLike => "does not contain",
            Self::Unknown => "?",
        }
    }
}

impl fmt::Display for FilterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_filter_is_told_in_words() {
        let clause = |property: &str, operator: &str, value| json!({"property": property, "operator": operator, "value": value});
        let any = json!({"conjunction": "or", "clauses": [
            clause("metadata.units", "gt", json!(3)),
            clause("model", "like", json!("gpt")),
        ]});
        let all = json!({"conjunction": "and", "clauses": [clause("name", "eq", json!("api_usage")), any]});
        let filter: Filter = serde_json::from_value(all).unwrap();
        assert_eq!(filter.to_string(), r#"name = "api_usage" and (units > 3 or model contains "gpt")"#);
    }
}
