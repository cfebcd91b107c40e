//! The ingest endpoint: from a body to an answer.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;

use crate::polar::{EVENTS_PER_REQUEST_MAX, IngestReply};

use super::also_refuse::{self, AlsoRefuse};
use super::id_table::Place;
use super::meter::Metered;
use super::number::Sum;
use super::python::{self, Unreadable, Value};
use super::reading::{CustomerRef, Reading};
use super::reply::Reply;
use super::world::{KeptEvent, World};
use super::{quick, schema};

/// Rows of meter events one request can insert: 32,767 parameters at 7 a row.
const METER_ROWS_MAX: usize = 4681;

/// A body as far as it can be judged without the database.
pub(super) enum Judged<'b> {
    /// Every event passed the schema.
    Readings(Vec<Reading<'b>>),
    /// It did not; the external ids it carried, for the counts.
    Refused { reply: Reply, external_ids: Vec<Option<String>> },
}

/// A body read by either road.
pub(super) enum Body<'b> {
    /// The quick one.
    Quick(Vec<Reading<'b>>),
    /// The slow one read it as JSON.
    Tree(Value),
    /// It is no JSON, or not sent as such.
    Unreadable(Reply),
}

/// Reads a body as FastAPI does.
pub(super) fn read<'b>(
    body: &'b [u8],
    content_type: Option<&str>,
    now_us: i64,
    rules: &[AlsoRefuse],
) -> Body<'b> {
    if body.is_empty() {
        return Body::Unreadable(Reply::json(422, schema::no_body()));
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return Body::Unreadable(Reply::unreadable_body());
    };
    if !content_type.is_some_and(is_json) {
        return Body::Tree(Value::Text(text.to_owned()));
    }
    if !also_refuse::speaks_in_the_schema(rules)
        && let Some(readings) = quick::read(text, now_us)
    {
        return Body::Quick(readings);
    }
    match python::read(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        Ok(value) => Body::Tree(value),
        Err(Unreadable::Fault { error, at }) => {
            Body::Unreadable(Reply::json(422, schema::malformed(error, at)))
        }
        Err(Unreadable::Refused) => Body::Unreadable(Reply::unreadable_body()),
    }
}

/// `application/json`, or any `application/…+json`.
pub(super) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.strip_prefix("application/").is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// Applies the schema.
pub(super) fn judge<'b>(body: &'b Body<'b>, now_us: i64, rules: &[AlsoRefuse]) -> Judged<'b> {
    let tree = match body {
        Body::Quick(readings) => return Judged::Readings(readings.clone()),
        Body::Unreadable(reply) => return Judged::Refused { reply: reply.clone(), external_ids: Vec::new() },
        Body::Tree(tree) => tree,
    };
    let reply = match schema::read(tree, now_us, rules) {
        Ok(readings) => return Judged::Readings(readings),
        Err(schema::Refusal::Faults(body)) => Reply::json(422, body),
        Err(schema::Refusal::ServerError) => Reply::internal_server_error(),
    };
    let external_ids = match tree.get("events") {
        Some(Value::List(events)) => {
            let id = |event: &Value| event.get("external_id").and_then(Value::as_text).map(str::to_owned);
            events.iter().map(id).collect()
        }
        _ => Vec::new(),
    };
    Judged::Refused { reply, external_ids }
}

/// The texts of the first events of a request.
pub(super) fn texts(body: &Body<'_>, judged: &Judged<'_>, limit: usize) -> Vec<String> {
    match (judged, body) {
        (Judged::Readings(readings), _) => {
            readings.iter().take(limit).map(|reading| reading.text.to_string()).collect()
        }
        (Judged::Refused { .. }, Body::Tree(tree)) => match tree.get("events") {
            Some(Value::List(events)) => events.iter().take(limit).map(schema::as_json).collect(),
            _ => Vec::new(),
        },
        (Judged::Refused { .. }, Body::Quick(_) | Body::Unreadable(_)) => Vec::new(),
    }
}

impl World {
    /// Notes what a request carries, whatever becomes of it. One place an event, `None` without an `external_id`.
    pub(super) fn arrived(&mut self, judged: &Judged<'_>) -> Vec<Option<Place>> {
        self.tallies.ingest_requests += 1;
        let request = u32::try_from(self.tallies.ingest_requests & u64::from(u32::MAX)).unwrap_or(0);
        let ids: Vec<Option<&str>> = match judged {
            Judged::Readings(readings) => {
                readings.iter().map(|reading| reading.external_id.as_deref()).collect()
            }
            Judged::Refused { external_ids, .. } => external_ids.iter().map(Option::as_deref).collect(),
        };
        self.tallies.received += u64::try_from(ids.len()).unwrap_or(0);
        *self.tallies.sizes.entry(ids.len()).or_default() += 1;
        ids.into_iter().map(|id| id.map(|id| self.ids.arrived(id, request))).collect()
    }

    /// The second layer and the database. All or nothing.
    pub(super) fn ingest(&mut self, readings: &[Reading<'_>], places: &[Option<Place>]) -> Reply {
        if let Some(body) = self.second_layer(readings) {
            return Reply::json(422, body);
        }
        let takes_down =
            |reading: &Reading<'_>| reading.poison || also_refuse::takes_down(&self.also_refuse, reading);
        if readings.len() > EVENTS_PER_REQUEST_MAX || readings.iter().any(takes_down) {
            return Reply::internal_server_error();
        }
        let mut taken = HashSet::new();
        let new: Vec<_> = readings
            .iter()
            .zip(places)
            .filter(|(_, place)| place.is_none_or(|place| !self.ids.present(place) && taken.insert(place)))
            .collect();
        let mut measured = Vec::new();
        for (reading, _) in &new {
            let event = Metered {
                name: &reading.name,
                customer: &reading.customer,
                metadata: reading.metadata.as_deref().unwrap_or("{}"),
            };
            let meters = self.database.meters.iter().enumerate();
            measured.extend(meters.map(|(index, meter)| (reading, index, meter.measure(event))));
        }
        let rows = measured.iter().filter(|(_, _, units)| units.is_some()).count();
        if rows > METER_ROWS_MAX || self.is_deadlocked(places) {
            return Reply::internal_server_error();
        }
        let now_us = self.now_us();
        self.add_up(measured.into_iter().map(|(reading, meter, units)| (&reading.customer, meter, units)));
        let inserted = u64::try_from(new.len()).unwrap_or(0);
        let duplicates = u64::try_from(readings.len() - new.len()).unwrap_or(0);
        self.commits += 1;
        for (reading, place) in new {
            self.insert(reading, *place, now_us);
        }
        self.tallies.inserted += inserted;
        self.tallies.duplicates += duplicates;
        let reply = serde_json::to_vec(&IngestReply { inserted, duplicates }).unwrap_or_default();
        Reply::json(200, Bytes::from(reply))
    }

    /// Moves balances. An event that does not count on a meter still puts off the balance its customer has there.
    fn add_up<'r>(&mut self, measured: impl Iterator<Item = (&'r CustomerRef<'r>, usize, Option<Sum>)>) {
        let (now_us, delay_us) = (self.now_us(), self.settle_delay_us());
        for (customer, meter, units) in measured {
            if units.is_none() && delay_us == 0 {
                continue;
            }
            let key = (customer.clone().into_owned(), meter);
            let balance = match units {
                Some(_) => Some(self.database.balances.entry(key).or_default()),
                None => self.database.balances.get_mut(&key),
            };
            if let Some(balance) = balance {
                balance.add(units.unwrap_or_default(), now_us, delay_us);
            }
        }
    }

    fn insert(&mut self, reading: &Reading<'_>, place: Option<Place>, now_us: u64) {
        self.seq += 1;
        self.database.present += 1;
        if let Some(place) = place {
            self.ids.inserted(place, self.commits);
        }
        if let Some(id) = reading.external_id.as_deref()
            && !self.database.missing_parents.is_empty()
        {
            self.database.missing_parents.remove(id);
        }
        if let Some(parent) = reading.parent_id.as_deref() {
            self.database.children += 1;
            let known = self.ids.find(parent).is_some_and(|place| self.ids.present(place));
            if !known && self.event_seq(parent).is_none() {
                *self.database.missing_parents.entry(parent.to_owned()).or_default() += 1;
            }
        }
        if self.events.len() >= self.settings.kept_events_max {
            self.events.pop_front();
        }
        if self.settings.kept_events_max > 0 {
            let received_us = i64::try_from(now_us).unwrap_or(i64::MAX);
            self.events.push_back(KeptEvent {
                seq: self.seq,
                commit: self.commits,
                timestamp_us: reading.timestamp_us.unwrap_or(received_us),
                text: reading.text.as_ref().into(),
            });
        }
    }

    /// The body of the second layer's 422, with the first fault of every bad event.
    fn second_layer(&self, readings: &[Reading<'_>]) -> Option<String> {
        let mut details = Vec::new();
        for (index, reading) in readings.iter().enumerate() {
            let fault = if let Some(id) = reading.organization_id {
                let message = "Setting organization_id is disallowed when using an organization token.";
                Some(("organization_id", Cow::Borrowed(message), id))
            } else if let CustomerRef::Id(id) = reading.customer
                && self.customer_of(&reading.customer).is_none()
            {
                Some(("customer_id", Cow::Borrowed("Customer not found."), id))
            } else {
                // There is no way to create a member here, so every one is unknown.
                reading.member_id.map(|id| ("member_id", Cow::Borrowed("Member not found."), id))
            };
            let fault = fault.map(|(field, message, id)| (field, message, format!("\"{id}\"")));
            let fault = fault.or_else(|| {
                let field = also_refuse::second_layer(&self.also_refuse, reading)?;
                Some((field, Cow::Borrowed(also_refuse::WORDS), "null".to_owned()))
            });
            if let Some((field, message, input)) = fault {
                details.push(format!(
                    r#"{{"type":"{field}","loc":["body","events",{index},"{field}"],"msg":"{message}","input":{input}}}"#
                ));
            }
        }
        if details.is_empty() {
            return None;
        }
        Some(format!(r#"{{"error":"PolarRequestValidationError","detail":[{}]}}"#, details.join(",")))
    }
}
