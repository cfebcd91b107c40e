//! Timestamps as pydantic reads them, with the very crate it reads them with.

use speedate::{
    Date, DateTime, DateTimeConfig, MicrosecondsPrecisionOverflowBehavior, ParseError, TimeConfig,
    TimestampUnit,
};

use super::python::Value;

/// 0001-01-01T00:00:00Z, the earliest instant Python can hold in UTC.
const EARLIEST_US: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z, the latest.
const LATEST_US: i64 = 253_402_300_799_999_999;

/// Why a timestamp is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoTimestamp {
    /// Not a string or a number.
    Type,
    /// Neither a date and time nor a date.
    FromDate(&'static str),
    /// A number out of range.
    Parsing(&'static str),
    /// No zone.
    Naive,
    /// A local time whose instant lies outside of what Python can hold: an uncaught exception.
    Overflow,
}

/// Microseconds since 1970 of a string.
pub(super) fn from_text(text: &str) -> Result<i64, NoTimestamp> {
    let read = DateTime::parse_bytes_with_config(text.as_bytes(), &config());
    match read {
        Ok(datetime) => instant(&datetime),
        Err(_) => match Date::parse_bytes(text.as_bytes()) {
            Ok(_) => Err(NoTimestamp::Naive),
            Err(error) => Err(NoTimestamp::FromDate(words(&error))),
        },
    }
}

/// Microseconds since 1970 of a value.
pub(super) fn from_value(value: &Value) -> Result<i64, NoTimestamp> {
    let number = match value {
        Value::Text(text) => return from_text(text),
        Value::Int(digits) => match digits.parse::<i64>() {
            Ok(seconds) => DateTime::from_timestamp_with_config(seconds, 0, &config()),
            Err(_) if digits.starts_with('-') => Err(ParseError::DateTooSmall),
            Err(_) => Err(ParseError::DateTooLarge),
        },
        Value::Float(float) if float.is_nan() => {
            return Err(NoTimestamp::Parsing("NaN values not permitted"));
        }
        Value::Float(float) => DateTime::from_float_with_config(*float, &config()),
        Value::Null | Value::Bool(_) | Value::BrokenText | Value::List(_) | Value::Dict(_) => {
            return Err(NoTimestamp::Type);
        }
    };
    number.map_err(|error| NoTimestamp::Parsing(words(&error))).and_then(|datetime| instant(&datetime))
}

fn config() -> DateTimeConfig {
    DateTimeConfig {
        timestamp_unit: TimestampUnit::Infer,
        time_config: TimeConfig {
            microseconds_precision_overflow_behavior: MicrosecondsPrecisionOverflowBehavior::Truncate,
            unix_timestamp_offset: Some(0),
        },
    }
}

fn instant(datetime: &DateTime) -> Result<i64, NoTimestamp> {
    if datetime.date.year == 0 {
        return Err(NoTimestamp::Parsing("year 0 is out of range"));
    }
    if datetime.time.tz_offset.is_none() {
        return Err(NoTimestamp::Naive);
    }
    let seconds = datetime.timestamp_tz();
    let instant = seconds.saturating_mul(1_000_000).saturating_add(i64::from(datetime.time.microsecond));
    if (EARLIEST_US..=LATEST_US).contains(&instant) { Ok(instant) } else { Err(NoTimestamp::Overflow) }
}

/// The crate's own words; it only gives them through a trait of a crate that is not ours to import.
fn words(error: &ParseError) -> &'static str {
    match error {
        ParseError::TooShort => "input is too short",
        ParseError::ExtraCharacters => "unexpected extra characters at the end of the input",
        ParseError::InvalidCharDateSep => "invalid date separator, expected `-`",
        ParseError::DateNotExact => "Timestamp is not an exact date",
        ParseError::InvalidCharYear => "invalid character in year",
        ParseError::InvalidCharMonth => "invalid character in month",
        ParseError::InvalidCharDay => "invalid character in day",
        ParseError::OutOfRangeMonth => "month value is outside expected range of 1-12",
        ParseError::OutOfRangeDay => "day value is outside expected range",
        ParseError::DateTooSmall => "dates before 0000 are not supported as unix timestamps",
        ParseError::DateTooLarge => "dates after 9999 are not supported as unix timestamps",
        _ => "invalid datetime",
    }
}
