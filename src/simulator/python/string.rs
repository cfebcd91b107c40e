//! Strings of JSON.

use super::Value;
use super::reader::Stop;

/// Reads the string that opens at `start`.
pub(super) fn read(text: &str, start: usize) -> Result<(Value, usize), Stop> {
    let bytes = text.as_bytes();
    let unterminated = || Stop::At("Unterminated string starting at", start);
    let mut out = String::new();
    let mut broken = false;
    let mut index = start + 1;
    loop {
        let rest = bytes.get(index..).unwrap_or_default();
        let plain =
            rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)).ok_or_else(unterminated)?;
        out.push_str(text.get(index..index + plain).unwrap_or_default());
        index += plain;
        match bytes.get(index) {
            Some(b'"') => {
                let value = if broken { Value::BrokenText } else { Value::Text(out) };
                return Ok((value, index + 1));
            }
            Some(b'\\') => match bytes.get(index + 1).ok_or_else(unterminated)? {
                b'u' => {
                    let (read, end) = escaped_character(bytes, index + 1)?;
                    match read {
                        Some(character) => out.push(character),
                        None => broken = true,
                    }
                    index = end;
                }
                short => {
                    out.push(short_escape(*short).ok_or(Stop::At("Invalid \\escape", index))?);
                    index += 2;
                }
            },
            _ => return Err(Stop::At("Invalid control character at", index)),
        }
    }
}

fn short_escape(letter: u8) -> Option<char> {
    Some(match letter {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// Reads `uXXXX` at `letter`, and the second half of a pair after it. `None` is a lone surrogate.
fn escaped_character(bytes: &[u8], letter: usize) -> Result<(Option<char>, usize), Stop> {
    let unit = code_unit(bytes, letter)?;
    let end = letter + 5;
    if let Some(character) = char::from_u32(unit) {
        return Ok((Some(character), end));
    }
    let high = (0xd800..0xdc00).contains(&unit);
    if high && end + 6 < bytes.len() && bytes.get(end..end + 2) == Some(b"\\u") {
        let low = code_unit(bytes, end + 1)?;
        if (0xdc00..0xe000).contains(&low) {
            let joined = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return Ok((char::from_u32(joined), end + 6));
        }
    }
    Ok((None, end))
}

fn code_unit(bytes: &[u8], letter: usize) -> Result<u32, Stop> {
    let fault = Stop::At("Invalid \\uXXXX escape", letter);
    if letter + 5 >= bytes.len() {
        return Err(fault);
    }
    let mut unit = 0;
    for digit in bytes.get(letter + 1..letter + 5).unwrap_or_default() {
        match char::from(*digit).to_digit(16) {
            Some(value) => unit = unit * 16 + value,
            None => return Err(fault),
        }
    }
    Ok(unit)
}
