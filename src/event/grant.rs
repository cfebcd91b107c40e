//! The grant shorthand, and the event it stands for.

use super::code::Code;
use super::fields::{Fields, NAME_CHARS_MAX};
use super::members::Members;
use super::near_miss;
use super::rejection::{FAULTS_MAX, Rejection};
use super::text::read_short_text;
use super::value::{Kind, Value, each_member};

const KEYS: &[&str] = &["event", "property", "credits"];
const SHAPE: &str = r#"{"event":"api_usage","property":"units","credits":10}"#;

/// `{"event":…,"property":…,"credits":…}`, checked; each value still in its own characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant<'a> {
    event: Value<'a>,
    property: Value<'a>,
    credits: Value<'a>,
}

impl<'a> Grant<'a> {
    /// Reads the grant among `fields`; `None` when it has faults, which go to `faults`.
    pub(super) fn read(fields: &Fields<'a>, faults: &mut Vec<Rejection>) -> Option<Self> {
        let Some(grant) = fields.grant else {
            faults.push(Rejection::new(Code::MissingField, &["grant"], format!("is missing; add {SHAPE}")));
            return None;
        };
        if fields.name.is_some() {
            let message = "stands beside grant, which names the event itself; leave one of them out";
            faults.push(Rejection::new(Code::GrantConflict, &["name"], message));
        }
        if grant.kind() != Kind::Object {
            let message = format!("must be an object such as {SHAPE}");
            faults.push(Rejection::new(Code::WrongType, &["grant"], message).of_kind("dict_type"));
            return None;
        }
        let members = Members::of_object(grant, &["grant"], faults)?;
        for (key, _) in members.iter().filter(|(key, _)| !KEYS.contains(key)).take(FAULTS_MAX) {
            let hint = near_miss::meant(key, KEYS).map(|meant| format!(" (did you mean `{meant}`?)"));
            let hint = hint.unwrap_or_default();
            let message =
                format!("means nothing inside grant{hint}; it takes {SHAPE}, all else goes beside it");
            faults.push(Rejection::new(Code::GrantKeyUnknown, &["grant", key], message));
        }
        let event = members
            .required("event", &["grant", "event"], faults)
            .filter(|&event| check_event(event, faults));
        let property = members.required("property", &["grant", "property"], faults);
        let property = property.filter(|&property| check_property(property, fields.metadata, faults));
        let credits = members.required("credits", &["grant", "credits"], faults);
        let credits = credits.filter(|&credits| check_credits(credits, faults));
        Some(Self { event: event?, property: property?, credits: credits? })
    }

    /// The event this grant stands for, with everything that stood beside it in `text`: a name, and metadata with the
    /// credits as a negative value. A null `external_id` is left out, to be stamped like a missing one.
    pub(super) fn event_text(self, fields: &Fields<'a>, text: &'a str) -> String {
        let more = fields.metadata.map_or("", |metadata| {
            let inner = metadata.json().strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
            inner.unwrap_or_default().trim()
        });
        let mut event = String::with_capacity(text.len() + 32);
        event.push_str(r#"{"name":"#);
        event.push_str(self.event.json());
        event.push_str(r#","metadata":{"#);
        event.push_str(self.property.json());
        event.push_str(":-");
        event.push_str(self.credits.json());
        if !more.is_empty() {
            event.push(',');
            event.push_str(more);
        }
        event.push('}');
        let null_id = fields.external_id.is_some_and(Value::is_null);
        // The text has been read before, so it can be read again.
        each_member(text, |key, value| {
            if matches!(key.as_ref(), "grant" | "metadata") || (key == "external_id" && null_id) {
                return;
            }
            event.push(',');
            event.push_str(&serde_json::to_string(&key).unwrap_or_default());
            event.push(':');
            event.push_str(value.json());
        })
        .ok();
        event.push('}');
        event
    }
}

fn check_event(event: Value<'_>, faults: &mut Vec<Rejection>) -> bool {
    let path = ["grant", "event"];
    let fault = match read_short_text(event, NAME_CHARS_MAX, &path) {
        Ok(name) if name.is_empty() => {
            Rejection::new(Code::GrantInvalid, &path, "is empty; name the event your meter filters on")
        }
        Ok(_) => return true,
        Err(fault) => fault,
    };
    faults.push(fault);
    false
}

fn check_property(property: Value<'_>, metadata: Option<Value<'_>>, faults: &mut Vec<Rejection>) -> bool {
    let path = ["grant", "property"];
    let name = match super::text::read_text(property, &path) {
        Ok(name) => name,
        Err(fault) => {
            faults.push(fault);
            return false;
        }
    };
    if matches!(name.as_ref(), "" | "_cost" | "_llm") {
        let message = "can't hold credits; name the metadata property your meter sums";
        faults.push(Rejection::new(Code::GrantInvalid, &path, message));
        return false;
    }
    let mut taken = false;
    if let Some(metadata) = metadata.filter(|metadata| metadata.kind() == Kind::Object) {
        // Faults of the metadata itself are reported where it is checked.
        each_member(metadata.json(), |key, _| taken |= key == name).ok();
    }
    if taken {
        let message = "is the property the grant sets; leave it out of metadata, or send a plain event instead of a grant";
        faults.push(Rejection::new(Code::GrantConflict, &["metadata", &name], message));
    }
    !taken
}

fn check_credits(credits: Value<'_>, faults: &mut Vec<Rejection>) -> bool {
    let path = ["grant", "credits"];
    let fault = match credits.kind() {
        Kind::Number if !credits.is_finite() => {
            Rejection::new(Code::NumberNotFinite, &path, "overflows to infinity; send a number below 1e308")
        }
        // As a float, so that what Polar would round to nothing counts as nothing.
        Kind::Number if credits.as_f64() > 0.0 => return true,
        Kind::Number => {
            let message = "must be above 0: a grant gives credits. To take some away, send a plain event with a \
                           positive value";
            Rejection::new(Code::GrantCreditsInvalid, &path, message)
        }
        Kind::Text => Rejection::new(
            Code::GrantCreditsInvalid,
            &path,
            "must be a number without quotes: Polar does not count texts",
        ),
        Kind::Null | Kind::Boolean | Kind::List | Kind::Object => {
            Rejection::new(Code::GrantCreditsInvalid, &path, "must be a number above 0")
        }
    };
    faults.push(fault);
    false
}
