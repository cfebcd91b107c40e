//! One event as both arms of the union.

use std::borrow::Cow;

use uuid::Uuid;

use super::super::also_refuse::AlsoRefuse;
use super::super::python::{Value, write};
use super::super::reading::{CustomerRef, Reading, unstorable};
use super::super::timestamp::{self, NoTimestamp};
use super::fault::{Fault, Wrong};
use super::{metadata, rules, scalar};

const NAME_CHARACTERS_MAX: usize = 128;
const CUSTOMER_ARM: &str = "EventCreateCustomer";
const EXTERNAL_ARM: &str = "EventCreateExternalCustomer";

/// What both arms share.
#[derive(Default)]
struct Shared<'v> {
    timestamp_us: Option<i64>,
    name: Option<&'v str>,
    organization_id: Option<Uuid>,
    external_id: Option<&'v str>,
    parent_id: Option<&'v str>,
    metadata: Option<&'v Value>,
    faults: Vec<Fault<'v>>,
}

/// The event, or its faults under both arms. `None` when reading it raises an exception nobody catches.
pub(super) fn read<'v>(
    event: &'v Value,
    now_us: i64,
    rules: &[AlsoRefuse],
) -> Option<Result<Reading<'v>, Vec<Fault<'v>>>> {
    let Value::Dict(_) = event else {
        let faults = [CUSTOMER_ARM, EXTERNAL_ARM].map(|arm| Fault::at(arm, Wrong::no_object(), event));
        return Some(Err(faults.into()));
    };
    let mut shared = shared(event, now_us)?;
    shared.faults.extend(rules::check(rules, event, &shared.faults));
    let customer = required(event, "customer_id", scalar::uuid4);
    let member = optional(event, "member_id", scalar::uuid4);
    let external = required(event, "external_customer_id", scalar::text);
    let external_member = optional(event, "external_member_id", scalar::text);

    let customer_arm = customer.as_ref().ok().filter(|_| member.is_ok());
    let external_arm = external.as_ref().ok().filter(|_| external_member.is_ok());
    // With both arms valid the one with more fields wins, and the string counts as the better match than the id.
    let more_fields = event.get("member_id").is_some() && event.get("external_member_id").is_none();
    let chosen = match (customer_arm, external_arm) {
        (Some(id), None) => Some(CustomerRef::Id(*id)),
        (Some(id), Some(_)) if more_fields => Some(CustomerRef::Id(*id)),
        (_, Some(id)) => Some(CustomerRef::External(Cow::Borrowed(*id))),
        (None, None) => None,
    };
    if let (Some(chosen), true, Some(name)) = (chosen, shared.faults.is_empty(), shared.name) {
        let by_id = matches!(chosen, CustomerRef::Id(_));
        let mut reading = reading(event, &shared, name, chosen);
        if by_id {
            reading.member_id = member.ok().flatten();
        } else {
            reading.poison |= external_member.ok().flatten().is_some_and(|id| id.contains('\0'));
        }
        return Some(Ok(reading));
    }
    let arms = [
        (CUSTOMER_ARM, [customer.err(), member.err()]),
        (EXTERNAL_ARM, [external.err(), external_member.err()]),
    ];
    let mut faults = Vec::new();
    for (arm, own) in arms {
        let all = shared.faults.iter().cloned().chain(own.into_iter().flatten());
        faults.extend(all.map(|fault| fault.inside(arm)));
    }
    Some(Err(faults))
}

fn shared(event: &Value, now_us: i64) -> Option<Shared<'_>> {
    let mut shared = Shared::default();
    if let Some(value) = event.get("timestamp") {
        let wrong = match timestamp::from_value(value) {
            Ok(instant) if instant > now_us => Some(Wrong::value_error("Timestamp must be in the past.")),
            Ok(instant) => {
                shared.timestamp_us = Some(instant);
                None
            }
            Err(NoTimestamp::Overflow) => return None,
            Err(no) => Some(no_timestamp(&no)),
        };
        shared.faults.extend(wrong.map(|wrong| Fault::at("timestamp", wrong, value)));
    }
    let name = |value| scalar::bounded_text(value, 0, NAME_CHARACTERS_MAX);
    shared.name = keep(required(event, "name", name), &mut shared.faults);
    let organization = optional(event, "organization_id", scalar::uuid4);
    shared.organization_id = keep(organization, &mut shared.faults).flatten();
    shared.external_id = keep(optional(event, "external_id", scalar::text), &mut shared.faults).flatten();
    shared.parent_id = keep(optional(event, "parent_id", scalar::text), &mut shared.faults).flatten();
    if let Some(value) = event.get("metadata") {
        shared.faults.extend(metadata::check(value).into_iter().map(|fault| fault.inside("metadata")));
        shared.metadata = Some(value);
    }
    Some(shared)
}

fn no_timestamp(no: &NoTimestamp) -> Wrong {
    match no {
        NoTimestamp::Type | NoTimestamp::Overflow => {
            Wrong::new("datetime_type", "Input should be a valid datetime")
        }
        NoTimestamp::Naive => Wrong::new("timezone_aware", "Input should have timezone info"),
        NoTimestamp::FromDate(error) => {
            Wrong::quoting("datetime_from_date_parsing", "Input should be a valid datetime or date, ", error)
        }
        NoTimestamp::Parsing(error) => {
            Wrong::quoting("datetime_parsing", "Input should be a valid datetime, ", error)
        }
    }
}

fn keep<'v, T>(outcome: Result<T, Fault<'v>>, faults: &mut Vec<Fault<'v>>) -> Option<T> {
    outcome.map_err(|fault| faults.push(fault)).ok()
}

fn required<'v, T>(
    event: &'v Value,
    name: &'static str,
    check: impl Fn(&'v Value) -> Result<T, Wrong>,
) -> Result<T, Fault<'v>> {
    let value = event.get(name).ok_or_else(|| Fault::at(name, Wrong::missing(), event))?;
    check(value).map_err(|wrong| Fault::at(name, wrong, value))
}

fn optional<'v, T>(
    event: &'v Value,
    name: &'static str,
    check: impl Fn(&'v Value) -> Result<T, Wrong>,
) -> Result<Option<T>, Fault<'v>> {
    match event.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => check(value).map(Some).map_err(|wrong| Fault::at(name, wrong, value)),
    }
}

fn reading<'v>(
    event: &'v Value,
    shared: &Shared<'v>,
    name: &'v str,
    customer: CustomerRef<'v>,
) -> Reading<'v> {
    let id_poison = match &customer {
        CustomerRef::External(id) => unstorable(id),
        CustomerRef::Id(_) => false,
    };
    let parent_poison = shared.parent_id.is_some_and(|id| id.contains('\0'));
    let metadata_poison = shared.metadata.is_some_and(metadata::unstorable);
    let poison = id_poison
        || parent_poison
        || metadata_poison
        || name.contains('\0')
        || shared.external_id.is_some_and(unstorable);
    Reading {
        name: Cow::Borrowed(name),
        customer,
        external_id: shared.external_id.map(Cow::Borrowed),
        parent_id: shared.parent_id.map(Cow::Borrowed),
        timestamp_us: shared.timestamp_us,
        organization_id: shared.organization_id,
        member_id: None,
        metadata: shared.metadata.map(|value| Cow::Owned(as_json(value))),
        text: Cow::Owned(as_json(event)),
        poison,
    }
}

/// Text for the log of events; what cannot be written is left out.
pub(in super::super) fn as_json(value: &Value) -> String {
    let mut out = String::new();
    match write(&mut out, value) {
        Ok(()) => out,
        Err(_) => "{}".to_owned(),
    }
}
