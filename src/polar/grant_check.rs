//! Whether credits that are granted as a negative value would count: which meter takes them, or why none does.

use serde_json::{Map, Value};

use super::meter::{Func, Meter};
use super::verdict::{Measured, Verdict};

/// What becomes of a grant at Polar, as far as its meters tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantCheck<'m> {
    /// It counts on these.
    Counts(Vec<&'m Meter>),
    /// A meter takes the event and sums another property up.
    OtherProperty(&'m Meter),
    /// A meter takes the event, but not as a sum.
    NotSum(&'m Meter),
    /// Whether this one takes the event can't be told here, and no other does.
    Unclear(&'m Meter, String),
    /// No meter takes the event.
    NoMeter,
}

impl<'m> GrantCheck<'m> {
    /// Judges a grant on `property` of the events named `event` by these meters.
    #[must_use]
    pub fn of(meters: &'m [Meter], event: &str, property: &str) -> Self {
        // A negative number is all that matters of the value.
        let metadata = Map::from_iter([(property.to_owned(), Value::from(-1))]);
        Self::of_event(meters, &Measured { name: event.to_owned(), timestamp: None, metadata }, property)
    }

    /// The same for an event that is there.
    #[must_use]
    pub fn of_event(meters: &'m [Meter], event: &Measured, property: &str) -> Self {
        let judged: Vec<(&Meter, Verdict)> =
            meters.iter().map(|meter| (meter, meter.filter.judge(event))).collect();
        let taking = |verdict: &Verdict| *verdict == Verdict::Counts;
        let is_sum = |meter: &Meter| meter.aggregation.func == Func::Sum;
        let on_property = |meter: &Meter| is_sum(meter) && meter.aggregation.property() == Some(property);
        let taken: Vec<&Meter> =
            judged.iter().filter(|(_, verdict)| taking(verdict)).map(|(meter, _)| *meter).collect();
        let counting: Vec<&Meter> = taken.iter().copied().filter(|meter| on_property(meter)).collect();
        if !counting.is_empty() {
            return Self::Counts(counting);
        }
        let unclear = judged.iter().find_map(|(meter, verdict)| match verdict {
            Verdict::Unclear(reason) if on_property(meter) => Some((*meter, reason.clone())),
            Verdict::Unclear(_) | Verdict::Counts | Verdict::Passed => None,
        });
        if let Some((meter, reason)) = unclear {
            return Self::Unclear(meter, reason);
        }
        match (taken.iter().find(|meter| is_sum(meter)), taken.first()) {
            (Some(meter), _) => Self::OtherProperty(meter),
            (None, Some(meter)) => Self::NotSum(meter),
            (None, None) => Self::NoMeter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meter(name: &str, filter: Value, aggregation: Value) -> Meter {
        serde_json::from_value(json!({
            "id": name, "name": name, "filter": filter, "aggregation": aggregation, "organization_id": "o",
        }))
        .unwrap()
    }

    fn named(event: &str) -> Value {
        json!({"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": event}]})
    }

    fn sum(property: &str) -> Value {
        json!({"func": "sum", "property": property})
    }

    #[test]
    fn a_grant_counts_where_a_sum_over_its_property_takes_its_event() {
        let meters = [
            meter("other", named("other"), sum("units")),
            meter("count", named("api_usage"), json!({"func": "count"})),
            meter("good", named("api_usage"), sum("metadata.units")),
        ];
        assert_eq!(GrantCheck::of(&meters, "api_usage", "units"), GrantCheck::Counts(vec![&meters[2]]));
    }

    #[test]
    fn what_keeps_a_grant_from_counting_is_named() {
        let count = meter("count", named("api_usage"), json!({"func": "count"}));
        let tokens = meter("tokens", named("api_usage"), sum("tokens"));
        let conditions = [
            json!({"property": "name", "operator": "eq", "value": "api_usage"}),
            json!({"property": "units", "operator": "gt", "value": 0}),
        ];
        let positive = meter("positive", json!({"conjunction": "and", "clauses": conditions}), sum("units"));
        let ordered =
            json!({"conjunction": "and", "clauses": [{"property": "name", "operator": "gt", "value": "a"}]});
        let unclear = meter("unclear", ordered, sum("units"));
        let check = |meters: &[Meter]| format!("{:?}", GrantCheck::of(meters, "api_usage", "units"));
        assert!(check(std::slice::from_ref(&count)).starts_with("NotSum"));
        assert!(check(&[count, tokens]).starts_with("OtherProperty"));
        assert_eq!(check(&[]), "NoMeter");
        assert_eq!(check(&[positive]), "NoMeter", "a filter that wants more than 0 lets no grant through");
        assert!(check(&[unclear]).starts_with("Unclear"));
    }
}
