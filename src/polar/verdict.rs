//! Whether a meter counts an event: its filter, judged here as Polar's database judges it.
//!
//! Where that depends on what can't be known here (the database's order of texts, a number that it fails to convert),
//! the verdict says so instead of guessing.

use serde_json::{Map, Value};

use super::filter::{Clause, Conjunction, Filter, FilterValue, Operator};
use super::meter::bare;

/// What a filter sees of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// Its timestamp in seconds since 1970; `None` where it has none yet.
    pub timestamp: Option<i64>,
    /// Its metadata.
    pub metadata: Map<String, Value>,
}

/// Whether an event counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Counts,
    /// It does not.
    Passed,
    /// That can't be told here: why.
    Unclear(String),
}

impl From<bool> for Verdict {
    fn from(counts: bool) -> Self {
        if counts { Self::Counts } else { Self::Passed }
    }
}

impl Filter {
    /// Whether it lets the event through.
    #[must_use]
    pub fn judge(&self, event: &Measured) -> Verdict {
        if self.clauses.is_empty() {
            return Verdict::Counts;
        }
        // What decides alone decides whatever the others say, unclear ones included.
        let (decisive, mut verdict) = match self.conjunction {
            Conjunction::And => (Verdict::Passed, Verdict::Counts),
            Conjunction::Or => (Verdict::Counts, Verdict::Passed),
        };
        for judged in self.clauses.iter().map(|clause| clause.judge(event)) {
            if judged == decisive {
                return decisive;
            }
            if let Verdict::Unclear(_) = judged {
                verdict = judged;
            }
        }
        verdict
    }
}

impl Clause {
    fn judge(&self, event: &Measured) -> Verdict {
        let (property, operator, wanted) = match self {
            Self::Nested(filter) => return filter.judge(event),
            Self::Compare { property, operator, value } => (bare(property), *operator, value),
        };
        match (property, wanted) {
            ("name", FilterValue::Text(wanted)) => text(operator, &event.name, wanted),
            ("source", FilterValue::Text(wanted)) => text(operator, "user", wanted),
            ("timestamp", FilterValue::Integer(wanted)) => match event.timestamp {
                Some(seconds) => number(operator, seconds, *wanted),
                None => Verdict::Unclear("it compares the timestamp, which is stamped later".to_owned()),
            },
            // Polar compares these with their own type only.
            ("name" | "source" | "timestamp", _) => Verdict::Passed,
            (key, wanted) => of_metadata(operator, key, event.metadata.get(key), wanted),
        }
    }
}

fn of_metadata(operator: Operator, key: &str, found: Option<&Value>, wanted: &FilterValue) -> Verdict {
    let as_text = match wanted {
        FilterValue::Truth(true) => "t".to_owned(),
        FilterValue::Truth(false) => "f".to_owned(),
        FilterValue::Integer(number) => number.to_string(),
        FilterValue::Text(text) => text.clone(),
    };
    // A key that is not there compares with nothing, not even as unequal.
    match found {
        None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => Verdict::Passed,
        Some(found) if matches!(operator, Operator::Like | Operator::NotLike) => {
            text(operator, &shown(found), &as_text)
        }
        Some(Value::String(found)) => text(operator, found, &as_text),
        Some(Value::Bool(found)) => match wanted {
            FilterValue::Truth(wanted) => number(operator, i64::from(*found), i64::from(*wanted)),
            FilterValue::Integer(_) | FilterValue::Text(_) => Verdict::Passed,
        },
        Some(Value::Number(found)) => match (wanted, found.as_i64()) {
            (FilterValue::Text(_), _) => Verdict::Passed,
            (FilterValue::Integer(wanted), Some(found)) => number(operator, found, *wanted),
            (FilterValue::Truth(wanted), Some(found)) => number(operator, found, i64::from(*wanted)),
            (FilterValue::Integer(_) | FilterValue::Truth(_), None) => Verdict::Unclear(format!(
                "it compares {key} with a whole number, and what Polar makes of one that is not whole is not known"
            )),
        },
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn number(operator: Operator, found: i64, wanted: i64) -> Verdict {
    match operator {
        Operator::Eq => (found == wanted).into(),
        Operator::Ne => (found != wanted).into(),
        Operator::Gt => (found > wanted).into(),
        Operator::Gte => (found >= wanted).into(),
        Operator::Lt => (found < wanted).into(),
        Operator::Lte => (found <= wanted).into(),
        Operator::Like => is_like(&found.to_string(), &wanted.to_string()).into(),
        Operator::NotLike => (!is_like(&found.to_string(), &wanted.to_string())).into(),
        Operator::Unknown => unknown_operator(),
    }
}

fn text(operator: Operator, found: &str, wanted: &str) -> Verdict {
    match operator {
        Operator::Eq => (found == wanted).into(),
        Operator::Ne => (found != wanted).into(),
        Operator::Like => is_like(found, wanted).into(),
        Operator::NotLike => (!is_like(found, wanted)).into(),
        Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => {
            Verdict::Unclear("it orders texts, and Polar's database has an order of its own".to_owned())
        }
        Operator::Unknown => unknown_operator(),
    }
}

fn unknown_operator() -> Verdict {
    Verdict::Unclear("it uses an operator that this version of sledge does not know".to_owned())
}

/// SQL's `LIKE '%pattern%'`: `%` stands for any text, `_` for one character, `\` for the next character itself.
fn is_like(found: &str, pattern: &str) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum Piece {
        Any,
        One,
        Exactly(char),
    }
    let mut pieces = vec![Piece::Any];
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        pieces.push(match char {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::Exactly(chars.next().unwrap_or('\\')),
            char => Piece::Exactly(char),
        });
    }
    pieces.push(Piece::Any);
    // Which pieces may come next, after each character.
    let mut next = vec![false; pieces.len() + 1];
    let open = |next: &mut Vec<bool>| {
        for at in 0..pieces.len() {
            if next.get(at) == Some(&true)
                && pieces.get(at) == Some(&Piece::Any)
                && let Some(after) = next.get_mut(at + 1)
            {
                *after = true;
            }
        }
    };
    if let Some(first) = next.first_mut() {
        *first = true;
    }
    open(&mut next);
    for char in found.chars() {
        let mut later = vec![false; pieces.len() + 1];
        for (at, piece) in pieces.iter().enumerate().filter(|(at, _)| next.get(*at) == Some(&true)) {
            let to = match piece {
                Piece::Any => at,
                Piece::One => at + 1,
                Piece::Exactly(wanted) if *wanted == char => at + 1,
                Piece::Exactly(_) => continue,
            };
            if let Some(place) = later.get_mut(to) {
                *place = true;
            }
        }
        open(&mut later);
        next = later;
    }
    next.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn measured(name: &str, metadata: Value) -> Measured {
        let Value::Object(metadata) = metadata else { panic!("metadata is an object") };
        Measured { name: name.to_owned(), timestamp: Some(1_787_400_000), metadata }
    }

    fn judge(filter: Value, event: &Measured) -> Verdict {
        serde_json::from_value::<Filter>(filter).unwrap().judge(event)
    }

    fn clause(property: &str, operator: &str, value: Value) -> Value {
        json!({"property": property, "operator": operator, "value": value})
    }

    fn all(clauses: Vec<Value>) -> Value {
        json!({"conjunction": "and", "clauses": clauses})
    }

    fn any(clauses: Vec<Value>) -> Value {
        json!({"conjunction": "or", "clauses": clauses})
    }

    #[test]
    fn every_operator_compares_each_kind_of_value_as_polars_database_does() {
        let event = measured("api_usage", json!({"units": 3, "model": "gpt-4", "paid": true, "rate": 0.5}));
        for (property, operator, value, counts) in [
            ("name", "eq", json!("api_usage"), true),
            ("name", "eq", json!("API_USAGE"), false),
            ("name", "ne", json!("other"), true),
            ("name", "like", json!("usage"), true),
            ("name", "not_like", json!("usage"), false),
            ("name", "eq", json!(3), false),
            ("source", "eq", json!("user"), true),
            ("source", "eq", json!("system"), false),
            ("timestamp", "gte", json!(1_787_400_000), true),
            ("timestamp", "lt", json!(1_787_400_000), false),
            ("timestamp", "eq", json!("2026"), false),
            ("units", "eq", json!(3), true),
            ("metadata.units", "gte", json!(3), true),
            ("units", "gt", json!(3), false),
            ("units", "lt", json!(4), true),
            ("units", "lte", json!(2), false),
            ("units", "ne", json!(3), false),
            ("units", "eq", json!("3"), false),
            ("units", "like", json!(3), true),
            ("units", "eq", json!(true), false),
            ("model", "eq", json!("gpt-4"), true),
            ("model", "like", json!("gpt"), true),
            ("model", "eq", json!(4), false),
            ("paid", "eq", json!(true), true),
            ("paid", "eq", json!(false), false),
            ("paid", "eq", json!(1), false),
            ("rate", "eq", json!("0.5"), false),
            ("rate", "like", json!("0.5"), true),
            ("missing", "eq", json!("x"), false),
            ("missing", "ne", json!("x"), false),
            ("missing", "not_like", json!("x"), false),
        ] {
            let verdict = judge(all(vec![clause(property, operator, value.clone())]), &event);
            assert_eq!(verdict, Verdict::from(counts), "{property} {operator} {value}");
        }
    }

    #[test]
    fn what_depends_on_polars_database_is_not_guessed() {
        let event = measured("api_usage", json!({"model": "gpt-4", "rate": 0.5}));
        for (property, operator, value) in
            [("model", "gt", json!("a")), ("rate", "gt", json!(0)), ("name", "sounds_like", json!("api"))]
        {
            let verdict = judge(all(vec![clause(property, operator, value)]), &event);
            assert!(matches!(verdict, Verdict::Unclear(_)), "{property}: {verdict:?}");
        }
        let unstamped = Measured { timestamp: None, ..event };
        let verdict = judge(all(vec![clause("timestamp", "gt", json!(0))]), &unstamped);
        assert!(matches!(verdict, Verdict::Unclear(_)), "{verdict:?}");
    }

    #[test]
    fn groups_nest_and_what_decides_alone_outweighs_what_is_unclear() {
        let event = measured("api_usage", json!({"model": "gpt-4"}));
        let (yes, no) =
            (|| clause("name", "eq", json!("api_usage")), || clause("name", "eq", json!("other")));
        let unclear = || clause("model", "gt", json!("a"));
        for (filter, counts) in [
            (all(vec![]), Some(true)),
            (any(vec![]), Some(true)),
            (all(vec![yes(), no()]), Some(false)),
            (any(vec![no(), yes()]), Some(true)),
            (all(vec![yes(), any(vec![no(), yes()])]), Some(true)),
            (any(vec![no(), all(vec![yes(), no()])]), Some(false)),
            (all(vec![unclear(), no()]), Some(false)),
            (any(vec![unclear(), yes()]), Some(true)),
            (all(vec![yes(), unclear()]), None),
            (any(vec![no(), unclear()]), None),
        ] {
            let verdict = judge(filter.clone(), &event);
            match counts {
                Some(counts) => assert_eq!(verdict, Verdict::from(counts), "{filter}"),
                None => assert!(matches!(verdict, Verdict::Unclear(_)), "{filter}"),
            }
        }
    }

    #[test]
    fn contains_is_sqls_like_with_its_wildcards() {
        for (found, pattern, is) in [
            ("api_usage", "usage", true),
            ("api-usage", "api_usage", true),
            ("apiusage", "api_usage", false),
            ("api_usage", "a%e", true),
            ("api_usage", r"api\_usage", true),
            ("api-usage", r"api\_usage", false),
            ("", "", true),
            ("", "_", false),
            ("übel", "_bel", true),
        ] {
            assert_eq!(is_like(found, pattern), is, "{found} {pattern}");
        }
    }
}
