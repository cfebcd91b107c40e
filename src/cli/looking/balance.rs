//! `sledge balance`: what Polar says a customer has left, and what it can't know yet because it is still here.

use clap::Args;
use serde_json::{Map, Value, json};

use super::balance_pending::{Pending, PendingOf, pending};
use crate::cli::config_args::PolarArgs;
use crate::cli::polar::{CustomerArgs, unknown};
use crate::cli::sending::SocketArg;
use crate::cli::voice::{Exit, Failure, Tone, Voice, units};
use crate::polar::{Api, ApiError, Customer, CustomerKey, CustomerMeter, Func, Measured, Meter, Verdict};

/// Polar's own delay, in words.
const POLARS_DELAY: &str = "Polar computes a balance 15 s after the customer's last event, and at most 180 min after the first one it has not counted yet.";

/// Shows a customer's balances at Polar, and beside them what is still pending here.
///
/// The two are not added up: what was sent a moment ago may be in neither number for as long as Polar takes to compute, and
/// only Polar knows. What is pending here is known if sledge runs with pending_customers_max above 0.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge balance --customer user_123
  sledge balance --customer user_123 --json | jq '.meters[0].balance'

The token (POLAR_ACCESS_TOKEN or --token-file) needs the scope customer_meters:read.
Exit codes: 0 shown, 1 Polar does not know the customer, 69 Polar is away, 75 try again, 78 the token can't do it.")]
pub(in crate::cli) struct BalanceArgs {
    #[command(flatten)]
    customer: CustomerArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: SocketArg,
    #[command(flatten)]
    polar: PolarArgs,
}

pub(in crate::cli) async fn balance(args: BalanceArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let (api, key) = (args.polar.api()?, args.customer.key());
    let meters = api.customer_meters(&key).await?;
    let customer = customer(&api, &key, &meters).await;
    let pending = pending(&args.socket.path(), &key, customer.as_ref().ok().and_then(Option::as_ref)).await;
    let is_known = customer.is_ok();
    if args.json {
        voice.say(&as_json(args.customer.as_typed(), &meters, &pending).to_string())?;
    } else {
        // Polar takes events of a customer that it does not know yet, so these may be told all the same.
        let lines = if is_known { lines(&meters, &pending, voice) } else { pending_lines(&pending, &[]) };
        for line in lines {
            voice.say(&line)?;
        }
    }
    customer.map(|_| Exit::Ok).map_err(|error| unknown(error, args.customer.as_typed()))
}

/// The customer, where the token lets us know; a meter of theirs tells without asking again.
async fn customer(
    api: &Api,
    key: &CustomerKey,
    meters: &[CustomerMeter],
) -> Result<Option<Customer>, ApiError> {
    if let Some(meter) = meters.first() {
        return Ok(Some(meter.customer.clone()));
    }
    match api.customer(key).await {
        Ok(customer) => Ok(Some(customer)),
        // Without the scope to read customers it stays open whether there is one.
        Err(ApiError::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn lines(meters: &[CustomerMeter], pending: &Result<Pending, String>, voice: &Voice) -> Vec<String> {
    let quiet = |text: &str| voice.toned(Tone::Quiet, text);
    let mut lines = Vec::new();
    let mut shown = Vec::new();
    for meter in meters {
        let computed = meter.modified_at.as_deref().map(|at| format!(", computed {at}")).unwrap_or_default();
        lines.push(format!(
            "{}: {} at Polar (credited {}, consumed {}{computed})",
            meter.meter.name,
            units(meter.balance),
            units(meter.credited_units),
            units(meter.consumed_units)
        ));
        for (of, property) in pending.iter().flat_map(|pending| &pending.pending).flat_map(properties) {
            if takes(&meter.meter, of, property)
                && let Some(sum) = of.sums.get(property)
            {
                lines.push(format!("  pending here, not in it: {}", of.in_words(property, sum)));
                shown.push((of.event.as_str(), property));
            }
        }
    }
    if meters.is_empty() {
        lines.push("no meter at Polar has counted anything of this customer yet".to_owned());
    }
    match pending {
        Ok(told) => {
            lines.extend(pending_lines(pending, &shown));
            if told.pending.is_empty() {
                lines.push("nothing of this customer is pending here".to_owned());
            }
            if !told.complete {
                lines.push("sledge is still counting what is pending; there may be more".to_owned());
            }
            lines.extend(told.last_delivery_at.as_ref().map(|at| format!("last delivered to Polar {at}")));
        }
        Err(reason) => lines.push(format!("pending here: {reason}")),
    }
    lines.push(quiet(POLARS_DELAY));
    lines
}

/// What is pending here beside what was shown under a meter.
fn pending_lines(pending: &Result<Pending, String>, shown: &[(&str, &str)]) -> Vec<String> {
    let all = pending.iter().flat_map(|pending| &pending.pending).flat_map(properties);
    let rest = all.filter(|(of, property)| !shown.contains(&(of.event.as_str(), *property)));
    let words = |(of, property): (&PendingOf, &str)| {
        let sum = of.sums.get(property)?;
        Some(format!("pending here, on no meter above: {}", of.in_words(property, sum)))
    };
    rest.filter_map(words).collect()
}

fn properties(of: &PendingOf) -> impl Iterator<Item = (&PendingOf, &str)> {
    of.sums.keys().map(move |property| (of, property.as_str()))
}

/// Whether a meter sums this property of these events, by their name. What else its filter asks of each of them is not
/// known here; then they are not shown as its.
fn takes(meter: &Meter, of: &PendingOf, property: &str) -> bool {
    let is_summed = meter.aggregation.func == Func::Sum && meter.aggregation.property() == Some(property);
    let metadata = Map::from_iter([(property.to_owned(), Value::from(1))]);
    let event = Measured { name: of.event.clone(), timestamp: None, metadata };
    is_summed && meter.filter.judge(&event) == Verdict::Counts
}

fn as_json(customer: &str, meters: &[CustomerMeter], pending: &Result<Pending, String>) -> Value {
    let meter = |of: &CustomerMeter| {
        json!({
            "meter": of.meter.name,
            "meter_id": of.meter.id,
            "balance": of.balance,
            "credited_units": of.credited_units,
            "consumed_units": of.consumed_units,
            "computed_at": of.modified_at,
        })
    };
    let mut object = json!({
        "customer": customer,
        "meters": meters.iter().map(meter).collect::<Vec<_>>(),
        "pending": pending.as_ref().ok(),
    });
    if let (Err(reason), Some(fields)) = (pending, object.as_object_mut()) {
        fields.insert("pending_not_known".to_owned(), json!(reason));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> CustomerMeter {
        serde_json::from_value(json!({
            "customer": {"id": "c", "external_id": "user_123", "created_at": "", "organization_id": "o"},
            "meter": {
                "id": "m", "name": "API Calls", "organization_id": "o",
                "filter": {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "api_usage"}]},
                "aggregation": {"func": "sum", "property": "units"},
            },
            "consumed_units": -7.0, "credited_units": 0, "balance": 7.0, "modified_at": "2026-08-22T12:00:00Z",
        }))
        .unwrap()
    }

    fn pending(text: &str) -> Result<Pending, String> {
        Ok(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn polars_number_and_what_is_pending_stand_side_by_side_and_are_not_added() {
        let pending = pending(
            r#"{"complete":true,"pending":[{"event":"api_usage","events":2,"sums":{"units":8,"ms":40}}],"last_delivery_at":"2026-08-22T11:59:00Z"}"#,
        );
        let lines = lines(&[standing()], &pending, &Voice::new(true));
        assert_eq!(
            lines,
            [
                "API Calls: 7 at Polar (credited 0, consumed -7, computed 2026-08-22T12:00:00Z)",
                "  pending here, not in it: 8 units in 2 events of api_usage",
                "pending here, on no meter above: 40 ms in 2 events of api_usage",
                "last delivered to Polar 2026-08-22T11:59:00Z",
                POLARS_DELAY,
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_said_and_never_shown_as_nothing() {
        let off: Result<Pending, String> = Err("not known: sledge is not running".to_owned());
        let told = lines(&[standing()], &off, &Voice::new(true)).join("\n");
        assert!(told.contains("pending here: not known: sledge is not running"), "{told}");
        let object = as_json("user_123", &[standing()], &off);
        assert_eq!((&object["pending"], &object["meters"][0]["balance"]), (&Value::Null, &json!(7.0)));
        assert_eq!(object["pending_not_known"], "not known: sledge is not running");
        let counting = pending(r#"{"complete":false,"pending":[]}"#);
        let told = lines(&[], &counting, &Voice::new(true)).join("\n");
        assert!(told.contains("there may be more") && told.contains("no meter at Polar"), "{told}");
    }
}
