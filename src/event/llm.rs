//! `metadata._llm`: which model was used, and how many tokens.

use super::code::Code;
use super::members::Members;
use super::rejection::Rejection;
use super::text::{read_text, unstorable};
use super::value::{DIGITS_MAX, Kind, Value};

pub(super) fn check(value: Value<'_>, faults: &mut Vec<Rejection>) {
    let Some(members) = Members::of_object(value, &["metadata", "_llm"], faults) else { return };
    for name in ["vendor", "model"] {
        let path = ["metadata", "_llm", name];
        if let Some(value) = members.required(name, &path, faults) {
            faults.extend(read_text(value, &path).err());
        }
    }
    for name in ["prompt", "response"] {
        if let Some(value) = members.get(name).filter(|value| !value.is_null()) {
            faults.extend(read_text(value, &["metadata", "_llm", name]).err());
        }
    }
    for name in ["input_tokens", "output_tokens", "total_tokens"] {
        let path = ["metadata", "_llm", name];
        if let Some(value) = members.required(name, &path, faults) {
            faults.extend(check_count(value, &path).err());
        }
    }
    if let Some(value) = members.get("cached_input_tokens") {
        faults.extend(check_count(value, &["metadata", "_llm", "cached_input_tokens"]).err());
    }
}

/// Polar takes whole numbers, floats without a fraction, booleans, and texts that spell a whole number.
fn check_count(value: Value<'_>, path: &[&str]) -> Result<(), Rejection> {
    let whole = "must be a whole number of tokens";
    match value.kind() {
        Kind::Boolean => Ok(()),
        Kind::Number if value.is_integer() => Ok(()),
        Kind::Number if !value.is_finite() => Err(Rejection::new(Code::NumberNotFinite, path, whole)),
        Kind::Number if value.as_f64().fract() != 0.0 => {
            Err(Rejection::new(Code::WrongType, path, whole).of_kind("int_from_float"))
        }
        // From here on a float's steps are larger than one, and Polar does not trust it to be an integer.
        Kind::Number if value.as_f64().abs() >= 9_223_372_036_854_775_807.0 => {
            Err(Rejection::new(Code::WrongType, path, whole).of_kind("int_parsing_size"))
        }
        Kind::Number => Ok(()),
        Kind::Text => {
            let text = value.text().unwrap_or(Ok("".into())).map_err(|fault| unstorable(fault, path))?;
            if spells_integer(&text) {
                return Ok(());
            }
            let kind = if text.len() > DIGITS_MAX { "int_parsing_size" } else { "int_parsing" };
            Err(Rejection::new(Code::WrongType, path, whole).of_kind(kind))
        }
        Kind::Null | Kind::List | Kind::Object => {
            Err(Rejection::new(Code::WrongType, path, whole).of_kind("int_type"))
        }
    }
}

/// Digits with one sign, zeros in front, single underscores between digits and a fraction of zeros, and white space
/// around: what Python's `int` takes, and `5.0`.
fn spells_integer(text: &str) -> bool {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    // Among zeros in front, underscores may stand as they like.
    let significant = if whole.starts_with('0') { whole.trim_start_matches(['0', '_']) } else { whole };
    let groups_are_digits = significant
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    !whole.is_empty()
        && !whole.ends_with('_')
        && (significant.is_empty() || groups_are_digits)
        && significant.len() <= DIGITS_MAX
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte == b'0')
}
