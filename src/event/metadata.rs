//! The rules of `metadata`, and the sign in it that makes an event a grant.

use super::code::Code;
use super::members::Members;
use super::rejection::{FAULTS_MAX, Rejection};
use super::text::unstorable;
use super::value::{Kind, TextFault, Value, each_member};
use super::{cost, llm};

const TEXT_CHARS_MAX: usize = 500;

/// What matters about a metadata object that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Some value on its top level is a number below zero. A negative amount inside `_cost` does not count: it
    /// corrects a cost, and gives nobody credits.
    pub(super) has_negative: bool,
}

/// Checks the value of the field `metadata`; faults go to `faults`.
pub(super) fn check(value: Value<'_>, faults: &mut Vec<Rejection>) -> Metadata {
    if is_plain(value) {
        return Metadata::default();
    }
    check_with_care(value, faults)
}

/// Member by member, each key once.
fn check_with_care(value: Value<'_>, faults: &mut Vec<Rejection>) -> Metadata {
    let Some(members) = Members::of_object(value, &["metadata"], faults) else { return Metadata::default() };
    let mut has_negative = false;
    for (key, value) in members.iter() {
        if faults.len() >= FAULTS_MAX {
            break;
        }
        let path = ["metadata", key];
        if key.contains('\0') {
            faults.push(unstorable(TextFault::Nul, &path));
        }
        match key {
            "_cost" => cost::check(value, faults),
            "_llm" => llm::check(value, faults),
            _ => faults.extend(check_value(value, &path).err()),
        }
        has_negative |= value.kind() == Kind::Number && value.is_negative();
    }
    Metadata { has_negative }
}

/// Whether it is an object in which nothing can be wrong or negative, whichever of its keys are repeated. Nearly all
/// are, and this look at them takes no memory.
fn is_plain(value: Value<'_>) -> bool {
    if value.kind() != Kind::Object {
        return false;
    }
    let mut all_plain = true;
    let read = each_member(value.json(), |key, value| all_plain &= member_is_plain(&key, value));
    read.is_ok() && all_plain
}

fn member_is_plain(key: &str, value: Value<'_>) -> bool {
    if matches!(key, "_cost" | "_llm") || key.contains('\0') {
        return false;
    }
    match value.kind() {
        Kind::Number => !value.json().starts_with('-') && value.is_finite(),
        Kind::Boolean => true,
        // Quotes included; each escape and each multi-byte character makes the text shorter than its JSON.
        Kind::Text => (3..=TEXT_CHARS_MAX + 2).contains(&value.json().len()) && !value.json().contains('\\'),
        Kind::Null | Kind::List | Kind::Object => false,
    }
}

fn check_value(value: Value<'_>, path: &[&str]) -> Result<(), Rejection> {
    let invalid = |message: &'static str| Err(Rejection::new(Code::MetadataValueInvalid, path, message));
    match value.kind() {
        Kind::Boolean => Ok(()),
        Kind::Number if value.is_finite() => Ok(()),
        Kind::Number => {
            let message = "overflows to infinity; send a number below 1e308";
            Err(Rejection::new(Code::NumberNotFinite, path, message))
        }
        Kind::Text => {
            let text = super::text::read_short_text(value, TEXT_CHARS_MAX, path)?;
            if text.is_empty() {
                let message = "is an empty string, which Polar does not take; leave the key out";
                let fault = Rejection::new(Code::MetadataValueInvalid, path, message);
                return Err(fault.of_kind("string_too_short"));
            }
            Ok(())
        }
        Kind::Null => invalid("is null, which Polar does not take; leave the key out"),
        Kind::List => invalid("is a list; send a string, a number or a boolean, such as one key per element"),
        Kind::Object => {
            invalid("is an object; send a string, a number or a boolean, such as one key per member")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_looks_plain_at_a_glance_passes_the_careful_look_too(
            members in proptest::collection::vec(
                (
                    prop_oneof!["[a-c_]{0,3}", Just("_cost".to_owned()), Just("\\u0000".to_owned()), Just("\\ud800".to_owned())],
                    prop_oneof![
                        "-?[0-9]{1,3}(\\.[0-9]{1,2})?(e[0-9]{1,3})?",
                        "\"[a-zé😀]{0,3}\"",
                        Just(format!("\"{}\"", "a".repeat(501))),
                        Just(format!("\"{}\"", "é".repeat(500))),
                        Just("null".to_owned()),
                        Just("true".to_owned()),
                        Just("[]".to_owned()),
                    ],
                ),
                0..4,
            ),
        ) {
            let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            let event = format!("{{\"metadata\":{{{}}}}}", members.join(","));
            let mut metadata = None;
            if each_member(&event, |_, value| metadata = Some(value)).is_err() {
                return Ok(());
            }
            let metadata = metadata.unwrap();
            let mut faults = Vec::new();
            let checked = check_with_care(metadata, &mut faults);
            if is_plain(metadata) {
                prop_assert!(faults.is_empty(), "{faults:?}");
                prop_assert_eq!(checked, Metadata::default());
            }
        }
    }
}
