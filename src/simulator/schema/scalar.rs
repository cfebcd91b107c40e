//! Strings, numbers and ids, in pydantic's lax mode.

use uuid::{Uuid, Variant};

use super::super::python::Value;
use super::fault::Wrong;

/// The longest text Python turns into an integer, in digits.
const DIGITS_MAX: usize = 4300;

/// Stands for a string with a lone surrogate, which passes as one until PostgreSQL is to store it.
const UNSTORABLE: &str = "\0";

pub(super) fn text(value: &Value) -> Result<&str, Wrong> {
    match value {
        Value::Text(text) => Ok(text),
        Value::BrokenText => Ok(UNSTORABLE),
        _ => Err(Wrong::new("string_type", "Input should be a valid string")),
    }
}

/// A string of at least `min` and at most `max` characters.
pub(super) fn bounded_text(value: &Value, min: usize, max: usize) -> Result<&str, Wrong> {
    let text = text(value)?;
    if *value == Value::BrokenText {
        // Only where a length has to be counted is the string itself looked at.
        let message = "Input should be a valid string, unable to parse raw data as a unicode string";
        return Err(Wrong::new("string_unicode", message));
    }
    if text.chars().nth(max).is_some() {
        let message = format!("String should have at most {max} characters");
        return Err(Wrong::with_context("string_too_long", message, format!(r#"{{"max_length":{max}}}"#)));
    }
    if text.chars().count() < min {
        let message = format!("String should have at least {min} character");
        return Err(Wrong::with_context("string_too_short", message, format!(r#"{{"min_length":{min}}}"#)));
    }
    Ok(text)
}

pub(super) fn uuid4(value: &Value) -> Result<Uuid, Wrong> {
    let Value::Text(text) = value else {
        return Err(Wrong::new("uuid_type", "UUID input should be a string, bytes or UUID object"));
    };
    let id = Uuid::parse_str(text).map_err(|error| {
        Wrong::quoting("uuid_parsing", "Input should be a valid UUID, ", &error.to_string())
    })?;
    if id.get_version_num() == 4 && id.get_variant() == Variant::RFC4122 {
        return Ok(id);
    }
    let message = "UUID version 4 expected".to_owned();
    Err(Wrong::with_context("uuid_version", message, r#"{"expected_version":4}"#.to_owned()))
}

pub(super) fn integer(value: &Value) -> Result<(), Wrong> {
    let too_large = || {
        let message = "Unable to parse input string as an integer, exceeded maximum size";
        Wrong::new("int_parsing_size", message)
    };
    match value {
        Value::Int(_) | Value::Bool(_) => Ok(()),
        Value::Float(float) if !float.is_finite() => Err(finite()),
        Value::Float(float) if float.fract() != 0.0 => {
            let message = "Input should be a valid integer, got a number with a fractional part";
            Err(Wrong::new("int_from_float", message))
        }
        Value::Float(float) if float.abs() < 9.223_372_036_854_775e18 => Ok(()),
        Value::Float(_) => Err(too_large()),
        Value::Text(text) => {
            let digits = text.trim().trim_start_matches(['+', '-']);
            let digits = digits.split_once('.').filter(|(_, zeros)| zeros.bytes().all(|b| b == b'0'));
            let digits = digits.map_or(text.trim().trim_start_matches(['+', '-']), |(whole, _)| whole);
            let grouped = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
            if digits.is_empty() || !grouped || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
                let message = "Input should be a valid integer, unable to parse string as an integer";
                return Err(Wrong::new("int_parsing", message));
            }
            if digits.len() > DIGITS_MAX { Err(too_large()) } else { Ok(()) }
        }
        Value::Null | Value::BrokenText | Value::List(_) | Value::Dict(_) => {
            Err(Wrong::new("int_type", "Input should be a valid integer"))
        }
    }
}

pub(super) fn float(value: &Value) -> Result<(), Wrong> {
    match value {
        Value::Int(_) | Value::Bool(_) | Value::Float(_) => Ok(()),
        Value::Text(text) if text.trim().parse::<f64>().is_ok() => Ok(()),
        Value::Text(_) => {
            let message = "Input should be a valid number, unable to parse string as a number";
            Err(Wrong::new("float_parsing", message))
        }
        Value::Null | Value::BrokenText | Value::List(_) | Value::Dict(_) => {
            Err(Wrong::new("float_type", "Input should be a valid number"))
        }
    }
}

/// Only reached by values that are neither a string that fits nor a number.
pub(super) fn no_boolean(value: &Value) -> Wrong {
    match value {
        Value::Text(_) => {
            Wrong::new("bool_parsing", "Input should be a valid boolean, unable to interpret input")
        }
        _ => Wrong::new("bool_type", "Input should be a valid boolean"),
    }
}

pub(super) fn finite() -> Wrong {
    Wrong::new("finite_number", "Input should be a finite number")
}
