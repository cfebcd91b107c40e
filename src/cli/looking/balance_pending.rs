//! What the daemon still owes to Polar of one customer, asked at its socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::cli::voice::events;
use crate::client::exchange;
use crate::polar::{Customer, CustomerKey};

const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What is pending of a customer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Whether that is all: not yet so right after a start.
    pub(super) complete: bool,
    /// By the name of the events.
    pub(super) pending: Vec<PendingOf>,
    /// When something of the customer was delivered last, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_delivery_at: Option<String>,
}

/// What is pending of the events of one name.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PendingOf {
    /// Their name.
    pub(super) event: String,
    /// How many there are.
    pub(super) events: u64,
    /// The sum of each property, exactly.
    #[serde(default)]
    pub(super) sums: BTreeMap<String, Box<RawValue>>,
}

impl PendingOf {
    /// `-7 units in 3 events of api_usage`.
    pub(super) fn in_words(&self, property: &str, sum: &RawValue) -> String {
        format!("{} {property} in {} of {}", sum.get(), events(self.events), self.event)
    }
}

/// Asks the daemon; otherwise why nothing is known.
pub(super) async fn pending(
    socket: &Path,
    key: &CustomerKey,
    customer: Option<&Customer>,
) -> Result<Pending, String> {
    let answered = timeout(PATIENCE, ask(socket, &query(key, customer))).await;
    let answered = answered.unwrap_or_else(|_| Err("no answer within 5 s".to_owned()));
    let not_known = |problem: String| format!("not known: {problem}");
    let (status, body) = answered.map_err(not_known)?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body).map_err(|_| {
            not_known(format!("what answers at {} is not this version of sledge", socket.display()))
        }),
        StatusCode::NOT_FOUND => {
            Err("not counted (sledge does so with pending_customers_max above 0)".to_owned())
        }
        status => Err(not_known(format!("sledge answered {status}"))),
    }
}

/// Both ids, where both are known: events may name either.
fn query(key: &CustomerKey, customer: Option<&Customer>) -> String {
    let (mut external, mut id) = match key {
        CustomerKey::External(external) => (Some(external.as_str()), None),
        CustomerKey::Id(id) => (None, Some(id.as_str())),
    };
    if let Some(customer) = customer {
        external = external.or(customer.external_id.as_deref());
        id = id.or(Some(&customer.id));
    }
    let pairs = [("external_customer_id", external), ("customer_id", id)];
    let pairs: Vec<String> =
        pairs.iter().filter_map(|(name, id)| Some(format!("{name}={}", escaped((*id)?)))).collect();
    pairs.join("&")
}

/// As a query string has it.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let byte = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

async fn ask(socket: &Path, query: &str) -> Result<(StatusCode, Bytes), String> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| format!("no sledge answers at {} ({error})", socket.display()))?;
    let request = Request::get(format!("/sledge/v1/pending?{query}")).header(HOST, "localhost");
    let request = request.body(Full::default()).map_err(|error| error.to_string())?;
    exchange(stream, request, ANSWER_BYTES_MAX).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ids_are_asked_for_where_both_are_known() {
        let external = CustomerKey::External("a b&c=ü".to_owned());
        assert_eq!(query(&external, None), "external_customer_id=a%20b%26c%3D%C3%BC");
        let customer: Customer = serde_json::from_str(
            r#"{"id":"7d9c","external_id":"user_1","created_at":"","organization_id":"o"}"#,
        )
        .unwrap();
        let by_id = CustomerKey::Id("7d9c".to_owned());
        assert_eq!(query(&by_id, Some(&customer)), "external_customer_id=user_1&customer_id=7d9c");
    }

    #[test]
    fn sums_keep_their_digits() {
        let text = r#"{"complete":true,"pending":[{"event":"api_usage","events":3,"sums":{"units":-7.10},"not_summed":0}]}"#;
        let pending: Pending = serde_json::from_str(text).unwrap();
        let one = &pending.pending[0];
        assert_eq!(one.in_words("units", &one.sums["units"]), "-7.10 units in 3 events of api_usage");
    }
}
