//! Whether a grant would count, asked of Polar before it is sent. What can't be asked is said, and stops nothing.

use std::time::Duration;

use crate::cli::config_args::PolarArgs;
use crate::cli::polar::meter;
use crate::cli::voice::command_line;
use crate::polar::{GrantCheck, Meter, Meters};

/// A grant is not kept waiting for longer: the daemon takes it whether Polar is there or not.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the meters say of a grant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It counts.
    Counts,
    /// It would be stored and change no balance: why, and what to do.
    DoesNot(String),
    /// That could not be found out: why.
    NotKnown(String),
}

/// Asks for the meters and judges the grant by them.
pub(super) async fn check(polar: &PolarArgs, event: &str, property: &str) -> Checked {
    let api = match polar.api_within(PATIENCE) {
        Ok(api) => api,
        Err(failure) => return Checked::NotKnown(failure.message),
    };
    match tokio::time::timeout(PATIENCE, api.meters()).await {
        Ok(Ok(meters)) => judge(&meters, event, property),
        Ok(Err(error)) => Checked::NotKnown(error.to_string()),
        Err(_) => Checked::NotKnown(format!("Polar did not answer within {} s", PATIENCE.as_secs())),
    }
}

fn judge(Meters { meters, are_all }: &Meters, event: &str, property: &str) -> Checked {
    let make = || {
        let words = ["sledge", "polar", "meter", "create", event, "--event", event, "--property", property];
        command_line(words)
    };
    let problem = match GrantCheck::of(meters, event, property) {
        GrantCheck::Counts(_) => return Checked::Counts,
        GrantCheck::Unclear(meter, reason) => {
            return Checked::NotKnown(format!("the meter {:?} decides, and {reason}", meter.name));
        }
        _ if !are_all => {
            return Checked::NotKnown(format!("there are more than {} meters", meters.len()));
        }
        GrantCheck::OtherProperty(meter) => format!(
            "the meter {:?} takes events named {event:?} and sums {}, not {property}; grant on that property, or make a meter that sums {property}:\n  {}",
            meter.name,
            meter.aggregation.property().unwrap_or("another property"),
            make()
        ),
        GrantCheck::NotSum(meter) => format!(
            "the meter {:?} takes events named {event:?}, but as a {}: only a Sum takes a negative value for credits; make one:\n  {}",
            meter.name,
            meter.aggregation.func.as_str(),
            make()
        ),
        GrantCheck::NoMeter => format!(
            "no meter at Polar takes events named {event:?} with {property} below 0{} make one:\n  {}",
            those_there_are(meters),
            make()
        ),
    };
    Checked::DoesNot(problem)
}

/// The first few meters, for whoever mistyped a name.
fn those_there_are(meters: &[Meter]) -> String {
    const SHOWN_MAX: usize = 5;
    let shown: Vec<String> = meters.iter().take(SHOWN_MAX).map(meter::in_words).collect();
    match shown.as_slice() {
        [] => ", and there are none;".to_owned(),
        shown => format!(". There are:\n  {}\nGrant on one of these, or", shown.join("\n  ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meters(are_all: bool) -> Meters {
        let meter = |name: &str, event: &str, aggregation: serde_json::Value| {
            let filter = serde_json::json!({"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": event}]});
            let meter = serde_json::json!({"id": name, "name": name, "filter": filter, "aggregation": aggregation, "organization_id": "o"});
            serde_json::from_value(meter).unwrap()
        };
        let sum = serde_json::json!({"func": "sum", "property": "units"});
        let count = serde_json::json!({"func": "count"});
        Meters {
            meters: vec![meter("API Calls", "api_usage", sum), meter("Logins", "login", count)],
            are_all,
        }
    }

    fn problem(event: &str, property: &str) -> String {
        match judge(&meters(true), event, property) {
            Checked::DoesNot(problem) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_problem_names_the_meter_and_the_command_that_mends_it() {
        assert_eq!(judge(&meters(true), "api_usage", "units"), Checked::Counts);
        let told = problem("api_usage", "unit");
        assert!(told.contains("sums units, not unit;") && told.contains("\"API Calls\""), "{told}");
        let told = problem("login", "units");
        assert!(told.contains("as a count: only a Sum"), "{told}");
        let told = problem("api-usage", "units");
        assert!(told.contains("API Calls: sum of units where name = \"api_usage\""), "{told}");
        assert!(
            told.ends_with("  sledge polar meter create api-usage --event api-usage --property units"),
            "{told}"
        );
    }

    #[test]
    fn of_meters_that_were_not_all_seen_nothing_is_concluded() {
        assert!(matches!(judge(&meters(false), "api-usage", "units"), Checked::NotKnown(_)));
        assert_eq!(judge(&meters(false), "api_usage", "units"), Checked::Counts);
    }
}
