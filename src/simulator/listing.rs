//! The endpoints beside ingest: customers, meters, balances, events.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::http::request::Parts;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::calendar::rfc3339;
use super::customer::{Customer, CustomerExists, NewCustomer};
use super::ingest::is_json;
use super::metadata::Text;
use super::meter::{Meter, NewMeter};
use super::number::Sum;
use super::query::{Query, segment};
use super::reading::CustomerRef;
use super::reply::Reply;
use super::world::{KeptEvent, World};

/// A page's default and greatest length.
const PAGE: (usize, usize) = (10, 100);

/// Answers any request under `/v1/` but a good one to ingest.
pub(super) fn answer(world: &mut World, head: &Parts, path: &str, query: &Query, body: &Bytes) -> Reply {
    let inner = path.strip_prefix("/v1/").unwrap_or(path);
    let segments: Vec<String> = inner.trim_end_matches('/').split('/').map(segment).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let collection = matches!(segments.as_slice(), ["customers" | "meters" | "customer-meters" | "events"]);
    let known = collection
        || matches!(
            segments.as_slice(),
            ["events", "ingest"]
                | ["customers" | "meters" | "customer-meters", _]
                | ["customers", _, "state"]
                | ["customers", "external", _]
                | ["customers", "external", _, "state"]
        );
    if !known {
        return Reply::not_found();
    }
    if collection != path.ends_with('/') {
        return redirect(head, path);
    }
    match (&head.method, segments.as_slice()) {
        (&Method::POST, ["customers" | "meters"]) | (&Method::GET, _) => {}
        (_, ["customers" | "meters"]) => return Reply::method_not_allowed("GET, POST"),
        (_, ["events", "ingest"]) => return Reply::method_not_allowed("POST"),
        _ => return Reply::method_not_allowed("GET"),
    }
    if let Some(reply) = world.refuse_caller(&head.headers, scopes(&head.method, &segments)) {
        return reply;
    }
    match (&head.method, segments.as_slice()) {
        (&Method::POST, ["customers"]) => create_customer(world, head, body),
        (&Method::POST, ["meters"]) => create_meter(world, head, body),
        (_, ["customers"]) => {
            list(world.database.customers.iter(), query, |customer| world.customer_json(customer))
        }
        (_, ["meters"]) => list(world.database.meters.iter(), query, |meter| world.meter_json(meter)),
        (_, ["customer-meters"]) => customer_meters(world, query),
        (_, ["events"]) => events(world, query),
        (_, ["events", "ingest"]) => Reply::method_not_allowed("POST"),
        (_, ["meters", id]) => {
            let meter = world.database.meters.iter().find(|meter| meter.id.to_string() == *id);
            found(meter.map(|meter| world.meter_json(meter)))
        }
        (_, ["customer-meters", id]) => {
            let pair = world.customer_meters().into_iter().find(|pair| pair.id().to_string() == *id);
            found(pair.map(|pair| world.customer_meter_json(&pair, true)))
        }
        (_, ["customers", rest @ ..]) => customer(world, rest),
        _ => Reply::not_found(),
    }
}

/// Any one of these opens the endpoint.
fn scopes(method: &Method, segments: &[&str]) -> &'static [&'static str] {
    match (method, segments) {
        (&Method::POST, ["meters"]) => &["meters:write"],
        (&Method::POST, _) => &["customers:write"],
        (_, ["meters", ..]) => &["meters:read", "meters:write"],
        (_, ["customer-meters", ..]) => &["customer_meters:read"],
        (_, ["events", ..]) => &["events:read", "events:write"],
        _ => &["customers:read", "customers:write"],
    }
}

/// Starlette's redirect to the spelling with, or without, the slash at the end.
fn redirect(head: &Parts, path: &str) -> Reply {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let path = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Reply::empty(307).with_header("location", &format!("http://{host}{path}{query}"))
}

fn customer(world: &World, rest: &[&str]) -> Reply {
    let (found_customer, state) = match rest {
        ["external", id] | ["external", id, "state"] => {
            (world.customer_of(&CustomerRef::External(Cow::Borrowed(id))), rest.len() == 3)
        }
        [id] | [id, "state"] => {
            let id = Uuid::parse_str(id).ok();
            (id.and_then(|id| world.customer_of(&CustomerRef::Id(id))), rest.len() == 2)
        }
        _ => (None, false),
    };
    found(found_customer.map(|customer| {
        let mut shown = world.customer_json(customer);
        if state && let Some(fields) = shown.as_object_mut() {
            let pairs = world.customer_meters().into_iter().filter(|pair| pair.customer.id == customer.id);
            let meters = pairs.map(|pair| world.customer_meter_json(&pair, false)).collect();
            fields.insert("active_subscriptions".to_owned(), json!([]));
            fields.insert("granted_benefits".to_owned(), json!([]));
            fields.insert("active_meters".to_owned(), serde_json::Value::Array(meters));
        }
        shown
    }))
}

fn create_customer(world: &mut World, head: &Parts, body: &Bytes) -> Reply {
    let new: NewCustomer = match read(head, body) {
        Ok(new) => new,
        Err(reply) => return reply,
    };
    let valid = new.email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.ends_with('.') && !new.email.contains(' ')
    });
    if !valid {
        let message = "value is not a valid email address";
        return unprocessable("RequestValidationError", "value_error", "email", message, &new.email);
    }
    match world.create_customer(new.clone()) {
        Ok(customer) => created(&world.customer_json(&customer)),
        Err(CustomerExists { field: "email" }) => {
            let message = "A customer with this email address already exists.";
            unprocessable("PolarRequestValidationError", "value_error", "email", message, &new.email)
        }
        Err(CustomerExists { field }) => {
            let message = "A customer with this external ID already exists.";
            let input = new.external_id.unwrap_or_default();
            unprocessable("PolarRequestValidationError", "value_error", field, message, &input)
        }
    }
}

fn create_meter(world: &mut World, head: &Parts, body: &Bytes) -> Reply {
    match read::<NewMeter>(head, body) {
        Ok(new) if new.name.chars().count() < 3 => {
            let message = "String should have at least 3 characters";
            unprocessable("RequestValidationError", "string_too_short", "name", message, &new.name)
        }
        Ok(new) => {
            let meter = world.create_meter(new);
            created(&world.meter_json(&meter))
        }
        Err(reply) => reply,
    }
}

fn read<T: for<'b> Deserialize<'b>>(head: &Parts, body: &Bytes) -> Result<T, Reply> {
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(is_json) {
        let message = "Input should be a valid dictionary or object to extract fields from";
        return Err(unprocessable("RequestValidationError", "model_attributes_type", "", message, ""));
    }
    serde_json::from_slice(body)
        .map_err(|error| unprocessable("RequestValidationError", "value_error", "", &error.to_string(), ""))
}

fn unprocessable(error: &str, kind: &str, field: &str, message: &str, input: &str) -> Reply {
    let mut place = vec!["body", field];
    place.retain(|step| !step.is_empty());
    let fault = json!({"type": kind, "loc": place, "msg": message, "input": input});
    Reply::json(422, json!({"error": error, "detail": [fault]}).to_string())
}

fn created(object: &serde_json::Value) -> Reply {
    Reply::json(201, object.to_string())
}

fn found(object: Option<serde_json::Value>) -> Reply {
    object.map_or_else(Reply::resource_not_found, |object| Reply::json(200, object.to_string()))
}

fn list<T>(items: impl Iterator<Item = T>, query: &Query, show: impl Fn(T) -> serde_json::Value) -> Reply {
    let items: Vec<T> = items.collect();
    let total = items.len();
    let limit = query.number("limit", PAGE.0).clamp(1, PAGE.1);
    let skip = query.number("page", 1).saturating_sub(1).saturating_mul(limit);
    let shown: Vec<_> = items.into_iter().skip(skip).take(limit).map(show).collect();
    let pagination = json!({"total_count": total, "max_page": total.div_ceil(limit)});
    Reply::json(200, json!({"items": shown, "pagination": pagination}).to_string())
}

fn customer_meters(world: &World, query: &Query) -> Reply {
    let (ids, external_ids) = (query.all("customer_id"), query.all("external_customer_id"));
    let meters = query.all("meter_id");
    let pairs = world.customer_meters().into_iter().filter(|pair| {
        let id = pair.customer.id.to_string();
        let external_id = pair.customer.new.external_id.as_deref();
        (ids.is_empty() || ids.contains(&id.as_str()))
            && (external_ids.is_empty() || external_id.is_some_and(|id| external_ids.contains(&id)))
            && (meters.is_empty() || meters.contains(&pair.meter.id.to_string().as_str()))
    });
    list(pairs, query, |pair| world.customer_meter_json(&pair, true))
}

fn events(world: &World, query: &Query) -> Reply {
    let (names, customers, external) =
        (query.all("name"), query.all("customer_id"), query.all("external_customer_id"));
    let newest_first = world.events.iter().rev();
    let wanted =
        newest_first.filter_map(|event| Some((event, EventView::of(&event.text)?))).filter(|(_, view)| {
            let customer = world.customer_of(&view.customer);
            let id = customer.map(|customer| customer.id.to_string());
            let external_id = match &view.customer {
                CustomerRef::External(id) => Some(id.as_ref()),
                CustomerRef::Id(_) => customer.and_then(|customer| customer.new.external_id.as_deref()),
            };
            (names.is_empty() || names.contains(&view.name.as_ref()))
                && (customers.is_empty() || id.is_some_and(|id| customers.contains(&id.as_str())))
                && (external.is_empty() || external_id.is_some_and(|id| external.contains(&id)))
        });
    list(wanted, query, |(event, view)| world.event_json(event, &view))
}

/// The kept events as a JSON list, newest first.
pub(super) fn latest(world: &World, limit: usize) -> String {
    let texts: Vec<&str> = world.events.iter().rev().take(limit).map(|event| event.text.as_ref()).collect();
    format!("[{}]", texts.join(","))
}

/// What a kept event says.
#[derive(Debug)]
pub(super) struct EventView<'e> {
    pub(super) name: Cow<'e, str>,
    pub(super) customer: CustomerRef<'e>,
    pub(super) metadata: &'e str,
}

impl<'e> EventView<'e> {
    pub(super) fn of(text: &'e str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Kept<'k> {
            #[serde(borrow)]
            name: Text<'k>,
            #[serde(borrow, default)]
            external_customer_id: Option<&'k RawValue>,
            #[serde(default)]
            customer_id: Option<serde_json::Value>,
            #[serde(borrow, default)]
            metadata: Option<&'k RawValue>,
        }
        let kept: Kept<'e> = serde_json::from_str(text).ok()?;
        let external =
            kept.external_customer_id.and_then(|id| serde_json::from_str::<Text<'e>>(id.get()).ok());
        let customer = match external {
            Some(id) => CustomerRef::External(id.0),
            None => CustomerRef::Id(Uuid::parse_str(kept.customer_id?.as_str()?).ok()?),
        };
        Some(Self { name: kept.name.0, customer, metadata: kept.metadata.map_or("{}", RawValue::get) })
    }
}

/// A customer and a meter on which something of theirs counted.
struct CustomerMeter<'w> {
    customer: &'w Customer,
    meter: &'w Meter,
    consumed: Sum,
}

impl CustomerMeter<'_> {
    /// An id of its own that stays the same.
    fn id(&self) -> Uuid {
        let joined = self.customer.id.as_u128() ^ self.meter.id.as_u128().rotate_left(1);
        uuid::Builder::from_random_bytes(joined.to_le_bytes()).into_uuid()
    }
}

impl World {
    fn customer_meters(&self) -> Vec<CustomerMeter<'_>> {
        let mut pairs = Vec::new();
        for customer in &self.database.customers {
            for (index, meter) in self.database.meters.iter().enumerate() {
                let consumed = self.consumed(customer, index);
                pairs.extend(consumed.map(|consumed| CustomerMeter { customer, meter, consumed }));
            }
        }
        pairs
    }

    fn customer_json(&self, customer: &Customer) -> serde_json::Value {
        json!({
            "id": customer.id.to_string(),
            "created_at": at(customer.created_us),
            "modified_at": null,
            "metadata": {},
            "external_id": customer.new.external_id,
            "email": customer.new.email,
            "email_verified": false,
            "type": "individual",
            "name": customer.new.name,
            "billing_name": null,
            "billing_address": null,
            "tax_id": null,
            "locale": null,
            "organization_id": self.organization_id.to_string(),
            "default_payment_method_id": null,
            "deleted_at": null,
            "first_user_event_at": null,
            "avatar_url": "",
        })
    }

    fn meter_json(&self, meter: &Meter) -> serde_json::Value {
        json!({
            "metadata": {},
            "created_at": at(meter.created_us),
            "modified_at": null,
            "id": meter.id.to_string(),
            "name": meter.new.name,
            "unit": "scalar",
            "custom_label": null,
            "custom_multiplier": null,
            "filter": meter.new.filter,
            "aggregation": meter.new.aggregation,
            "archived_at": null,
            "organization_id": self.organization_id.to_string(),
        })
    }

    fn customer_meter_json(&self, pair: &CustomerMeter<'_>, whole: bool) -> serde_json::Value {
        let mut shown = json!({
            "id": pair.id().to_string(),
            "created_at": at(pair.meter.created_us),
            "modified_at": null,
            "meter_id": pair.meter.id.to_string(),
            "consumed_units": pair.consumed.approximately(),
            "credited_units": 0,
            "balance": pair.consumed.negated().approximately(),
        });
        if whole && let Some(fields) = shown.as_object_mut() {
            fields.insert("customer_id".to_owned(), json!(pair.customer.id.to_string()));
            fields.insert("customer".to_owned(), self.customer_json(pair.customer));
            fields.insert("meter".to_owned(), self.meter_json(pair.meter));
        }
        shown
    }

    fn event_json(&self, event: &KeptEvent, view: &EventView<'_>) -> serde_json::Value {
        let customer = self.customer_of(&view.customer);
        let external_customer_id = match &view.customer {
            CustomerRef::External(id) => Some(id.as_ref()),
            CustomerRef::Id(_) => customer.and_then(|customer| customer.new.external_id.as_deref()),
        };
        json!({
            "id": self.event_id(event.seq).to_string(),
            "timestamp": rfc3339(event.timestamp_us),
            "organization_id": self.organization_id.to_string(),
            "customer_id": customer.map(|customer| customer.id.to_string()),
            "customer": customer.map(|customer| self.customer_json(customer)),
            "external_customer_id": external_customer_id,
            "member_id": null,
            "external_member_id": null,
            "child_count": 0,
            "parent_id": null,
            "label": view.name,
            "name": view.name,
            "source": "user",
            "metadata": serde_json::from_str::<serde_json::Value>(view.metadata).unwrap_or_default(),
        })
    }

    /// The id Polar gives the event at `seq`: it looks random and can be read back.
    pub(super) fn event_id(&self, seq: u64) -> Uuid {
        let mut bytes = *self.organization_id.as_bytes();
        for (byte, digit) in bytes.iter_mut().rev().zip(seq.to_le_bytes()).take(6) {
            *byte ^= digit;
        }
        Uuid::from_bytes(bytes)
    }

    /// The place of the event with Polar's id `id`, when it is one of ours.
    pub(super) fn event_seq(&self, id: &str) -> Option<u64> {
        let id = Uuid::parse_str(id).ok()?.as_u128() ^ self.organization_id.as_u128();
        let seq = u64::try_from(id).ok()?;
        (seq > 0 && seq <= self.seq).then_some(seq)
    }
}

fn at(us: u64) -> String {
    rfc3339(i64::try_from(us).unwrap_or(i64::MAX))
}
