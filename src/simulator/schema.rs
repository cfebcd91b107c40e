//! Polar's first layer: the schema, with pydantic's kinds, words and places.
//!
//! Every event is read as both arms of a union, one for each way to name a customer. Polar lists every fault of every
//! bad event under both arms.

mod event;
mod fault;
mod metadata;
mod rules;
mod scalar;

use super::also_refuse::AlsoRefuse;
use super::python::Value;
use super::reading::Reading;
pub(super) use event::as_json;
use fault::{Fault, Step, Wrong};

/// Why a request is not let through.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 422 with this body.
    Faults(String),
    /// An exception nobody catches: 500.
    ServerError,
}

/// Reads a request's body as the endpoint's model, with `rules` as further validators of it.
pub(super) fn read<'v>(
    body: &'v Value,
    now_us: i64,
    rules: &[AlsoRefuse],
) -> Result<Vec<Reading<'v>>, Refusal> {
    let Value::Dict(_) = body else {
        return Err(refuse(&[Fault { steps: Vec::new(), wrong: Wrong::no_object(), input: body }]));
    };
    let events = match body.get("events") {
        Some(Value::List(events)) => events,
        Some(other) => {
            let wrong = Wrong::new("list_type", "Input should be a valid list");
            return Err(refuse(&[Fault { steps: vec![Step::Key("events")], wrong, input: other }]));
        }
        None => {
            let fault = Fault { steps: vec![Step::Key("events")], wrong: Wrong::missing(), input: body };
            return Err(refuse(&[fault]));
        }
    };
    let mut readings = Vec::with_capacity(events.len());
    let mut faults = Vec::new();
    for (index, event) in events.iter().enumerate() {
        match event::read(event, now_us, rules).ok_or(Refusal::ServerError)? {
            Ok(reading) => readings.push(reading),
            Err(found) => faults.extend(found.into_iter().map(|fault| fault.under(index))),
        }
    }
    if faults.is_empty() { Ok(readings) } else { Err(refuse(&faults)) }
}

/// A body that is no JSON at all.
pub(super) fn malformed(error: &str, at: usize) -> String {
    let error = serde_json::Value::String(error.to_owned());
    format!(
        r#"{{"error":"RequestValidationError","detail":[{{"type":"json_invalid","loc":["body",{at}],"msg":"JSON decode error","input":{{}},"ctx":{{"error":{error}}}}}]}}"#
    )
}

/// An empty body.
pub(super) fn no_body() -> String {
    r#"{"error":"RequestValidationError","detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}"#
        .to_owned()
}

fn refuse(faults: &[Fault<'_>]) -> Refusal {
    let mut out = String::from(r#"{"error":"RequestValidationError","detail":["#);
    for (index, fault) in faults.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if fault.write(&mut out).is_err() {
            return Refusal::ServerError;
        }
    }
    out.push_str("]}");
    Refusal::Faults(out)
}
