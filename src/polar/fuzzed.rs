//! What must hold of any bytes at all, for the fuzzers in `fuzz/` and the cases they left behind.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::reply::Reply;
use super::retry_after::{http_date, retry_after};

/// Whatever status and body an answer has, it is one case of [`Reply`], and only a 200 with Polar's own body is taken for
/// a delivery; its headers may hold anything.
///
/// # Panics
/// When that does not hold.
pub fn reply(bytes: &[u8]) {
    let Some((status, body)) = bytes.split_first_chunk::<2>() else { return };
    let status = 100 + u16::from_le_bytes(*status) % 900;
    let header = String::from_utf8_lossy(body);
    let date = http_date(&header);
    let reply = Reply::read(status, retry_after(&header, date), body);
    if let Reply::Accepted(counts) = &reply {
        // What is ignored may be neither UTF-8 nor a number that fits.
        let members: HashMap<String, Box<RawValue>> = serde_json::from_str(&header).unwrap_or_default();
        let inserted = members.get("inserted").map(|json| json.get().parse());
        assert_eq!(status, 200);
        assert_eq!(inserted, Some(Ok(counts.inserted)));
    }
    if let Reply::Invalid(reply) = &reply {
        assert_eq!(status, 422);
        drop(reply.detail.iter().map(super::wire::Fault::event_index).collect::<Vec<_>>());
    }
    assert!(!reply.label().is_empty());
}
