//! Whether what is sent counts: Polar's meters against the events that lie in the journal.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::finding::{Code, Finding};
use crate::polar::{Func, GrantCheck, Measured, Meter, Meters, Verdict};

/// An event as meters see it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sent {
    measured: Measured,
    /// Whether somebody only means to send it.
    is_meant: bool,
}

impl Sent {
    /// Reads an event's text; `None` when it is none.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let event: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let name = event.get("name")?.as_str()?.to_owned();
        let metadata = match event.get("metadata") {
            Some(Value::Object(metadata)) => metadata.clone(),
            _ => Map::new(),
        };
        // Which second it was matters to few filters, and is not worth a guess here.
        Some(Self { measured: Measured { name, timestamp: None, metadata }, is_meant: false })
    }

    /// One that grants credits, as somebody means to send it.
    pub(super) fn grant(name: &str, property: &str) -> Self {
        let metadata = Map::from_iter([(property.to_owned(), Value::from(-1))]);
        let measured = Measured { name: name.to_owned(), timestamp: None, metadata };
        Self { measured, is_meant: true }
    }

    /// Whether it tells of costs or of a language model, which Polar shows without any meter.
    fn is_for_insight(&self) -> bool {
        self.measured.metadata.contains_key("_cost") || self.measured.metadata.contains_key("_llm")
    }

    /// Properties below nought: credits.
    fn credits(&self) -> impl Iterator<Item = &str> {
        let below = |value: &Value| value.as_f64().is_some_and(|number| number < 0.0);
        self.measured.metadata.iter().filter(move |(_, value)| below(value)).map(|(key, _)| key.as_str())
    }
}

/// One finding for each name and fault, however many events show it.
pub(super) fn judge(Meters { meters, are_all }: &Meters, sent: &[Sent]) -> Vec<Finding> {
    let mut by_name: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
    for event in sent {
        by_name.entry(&event.measured.name).or_default().push(event);
    }
    let mut findings = Vec::new();
    for (name, events) in by_name {
        let counts = |event: &&Sent| {
            let passes = |meter: &Meter| meter.filter.judge(&event.measured) != Verdict::Passed;
            event.is_for_insight() || meters.iter().any(passes)
        };
        if *are_all && !events.iter().any(counts) {
            let which = if events.iter().all(|event| event.is_meant) {
                "on which credits are to be granted"
            } else {
                "of which there are some in the journal"
            };
            let seen = format!("no meter takes events named {name:?}, {which}");
            let fix = format!(
                "make one: sledge polar meter create NAME --event {name} --property PROPERTY; or mend the name where it is sent (sledge polar meter list shows the filters)"
            );
            findings.push(Finding::new(Code::EventOnNoMeter, seen, fix));
            continue;
        }
        findings.extend(events.iter().find_map(|event| credits(meters, name, event)));
        findings.extend(events.iter().find_map(|event| text(meters, name, event)));
    }
    findings
}

/// Credits that change no balance.
fn credits(meters: &[Meter], name: &str, event: &Sent) -> Option<Finding> {
    let was = if event.is_meant { "would be" } else { "was" };
    let mut problem = None;
    for property in event.credits() {
        match GrantCheck::of_event(meters, &event.measured, property) {
            GrantCheck::Counts(_) | GrantCheck::Unclear(..) => return None,
            GrantCheck::NotSum(meter) => {
                let func = meter.aggregation.func.as_str();
                let seen = format!(
                    "{property} below 0 {was} sent as {name:?}, and the meter {:?} takes it as a {func}",
                    meter.name
                );
                let fix = format!(
                    "make a Sum: sledge polar meter create NAME --event {name} --property {property}"
                );
                problem = Some(Finding::new(Code::MeterNotSum, seen, fix));
            }
            GrantCheck::OtherProperty(meter) => {
                let sums = meter.aggregation.property().unwrap_or_default();
                let seen = format!(
                    "{property} below 0 {was} sent as {name:?}, and the meter {:?} sums {sums}",
                    meter.name
                );
                let fix = format!("grant on {sums}, or make a meter that sums {property}");
                problem = Some(Finding::new(Code::CreditsOnOtherProperty, seen, fix));
            }
            GrantCheck::NoMeter => {}
        }
    }
    problem
}

/// A number in quotes where a meter sums.
fn text(meters: &[Meter], name: &str, event: &Sent) -> Option<Finding> {
    meters.iter().filter(|meter| meter.aggregation.func == Func::Sum).find_map(|meter| {
        let property = meter.aggregation.property()?;
        let is_number = event.measured.metadata.get(property)?.as_str()?.trim().parse::<f64>().is_ok();
        let is_taken = meter.filter.judge(&event.measured) == Verdict::Counts;
        (is_number && is_taken).then(|| {
            let seen =
                format!("{property} of {name:?} was sent in quotes, and the meter {:?} sums it", meter.name);
            Finding::new(Code::ValueSentAsText, seen, format!("send {property} as a number, without quotes"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meters(are_all: bool) -> Meters {
        let meter = |name: &str, event: &str, aggregation: Value| {
            let clause = json!({"property": "name", "operator": "eq", "value": event});
            let filter = json!({"conjunction": "and", "clauses": [clause]});
            let meter = json!({"id": name, "name": name, "filter": filter, "aggregation": aggregation, "organization_id": "o"});
            serde_json::from_value(meter).unwrap()
        };
        let sum = json!({"func": "sum", "property": "units"});
        Meters {
            meters: vec![
                meter("Calls", "api_usage", sum),
                meter("Logins", "login", json!({"func": "count"})),
            ],
            are_all,
        }
    }

    fn codes(are_all: bool, events: &[&str]) -> Vec<Code> {
        let sent: Vec<Sent> = events.iter().map(|text| Sent::read(text.as_bytes()).unwrap()).collect();
        judge(&meters(are_all), &sent).iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn what_counts_is_silent_and_what_does_not_is_found_once() {
        let good = r#"{"name":"api_usage","metadata":{"units":3}}"#;
        let grant = r#"{"name":"api_usage","metadata":{"units":-10}}"#;
        let login = r#"{"name":"login"}"#;
        let cost = r#"{"name":"llm","metadata":{"_cost":{"amount":1,"currency":"usd"}}}"#;
        assert!(codes(true, &[good, grant, login, cost]).is_empty());
        assert_eq!(codes(true, &[r#"{"name":"api-usage"}"#; 3]), [Code::EventOnNoMeter]);
        assert!(codes(false, &[r#"{"name":"api-usage"}"#]).is_empty(), "not all meters were seen");
        assert_eq!(codes(true, &[r#"{"name":"login","metadata":{"n":-1}}"#]), [Code::MeterNotSum]);
        assert_eq!(
            codes(true, &[r#"{"name":"api_usage","metadata":{"unit":-1}}"#]),
            [Code::CreditsOnOtherProperty]
        );
        assert_eq!(
            codes(true, &[good, r#"{"name":"api_usage","metadata":{"units":"3"}}"#]),
            [Code::ValueSentAsText]
        );
        assert!(
            codes(true, &[r#"{"name":"api_usage","metadata":{"units":"many"}}"#]).is_empty(),
            "no number at all"
        );
        assert_eq!(judge(&meters(true), &[Sent::grant("login", "units")])[0].code, Code::MeterNotSum);
    }

    #[test]
    fn what_somebody_only_means_to_send_is_not_told_as_sent() {
        for (event, property) in [("login", "units"), ("api_usage", "unit"), ("api-usage", "units")] {
            let findings = judge(&meters(true), &[Sent::grant(event, property)]);
            let seen = &findings[0].seen;
            assert!(!seen.contains("was sent") && !seen.contains("in the journal"), "{seen}");
        }
        let sent = Sent::read(br#"{"name":"api-usage"}"#).unwrap();
        let findings = judge(&meters(true), &[Sent::grant("api-usage", "units"), sent]);
        assert!(findings[0].seen.contains("in the journal"), "{findings:?}");
    }
}
