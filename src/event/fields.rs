//! The fields of an event: picked from its text in one pass, then held to Polar's rules one by one.

use std::borrow::Cow;

use super::UnixMillis;
use super::code::Code;
use super::event::Rules;
use super::metadata::{self, Metadata};
use super::near_miss;
use super::rejection::{Rejection, shown};
use super::text::{check_uuid4, read_id, read_short_text};
use super::timestamp;
use super::value::{DEPTH_MAX, DIGITS_MAX, Kind, Value, each_member};

/// The longest name of an event, in characters.
pub(super) const NAME_CHARS_MAX: usize = 128;

/// Each known field with the value that counts, which for a repeated key is the last one.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) name: Option<Value<'a>>,
    customer_id: Option<Value<'a>>,
    external_customer_id: Option<Value<'a>>,
    member_id: Option<Value<'a>>,
    external_member_id: Option<Value<'a>>,
    pub(super) external_id: Option<Value<'a>>,
    parent_id: Option<Value<'a>>,
    pub(super) timestamp: Option<Value<'a>>,
    organization_id: Option<Value<'a>>,
    pub(super) metadata: Option<Value<'a>>,
    pub(super) grant: Option<Value<'a>>,
    events: Option<Value<'a>>,
}

/// What the check of the fields found out.
#[derive(Debug)]
pub(super) struct Checked<'a> {
    pub(super) external_id: Option<Cow<'a, str>>,
    pub(super) due: UnixMillis,
    pub(super) metadata: Metadata,
}

impl<'a> Fields<'a> {
    /// Picks the fields from `text`. What Polar could not even parse is put into `faults`, be the field known or not.
    pub(super) fn read(text: &'a str, faults: &mut Vec<Rejection>) -> Result<Self, serde_json::Error> {
        let mut fields = Self::default();
        each_member(text, |key, value| {
            let slot = match key.as_ref() {
                "name" => &mut fields.name,
                "customer_id" => &mut fields.customer_id,
                "external_customer_id" => &mut fields.external_customer_id,
                "member_id" => &mut fields.member_id,
                "external_member_id" => &mut fields.external_member_id,
                "external_id" => &mut fields.external_id,
                "parent_id" => &mut fields.parent_id,
                "timestamp" => &mut fields.timestamp,
                "organization_id" => &mut fields.organization_id,
                "metadata" => &mut fields.metadata,
                "grant" => &mut fields.grant,
                "events" => &mut fields.events,
                _ => &mut None,
            };
            *slot = Some(value);
            if let Some(code) = value.unreadable() {
                faults.push(unreadable(code, &[&key]));
            }
        })?;
        Ok(fields)
    }

    /// Whether this is an ingest request's whole body rather than one event.
    pub(super) fn are_a_request_body(&self) -> bool {
        let holds_events = self.events.is_some_and(|events| events.kind() == Kind::List);
        holds_events && self.name.is_none() && self.grant.is_none()
    }

    /// Checks the name; `text` is the whole event, asked again only when the name is missing.
    pub(super) fn check_name(&self, text: &str, faults: &mut Vec<Rejection>) {
        match self.name {
            Some(name) => faults.extend(read_short_text(name, NAME_CHARS_MAX, &["name"]).err()),
            None if self.grant.is_some() => {
                let message = "is missing; a grant is no event of Polar's, so send it to /sledge/v1/grants";
                faults.push(Rejection::new(Code::MissingField, &["name"], message));
            }
            None => {
                let message = with_hint("is missing; add the name of the event", text, &["name"]);
                faults.push(Rejection::new(Code::MissingField, &["name"], message));
            }
        }
    }

    /// Checks every field but the name.
    pub(super) fn check(
        &self,
        text: &str,
        rules: &Rules,
        now: UnixMillis,
        faults: &mut Vec<Rejection>,
    ) -> Checked<'a> {
        self.check_customer(text, faults);
        let external_id = self.external_id.filter(|id| !id.is_null()).and_then(|id| {
            let id = read_id(id, &["external_id"]).map_err(|fault| faults.push(fault)).ok()?;
            if id.is_empty() {
                let message = "is empty, and Polar would keep only the first of all events with this id; send an id \
                               of its own, or leave the field out to have one stamped";
                faults.push(Rejection::new(Code::ExternalIdEmpty, &["external_id"], message));
            }
            Some(id)
        });
        if let Some(parent) = self.parent_id.filter(|id| !id.is_null()) {
            match read_id(parent, &["parent_id"]) {
                Ok(parent) if Some(&parent) == external_id.as_ref() && !parent.is_empty() => {
                    let message =
                        "is the event's own external_id; send the id of another event, or leave it out";
                    faults.push(Rejection::new(Code::ParentIsItself, &["parent_id"], message));
                }
                read => faults.extend(read.err()),
            }
        }
        if self.organization_id.is_some_and(|id| !id.is_null()) {
            let message = "must be left out: the access token names the organization";
            faults.push(Rejection::new(Code::OrganizationIdForbidden, &["organization_id"], message));
        }
        let due = self.timestamp.map_or(Ok(0), |value| timestamp::due(value, now, rules.future_hold_max));
        let due = due.map_err(|fault| faults.push(fault)).unwrap_or(0);
        let metadata = self.metadata.map(|value| metadata::check(value, faults)).unwrap_or_default();
        Checked { external_id, due, metadata }
    }

    /// Polar reads an event as one of two kinds, of a customer by Polar's id or by the sender's, and takes it when
    /// either fits; the fields of the other kind are ignored then, whatever their type.
    fn check_customer(&self, text: &str, faults: &mut Vec<Rejection>) {
        if self.customer_id.is_none() && self.external_customer_id.is_none() {
            let message =
                "is missing; add external_customer_id (your own id of the customer) or customer_id (Polar's)";
            let message = with_hint(message, text, &["external_customer_id", "customer_id"]);
            faults.push(Rejection::new(Code::MissingField, &["external_customer_id"], message));
            return;
        }
        let by_polars_id = self.faults_by_polars_id();
        let by_own_id = self.faults_by_own_id();
        // A text Polar can't store is a fault in any case: which kind Polar picks when both fit is its own affair.
        let (unfit, unstorable): (Vec<_>, Vec<_>) = by_own_id
            .into_iter()
            .partition(|fault| !matches!(fault.code(), Code::TextInvalid | Code::IdTooLong));
        faults.extend(unstorable);
        let fits_polars_id = self.customer_id.is_some() && by_polars_id.is_empty();
        let fits_own_id = self.external_customer_id.is_some() && unfit.is_empty();
        if fits_polars_id || fits_own_id {
            return;
        }
        if self.customer_id.is_some() {
            faults.extend(by_polars_id);
        }
        if self.external_customer_id.is_some() {
            faults.extend(unfit);
        }
    }

    fn faults_by_polars_id(&self) -> Vec<Rejection> {
        let mut faults = Vec::new();
        if let Some(id) = self.customer_id {
            faults.extend(check_uuid4(id, &["customer_id"]).err());
        }
        if let Some(id) = self.member_id.filter(|id| !id.is_null()) {
            faults.extend(check_uuid4(id, &["member_id"]).err());
        }
        faults
    }

    fn faults_by_own_id(&self) -> Vec<Rejection> {
        let mut faults = Vec::new();
        if let Some(id) = self.external_customer_id {
            faults.extend(read_id(id, &["external_customer_id"]).err());
        }
        if let Some(id) = self.external_member_id.filter(|id| !id.is_null()) {
            faults.extend(read_id(id, &["external_member_id"]).err());
        }
        faults
    }
}

/// The refusal of a value that would keep Polar from reading the batch it is in.
fn unreadable(code: Code, path: &[&str]) -> Rejection {
    match code {
        Code::NumberTooLong => {
            let message =
                format!("holds an integer of more than {DIGITS_MAX} digits; send fewer, or a string");
            Rejection::new(code, path, message)
        }
        Code::NestingTooDeep => {
            let message = format!("is nested more than {DEPTH_MAX} levels deep; flatten it");
            Rejection::new(code, path, message)
        }
        other => Rejection::new(other, path, "can't be read by Polar; leave it out"),
    }
}

/// `message`, and the key in `text` that was probably meant to be one of `fields`.
fn with_hint(message: &'static str, text: &str, fields: &[&'static str]) -> Cow<'static, str> {
    let mut hint = None;
    let read = each_member(text, |key, _| {
        if hint.is_none() {
            hint = near_miss::meant(&key, fields).map(|field| (shown(&key), field));
        }
    });
    match (read, hint) {
        (Ok(()), Some((key, field))) => {
            format!("{message}. Polar ignores `{key}`: did you mean `{field}`?").into()
        }
        _ => message.into(),
    }
}
