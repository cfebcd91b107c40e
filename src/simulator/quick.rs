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

    /// What a reading says, without the spelling of its JSON.
    fn said<'r>(readings: &'r [Reading<'r>]) -> Vec<(&'r Reading<'r>, serde_json::Value, serde_json::Value)> {
        let json = |text: &str| serde_json::from_str(text).unwrap();
        readings.iter().map(|r| (r, json(&r.text), json(r.metadata.as_deref().unwrap_or("{}")))).collect()
    }

    fn agree(body: &str) -> bool {
        let Some(quick) = read(body, NOON_US) else { return false };
        let tree = python::read(body).unwrap_or_else(|error| panic!("{body}: {error:?}"));
        let slow = schema::read(&tree, NOON_US).unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"));
        let (quick, slow) = (said(&quick), said(&slow));
        assert_eq!(quick.len(), slow.len());
        for ((a, text_a, metadata_a), (b, text_b, metadata_b)) in quick.iter().zip(&slow) {
            let bare = |reading: &Reading<'_>| {
                (
                    reading.name.clone().into_owned(),
                    reading.external_id.clone().map(Cow::into_owned),
                    reading.parent_id.clone().map(Cow::into_owned),
                    reading.timestamp_us,
                    reading.poison,
                )
            };
            assert_eq!(
                (bare(a), &a.customer, text_a, metadata_a),
                (bare(b), &b.customer, text_b, metadata_b)
            );
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

    #[test]
    fn ordinary_usage_takes_the_quick_road() {
        assert!(agree(
            r#"{"events":[{"name":"api_usage","external_customer_id":"u","external_id":"x","timestamp":"2026-08-22T11:00:00.123Z","metadata":{"units":3,"model":"gpt","ok":true,"rate":0.25}}]}"#
        ));
    }
}
