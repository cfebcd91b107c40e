//! Numbers of JSON.

use super::Value;
use super::reader::Stop;

/// Python refuses to turn more digits than this into an integer.
const DIGITS_MAX: usize = 4300;

pub(super) fn read(text: &str, start: usize) -> Result<(Value, usize), Stop> {
    let at = |index: usize| text.as_bytes().get(index).copied();
    let digits = |mut index: usize| {
        while matches!(at(index), Some(b'0'..=b'9')) {
            index += 1;
        }
        index
    };
    let first = if at(start) == Some(b'-') { start + 1 } else { start };
    let mut end = match at(first) {
        Some(b'0') => first + 1,
        Some(b'1'..=b'9') => digits(first),
        _ => return Err(Stop::At("Expecting value", start)),
    };
    let integer_end = end;
    if at(end) == Some(b'.') && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    if matches!(at(end), Some(b'e' | b'E')) {
        let sign = end + 1 + usize::from(matches!(at(end + 1), Some(b'+' | b'-')));
        if digits(sign) > sign {
            end = digits(sign);
        }
    }
    let number = text.get(start..end).unwrap_or_default();
    if end > integer_end {
        return Ok((Value::Float(number.parse().unwrap_or(f64::NAN)), end));
    }
    if end - first > DIGITS_MAX {
        return Err(Stop::Refused);
    }
    let number = if number == "-0" { "0" } else { number };
    Ok((Value::Int(number.to_owned()), end))
}
