//! Requests as they arrive, told to whoever watches.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::reply::Reply;
use super::state::RequestRecord;

/// Arrivals a slow watcher may be behind before it misses some.
pub(super) const BEHIND_MAX: usize = 256;
/// Events of one arrival that are told in full.
pub(super) const FIRST_EVENTS_MAX: usize = 20;

/// A request under `/v1` and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Arrival {
    /// The request.
    #[serde(flatten)]
    pub request: RequestRecord,
    /// Why it was refused: the place and the words of the first fault, or the error's name.
    pub refusal: Option<String>,
    /// Its first events as they came, at most 20, each on one line.
    pub first_events: Vec<Box<RawValue>>,
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A request arrived and was answered.
    Arrival(Arc<Arrival>),
    /// So many arrived too quickly to be told one by one.
    Missed(u64),
}

/// The arrivals from the moment it was made on.
#[derive(Debug)]
pub struct Arrivals {
    receiver: broadcast::Receiver<Arc<Arrival>>,
}

impl Arrivals {
    pub(super) fn new(receiver: broadcast::Receiver<Arc<Arrival>>) -> Self {
        Self { receiver }
    }

    /// Waits for the next one; `None` once the simulator is gone.
    pub async fn next(&mut self) -> Option<Seen> {
        match self.receiver.recv().await {
            Ok(arrival) => Some(Seen::Arrival(arrival)),
            Err(RecvError::Lagged(missed)) => Some(Seen::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next one if it has arrived already.
    pub fn already(&mut self) -> Option<Seen> {
        match self.receiver.try_recv() {
            Ok(arrival) => Some(Seen::Arrival(arrival)),
            Err(TryRecvError::Lagged(missed)) => Some(Seen::Missed(missed)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

/// The event on one line. Line ends can only stand between the parts of a JSON text, never in a string.
pub(super) fn on_one_line(event: &str) -> Option<Box<RawValue>> {
    let line = event.replace(['\n', '\r'], " ");
    RawValue::from_string(line).or_else(|_| to_raw_value(event)).ok()
}

/// Why an answer is a refusal, in a few words.
pub(super) fn refusal(reply: &Reply) -> Option<String> {
    if reply.status < 400 {
        return None;
    }
    let body = serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let first = body.get("detail").and_then(|detail| detail.get(0)).and_then(|fault| {
        let steps = fault.get("loc")?.as_array()?.iter();
        let steps: Vec<String> = steps.map(|step| text(step).unwrap_or_else(|| step.to_string())).collect();
        Some(format!("{}: {}", steps.join("."), fault.get("msg")?.as_str()?))
    });
    first.or_else(|| text(body.get("error")?)).or_else(|| text(body.get("detail")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_first_fault_or_the_error() {
        let of = |status, body: &'static str| refusal(&Reply::json(status, body));
        let fault = r#"{"error":"E","detail":[{"loc":["body","events",3,"name"],"msg":"Field required"}]}"#;
        assert_eq!(of(422, fault).as_deref(), Some("body.events.3.name: Field required"));
        assert_eq!(of(401, r#"{"error":"invalid_token"}"#).as_deref(), Some("invalid_token"));
        assert_eq!(of(404, r#"{"detail":"Not Found"}"#).as_deref(), Some("Not Found"));
        assert_eq!(of(502, "<html>"), None);
        assert_eq!(of(200, fault), None);
    }

    #[test]
    fn an_event_keeps_its_characters_but_for_the_line_ends() {
        let line = on_one_line("{\n\"units\": 0.12345678901234568\r\n}").unwrap();
        assert_eq!(line.get(), "{ \"units\": 0.12345678901234568  }");
    }
}
