//! What arrives at the simulator, told line by line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::voice::{Failure, Tone, Voice, figures};
use crate::simulator::{BalanceView, Simulator};

/// Long enough to be no load, and for ever in effect: the wait begins again.
const WAIT: Duration = Duration::from_secs(3600);
/// As many events as the simulator shows at once; of a larger batch the rest is counted.
const SHOWN_MAX: u64 = 20;

/// Tells of every event that arrives. Ends only when standard output fails.
pub(super) async fn tell(simulator: &Simulator, voice: &mut Voice) -> Result<(), Failure> {
    let mut told = 0;
    loop {
        if !simulator.wait_for_events(told + 1, WAIT).await {
            continue;
        }
        let state = simulator.state();
        let arrived = state.events_inserted.saturating_sub(told);
        told = state.events_inserted;
        if arrived > SHOWN_MAX {
            let line = format!("  {} more", figures::events(arrived - SHOWN_MAX));
            voice.say(&voice.toned(Tone::Quiet, &line))?;
        }
        let shown = usize::try_from(arrived.min(SHOWN_MAX)).unwrap_or(usize::MAX);
        let latest: Vec<&String> = state.latest_events.iter().take(shown).collect();
        for event in latest.into_iter().rev() {
            voice.say(&line(event, &state.balances))?;
        }
    }
}

#[derive(Deserialize)]
struct Arrived<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    external_customer_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    customer_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    external_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    metadata: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

/// `api_usage user_123 units=-10 id=… balance 10`.
pub(super) fn line(event: &str, balances: &[BalanceView]) -> String {
    let Ok(event) = serde_json::from_str::<Arrived<'_>>(event) else {
        return "  an event".to_owned();
    };
    let customer = event.external_customer_id.or(event.customer_id).unwrap_or_default();
    let mut line = format!("  {} {customer}", event.name);
    for (key, value) in event.metadata.unwrap_or_default() {
        line.push_str(&format!(" {key}={}", value.get()));
    }
    if let Some(id) = event.external_id {
        line.push_str(&format!(" id={id}"));
    }
    for view in balances.iter().filter(|view| view.customer == customer) {
        line.push_str(&format!("  balance {} ({})", view.balance, view.meter));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(customer: &str, balance: f64) -> BalanceView {
        BalanceView {
            customer: customer.to_owned(),
            meter: "API Calls".to_owned(),
            consumed_units: -balance,
            balance,
            customer_known: true,
        }
    }

    #[test]
    fn an_event_is_told_in_one_line_with_its_customers_balance() {
        let event = r#"{"name":"api_usage","external_customer_id":"user_123","metadata":{"units":-10},"external_id":"1"}"#;
        assert_eq!(
            line(event, &[balance("other", 3.0), balance("user_123", 10.0)]),
            "  api_usage user_123 units=-10 id=1  balance 10 (API Calls)"
        );
    }

    #[test]
    fn an_event_nobody_meters_has_no_balance() {
        let event = r#"{"name":"login","customer_id":"c","external_id":"2"}"#;
        assert_eq!(line(event, &[balance("user_123", 10.0)]), "  login c id=2");
    }
}
