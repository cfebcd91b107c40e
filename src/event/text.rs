//! What Polar asks of the texts it keeps, and of ids among them.

use std::borrow::Cow;

use uuid::{Uuid, Variant};

use super::code::Code;
use super::rejection::Rejection;
use super::value::{TextFault, Value};

/// Ids are indexed at Polar, and an index entry past 2,704 bytes fails the whole batch; this leaves room for the rest
/// of the entry.
const ID_BYTES_MAX: usize = 2000;

/// The text at `path`.
///
/// # Errors
/// It is no JSON string, or one Polar can't store.
pub(super) fn read_text<'a>(value: Value<'a>, path: &[&str]) -> Result<Cow<'a, str>, Rejection> {
    match value.text() {
        Some(Ok(text)) => Ok(text),
        Some(Err(fault)) => Err(unstorable(fault, path)),
        None => Err(Rejection::new(Code::WrongType, path, "must be a string").of_kind("string_type")),
    }
}

pub(super) fn unstorable(fault: TextFault, path: &[&str]) -> Rejection {
    match fault {
        TextFault::Nul => {
            let message = r"contains the NUL character (\u0000), which Polar can't store; remove it";
            Rejection::new(Code::TextInvalid, path, message).of_kind("value_error")
        }
        TextFault::LoneSurrogate => {
            let message = "contains half of a surrogate pair, so it is no valid Unicode; the text was probably cut \
                           in the middle of a character";
            Rejection::new(Code::TextInvalid, path, message)
        }
    }
}

/// As [`read_text`], with at most `chars_max` characters.
pub(super) fn read_short_text<'a>(
    value: Value<'a>,
    chars_max: usize,
    path: &[&str],
) -> Result<Cow<'a, str>, Rejection> {
    let text = read_text(value, path)?;
    // Bytes bound characters, so the count is rarely needed.
    if text.len() > chars_max && text.chars().count() > chars_max {
        let message = format!("is longer than {chars_max} characters; shorten it");
        return Err(Rejection::new(Code::StringTooLong, path, message));
    }
    Ok(text)
}

/// As [`read_text`], with at most [`ID_BYTES_MAX`] bytes.
pub(super) fn read_id<'a>(value: Value<'a>, path: &[&str]) -> Result<Cow<'a, str>, Rejection> {
    let id = read_text(value, path)?;
    if id.len() > ID_BYTES_MAX {
        let message = format!("is longer than {ID_BYTES_MAX} bytes, more than Polar can index; shorten it");
        return Err(Rejection::new(Code::IdTooLong, path, message));
    }
    Ok(id)
}

/// A version 4 UUID in any spelling Polar reads: hyphenated, bare, in braces, or as a URN.
pub(super) fn check_uuid4(value: Value<'_>, path: &[&str]) -> Result<(), Rejection> {
    let Some(text) = value.text() else {
        return Err(
            Rejection::new(Code::WrongType, path, "must be a string with a UUID").of_kind("uuid_type")
        );
    };
    let text = text.map_err(|fault| unstorable(fault, path))?;
    // The parser takes a URN in any letters, Polar in small ones.
    let is_shouted = text.starts_with(['u', 'U']) && !text.starts_with("urn:uuid:");
    match Uuid::try_parse(&text) {
        _ if is_shouted => Err(not_a_uuid(path)),
        Ok(uuid) if uuid.get_version_num() == 4 && uuid.get_variant() == Variant::RFC4122 => Ok(()),
        Ok(_) => {
            let message = "is a UUID but not of version 4, so it is none of Polar's ids; for an id of your own use \
                           the field of the same name with external_ before it";
            Err(Rejection::new(Code::UuidInvalid, path, message).of_kind("uuid_version"))
        }
        Err(_) => Err(not_a_uuid(path)),
    }
}

fn not_a_uuid(path: &[&str]) -> Rejection {
    let message = "is not a UUID; send the id Polar gave, or for an id of your own use the field of the same name \
                   with external_ before it";
    Rejection::new(Code::UuidInvalid, path, message)
}
