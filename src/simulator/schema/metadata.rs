//! The metadata of an event, and the two structured keys in it.

use super::super::python::{Value, write};
use super::fault::{Fault, Wrong};
use super::scalar;

const TEXT_ARM: &str = "function-after[reject_nul_character(), constrained-str]";
const DIGITS_MAX: i64 = 17;
const PLACES_MAX: i64 = 12;

/// Every fault of a metadata value, placed below `metadata`.
pub(super) fn check(value: &Value) -> Vec<Fault<'_>> {
    let Value::Dict(entries) = value else {
        return vec![Fault { steps: Vec::new(), wrong: Wrong::no_dict(), input: value }];
    };
    let mut faults = Vec::new();
    for (key, check) in [("_cost", cost as fn(_) -> _), ("_llm", language_model)] {
        if let Some(value) = value.get(key) {
            let found: Vec<Fault<'_>> = check(value);
            faults.extend(found.into_iter().map(|fault| fault.inside(key)));
        }
    }
    for (key, value) in entries {
        match key.as_deref() {
            Some("_cost" | "_llm") | None => {}
            Some(key) => faults.extend(plain(value).into_iter().map(|fault| fault.inside(key))),
        }
    }
    faults
}

/// Whether PostgreSQL would refuse to store it although the schema lets it pass.
pub(super) fn unstorable(value: &Value) -> bool {
    match value {
        Value::Float(float) => !float.is_finite(),
        Value::BrokenText => true,
        Value::Text(text) => text.contains('\0'),
        Value::List(items) => items.iter().any(unstorable),
        Value::Dict(entries) => entries
            .iter()
            .any(|(key, value)| key.as_ref().is_none_or(|key| key.contains('\0')) || unstorable(value)),
        Value::Null | Value::Bool(_) | Value::Int(_) => false,
    }
}

/// A string, an integer, a float or a boolean: when it is none of them, the faults of each.
fn plain(value: &Value) -> Vec<Fault<'_>> {
    let text = scalar::bounded_text(value, 1, 500).and_then(|text| {
        if text.contains('\0') {
            return Err(Wrong::value_error("Input must not contain a NUL character (\\u0000)."));
        }
        Ok(())
    });
    let (Err(text), Err(integer), Err(float)) = (text, scalar::integer(value), scalar::float(value)) else {
        return Vec::new();
    };
    let boolean = scalar::no_boolean(value);
    [(TEXT_ARM, text), ("int", integer), ("float", float), ("bool", boolean)]
        .map(|(arm, wrong)| Fault::at(arm, wrong, value))
        .into()
}

fn cost(value: &Value) -> Vec<Fault<'_>> {
    fields(value, &[("amount", true, &amount), ("currency", true, &currency)])
}

fn language_model(value: &Value) -> Vec<Fault<'_>> {
    let text = |value: &Value| scalar::text(value).map(|_| ());
    let optional_text = |value: &Value| match value {
        Value::Null => Ok(()),
        value => scalar::text(value).map(|_| ()),
    };
    fields(
        value,
        &[
            ("vendor", true, &text),
            ("model", true, &text),
            ("prompt", false, &optional_text),
            ("response", false, &optional_text),
            ("input_tokens", true, &scalar::integer),
            ("cached_input_tokens", false, &scalar::integer),
            ("output_tokens", true, &scalar::integer),
            ("total_tokens", true, &scalar::integer),
        ],
    )
}

fn currency(value: &Value) -> Result<(), Wrong> {
    if scalar::text(value)?.contains("usd") {
        return Ok(());
    }
    let message = "String should match pattern 'usd'".to_owned();
    Err(Wrong::with_context("string_pattern_mismatch", message, r#"{"pattern":"usd"}"#.to_owned()))
}

type Check<'c> = (&'static str, bool, &'c dyn Fn(&Value) -> Result<(), Wrong>);

fn fields<'v>(value: &'v Value, checks: &[Check<'_>]) -> Vec<Fault<'v>> {
    let Value::Dict(_) = value else {
        return vec![Fault { steps: Vec::new(), wrong: Wrong::no_dict(), input: value }];
    };
    let mut faults = Vec::new();
    for (name, required, check) in checks {
        match value.get(name) {
            Some(field) => faults.extend(check(field).err().map(|wrong| Fault::at(name, wrong, field))),
            None if *required => faults.push(Fault::at(name, Wrong::missing(), value)),
            None => {}
        }
    }
    faults
}

/// A decimal of at most 17 digits, 12 of them after the point.
fn amount(value: &Value) -> Result<(), Wrong> {
    let mut text = String::new();
    match value {
        Value::Int(digits) => text.push_str(digits),
        Value::Float(float) if !float.is_finite() => return Err(scalar::finite()),
        Value::Float(_) => drop(write(&mut text, value)),
        Value::Text(given) => text.push_str(&given.trim().replace('_', "")),
        Value::Null | Value::Bool(_) | Value::BrokenText | Value::List(_) | Value::Dict(_) => {
            let message = "Decimal input should be an integer, float, string or Decimal object";
            return Err(Wrong::new("decimal_type", message));
        }
    }
    let unsigned = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if ["nan", "snan", "inf", "infinity"].contains(&unsigned.as_str()) {
        return Err(scalar::finite());
    }
    let (digits, places) = digits_and_places(&unsigned)
        .ok_or_else(|| Wrong::new("decimal_parsing", "Input should be a valid decimal"))?;
    let (kind, name, limit, words) = if digits > DIGITS_MAX {
        ("decimal_max_digits", "max_digits", DIGITS_MAX, "digits in total")
    } else if places > PLACES_MAX {
        ("decimal_max_places", "decimal_places", PLACES_MAX, "decimal places")
    } else if digits - places > DIGITS_MAX - PLACES_MAX {
        let words = "digits before the decimal point";
        ("decimal_whole_digits", "whole_digits", DIGITS_MAX - PLACES_MAX, words)
    } else {
        return Ok(());
    };
    let message = format!("Decimal input should have no more than {limit} {words}");
    Err(Wrong::with_context(kind, message, format!(r#"{{"{name}":{limit}}}"#)))
}

/// How many digits a decimal has in all and after the point, without needless zeros.
fn digits_and_places(text: &str) -> Option<(i64, i64)> {
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let trimmed = significant.trim_end_matches('0');
    if trimmed.is_empty() {
        return Some((1, 0));
    }
    let zeros = i64::try_from(significant.len() - trimmed.len()).ok()?;
    let count = i64::try_from(trimmed.len()).ok()?;
    let exponent = exponent.saturating_sub(i64::try_from(fraction.len()).ok()?).saturating_add(zeros);
    if exponent >= 0 {
        return Some((count.saturating_add(exponent), 0));
    }
    let places = exponent.saturating_neg();
    Some((count.max(places), places))
}
