//! [`Value`] to text, as Polar's JSON responses are written: compact, not escaped to ASCII, and unable to write what
//! is not JSON.

use super::Value;

/// The value holds `NaN`, an infinity or a lone surrogate: Polar's answer becomes a 500.
#[derive(Debug)]
pub(in crate::simulator) struct Unwritable;

/// Appends `value` to `out`.
pub(in crate::simulator) fn write(out: &mut String, value: &Value) -> Result<(), Unwritable> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(digits) => out.push_str(digits),
        Value::Float(float) if float.is_finite() => out.push_str(&float_text(*float)),
        Value::Float(_) | Value::BrokenText => return Err(Unwritable),
        Value::Text(text) => write_text(out, text),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item)?;
            }
            out.push(']');
        }
        Value::Dict(entries) => {
            out.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(out, key.as_deref().ok_or(Unwritable)?);
                out.push(':');
                write(out, item)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// Appends a string with its quotes.
pub(in crate::simulator) fn write_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::String(text.to_owned()).to_string());
}

/// Python's `repr` of a float: the shortest digits that read back, an exponent below 1e-4 and from 1e16 on.
fn float_text(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if float == 0.0 || (-4..16).contains(&exponent) {
        return format!("{float:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
