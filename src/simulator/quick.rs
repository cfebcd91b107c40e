//! The quick road: reads a request it can vouch for without building a tree. Whatever is unusual in any way is
//! answered `None` and goes the slow, exact road, which alone decides what Polar would say.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::{Uuid, Variant};

use super::metadata::{Entries, Text};
use super::reading::{CustomerRef, Reading, unstorable};
use super::timestamp;

/// A longer number is left to the slow road.
const NUMBER_BYTES_MAX: usize = 40;

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    events: Vec<&'b RawValue>,
}

#[derive(Deserialize)]
struct QuickEvent<'b> {
    #[serde(borrow)]
    name: Text<'b>,
    #[serde(borrow, default)]
    customer_id: Option<Text<'b>>,
    #[serde(borrow, default)]
    external_customer_id: Option<Text<'b>>,
    #[serde(borrow, default)]
    external_id: Option<Text<'b>>,
    #[serde(borrow, default)]
    parent_id: Option<Text<'b>>,
    #[serde(borrow, default, deserialize_with = "present")]
    timestamp: Option<Text<'b>>,
    #[serde(borrow, default, deserialize_with = "present")]
    metadata: Option<&'b RawValue>,
    #[serde(borrow, default)]
    organization_id: Option<&'b RawValue>,
    #[serde(borrow, default)]
    member_id: Option<&'b RawValue>,
    #[serde(borrow, default)]
    external_member_id: Option<&'b RawValue>,
}

/// `null` is not the same as absent here.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The events of a body, if nothing about them is unusual.
pub(super) fn read(body: &str, now_us: i64) -> Option<Vec<Reading<'_>>> {
    let body: Body<'_> = serde_json::from_str(body).ok()?;
    body.events.into_iter().map(|event| read_event(event.get(), now_us)).collect()
}

fn read_event(text: &str, now_us: i64) -> Option<Reading<'_>> {
    let event: QuickEvent<'_> = serde_json::from_str(text).ok()?;
    let settled =
        event.organization_id.is_none() && event.member_id.is_none() && event.external_member_id.is_none();
    let short = event.name.0.len() <= 128;
    if !settled || !short || event.name.0.contains('\0') {
        return None;
    }
    let customer = match (event.customer_id, event.external_customer_id) {
        (None, Some(id)) => CustomerRef::External(storable(id.0)?),
        (Some(id), None) => CustomerRef::Id(uuid4(&id.0)?),
        _ => return None,
    };
    let timestamp_us = match event.timestamp {
        Some(text) => Some(timestamp::from_text(&text.0).ok().filter(|instant| *instant <= now_us)?),
        None => None,
    };
    let metadata = event.metadata.map(RawValue::get);
    if let Some(metadata) = metadata {
        vouch_for_metadata(metadata)?;
    }
    let external_id = match event.external_id {
        Some(id) => Some(storable(id.0)?),
        None => None,
    };
    let parent_id = match event.parent_id {
        Some(id) => Some(storable(id.0)?),
        None => None,
    };
    Some(Reading {
        name: event.name.0,
        customer,
        external_id,
        parent_id,
        timestamp_us,
        organization_id: None,
        member_id: None,
        metadata: metadata.map(Cow::Borrowed),
        text: Cow::Borrowed(text),
        poison: false,
    })
}

fn storable(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!unstorable(&text)).then_some(text)
}

fn uuid4(text: &str) -> Option<Uuid> {
    let id = Uuid::parse_str(text).ok()?;
    (id.get_version_num() == 4 && id.get_variant() == Variant::RFC4122).then_some(id)
}

fn vouch_for_metadata(text: &str) -> Option<()> {
    let Entries(entries) = serde_json::from_str(text).ok()?;
    for (key, value) in entries {
        if key == "_cost" || key == "_llm" || key.contains('\0') {
            return None;
        }
        let value = value.get();
        let plain = match value.as_bytes() {
            [b'"', inner @ .., b'"'] => !inner.is_empty() && inner.len() <= 500 && !inner.contains(&b'\\'),
            [b't' | b'f', ..] => true,
            [b'-' | b'0'..=b'9', ..] => value.len() <= NUMBER_BYTES_MAX && !value.contains(['e', 'E']),
            _ => false,
        };
        if !plain {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::{python, schema};
    use super::*;

    const NOON_US: i64 = 1_787_400_000_000_000;

    /// What a reading says, without its JSON.
    fn said(reading: &Reading<'_>) -> (String, [Option<String>; 2], Option<i64>, bool) {
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let ids = [owned(&reading.external_id), owned(&reading.parent_id)];
        (reading.name.clone().into_owned(), ids, reading.timestamp_us, reading.poison)
    }

    /// Whether the quick road vouches for a body; if it does, the slow one must read the same.
    fn agree(body: &str) -> bool {
        let Some(quick) = read(body, NOON_US) else { return false };
        let tree = python::read(body).unwrap_or_else(|error| panic!("{body}: {error:?}"));
        let slow = schema::read(&tree, NOON_US, &[]).unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"));
        assert_eq!(quick.len(), slow.len());
        let json =
            |text: Option<&str>| serde_json::from_str::<serde_json::Value>(text.unwrap_or("{}")).unwrap();
        for (a, b) in quick.iter().zip(&slow) {
            assert_eq!((said(a), &a.customer), (said(b), &b.customer), "{body}");
            assert_eq!(json(a.metadata.as_deref()), json(b.metadata.as_deref()), "{body}");
        }
        true
    }

    #[test]
    fn the_quick_road_never_vouches_for_what_the_slow_one_refuses_or_reads_otherwise() {
        let fixture = include_str!("../../tests/fixtures/simulator/bodies.json");
        let fixture: serde_json::Value = serde_json::from_str(fixture).unwrap();
        let bodies =
            fixture["cases"].as_array().unwrap().iter().map(|case| case["request"].as_str().unwrap());
        let vouched = bodies.filter(|body| agree(body)).count();
        assert!(vouched > 50, "only {vouched} of the fixture's bodies took the quick road");
    }

    const ORDINARY: &str = r#"{"events":[{"name":"api_usage","external_customer_id":"u","external_id":"x","timestamp":"2026-08-22T11:00:00.123Z","metadata":{"units":3,"model":"gpt","ok":true,"rate":0.25}}]}"#;

    #[test]
    fn ordinary_usage_takes_the_quick_road() {
        assert!(agree(ORDINARY));
    }

    #[test]
    fn the_two_roads_agree_on_ordinary_usage_with_any_slip_in_it() {
        let mut random = fastrand::Rng::with_seed(7);
        let pieces = [
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "1",
            "-",
            ".",
            "e9",
            "null",
            "true",
            "NaN",
            "\\u0000",
            "\\ud800",
            "é",
            " ",
            "name",
            "\"external_id\":",
            "\"timestamp\":1,",
            "\"metadata\":{},",
        ];
        let mut vouched = 0;
        for _ in 0..30_000 {
            let mut body = ORDINARY.to_owned();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..body.len());
                let end = (at + random.usize(..4)).min(body.len());
                if body.is_char_boundary(at) && body.is_char_boundary(end) {
                    body.replace_range(at..end, pieces[random.usize(..pieces.len())]);
                }
            }
            vouched += usize::from(agree(&body));
        }
        assert!(vouched > 1000, "only {vouched} took the quick road");
    }
}
