//! The question for what a customer has pending: who is meant.

use crate::event::CustomerRef;
use crate::journal::PendingUnits;
use crate::protocol::{FaultCode, HttpReply};

/// Answers `GET /sledge/v1/pending` with this query.
pub(super) fn answer(query: Option<&str>, units: Option<&PendingUnits>) -> Result<HttpReply, HttpReply> {
    let Some(units) = units else {
        let detail = "what customers have pending is not counted, or not told here: set pending_customers_max, and ask \
                      on the Unix socket";
        return Err(HttpReply::error(FaultCode::PendingOff, detail));
    };
    let customers = customers(query.unwrap_or_default());
    let Some(customers) = customers.filter(|customers| !customers.is_empty()) else {
        let detail = "name the customer: ?external_customer_id= (your own id), ?customer_id= (Polar's, a UUID), or both, \
                      percent-encoded";
        return Err(HttpReply::error(FaultCode::CustomerMissing, detail));
    };
    // Nothing in it can fail to be written.
    Ok(HttpReply::ok(serde_json::to_vec(&units.of(&customers)).unwrap_or_default()))
}

/// Whom a query means; `None` where one of the ids can't be read.
fn customers(query: &str) -> Option<Vec<CustomerRef>> {
    let mut customers = Vec::new();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let customer = match name {
            "external_customer_id" => CustomerRef::External(decoded(value)?),
            "customer_id" => CustomerRef::of_polar(&decoded(value)?)?,
            _ => continue,
        };
        if !customers.contains(&customer) {
            customers.push(customer);
        }
    }
    Some(customers)
}

/// As forms encode it: `%XX`, and `+` for a space.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customers_are_named_by_either_id_or_both() {
        let id = "9f1c2d3e-4b5a-4c6d-8e7f-0a1b2c3d4e5f";
        let external = |id: &str| CustomerRef::External(id.to_owned());
        assert_eq!(customers("external_customer_id=user_1"), Some(vec![external("user_1")]));
        assert_eq!(customers("x=1&external_customer_id=a%2Fb+c%C3%A9%26"), Some(vec![external("a/b cé&")]));
        let both = Some(vec![external("u"), CustomerRef::of_polar(id).unwrap()]);
        assert_eq!(customers(&format!("external_customer_id=u&customer_id={id}")), both);
        assert_eq!(customers("external_customer_id=u&external_customer_id=u"), Some(vec![external("u")]));
        assert_eq!(customers("external_customer_id="), Some(vec![external("")]));
        assert_eq!(customers("limit=1"), Some(Vec::new()));
        for bad in [
            "customer_id=user_1",
            "external_customer_id=%",
            "external_customer_id=%zz",
            "external_customer_id=%ff",
        ] {
            assert_eq!(customers(bad), None, "{bad}");
        }
    }

    #[test]
    fn without_counts_or_without_a_customer_the_caller_is_told_what_to_do() {
        let status = |answer: Result<HttpReply, HttpReply>| answer.unwrap_err().status;
        assert_eq!(status(answer(Some("external_customer_id=u"), None)), 404);
    }
}
