//! An object as a table: what Python's parser makes of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::code::Code;
use super::rejection::Rejection;
use super::value::{Kind, Value, each_member};

/// The members of an object, each key once with the value that counts: the last one, as in Python.
pub(super) struct Members<'a>(BTreeMap<Cow<'a, str>, Value<'a>>);

impl<'a> Members<'a> {
    /// The members of `value`, or a fault at `path` when it is no object.
    pub(super) fn of_object(value: Value<'a>, path: &[&str], faults: &mut Vec<Rejection>) -> Option<Self> {
        if value.kind() != Kind::Object {
            let message = "must be an object";
            faults.push(Rejection::new(Code::WrongType, path, message).of_kind("dict_type"));
            return None;
        }
        let mut members = BTreeMap::new();
        let read = each_member(value.json(), |key, value| {
            members.insert(key, value);
        });
        // The text around it was well formed, so all that can be wrong is a key that is no Unicode.
        if read.is_err() {
            let message = "has a key with half of a surrogate pair in it; it was probably cut in the middle of a character";
            faults.push(Rejection::new(Code::TextInvalid, path, message));
            return None;
        }
        Some(Self(members))
    }

    /// Every key with its value, in the order of the keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Value<'a>)> {
        self.0.iter().map(|(key, &value)| (key.as_ref(), value))
    }

    pub(super) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.0.get(name).copied()
    }

    /// The value of `name`, or a fault at `path` when it is not there.
    pub(super) fn required(
        &self,
        name: &str,
        path: &[&str],
        faults: &mut Vec<Rejection>,
    ) -> Option<Value<'a>> {
        let value = self.get(name);
        if value.is_none() {
            faults.push(Rejection::new(Code::MissingField, path, "is missing; add it"));
        }
        value
    }
}
