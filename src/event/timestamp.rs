//! Timestamps: read as Polar reads them, and written as a stamp.

use std::time::Duration;

use speedate::{
    Date, DateTime, DateTimeConfig, MicrosecondsPrecisionOverflowBehavior, TimeConfig, TimestampUnit,
};

use super::UnixMillis;
use super::code::Code;
use super::rejection::Rejection;
use super::value::{Kind, Value};

/// How Polar's library sets up the parser: digits past the microsecond are cut, and bare numbers are in UTC.
const POLAR_READS: DateTimeConfig = DateTimeConfig {
    timestamp_unit: TimestampUnit::Infer,
    time_config: TimeConfig {
        microseconds_precision_overflow_behavior: MicrosecondsPrecisionOverflowBehavior::Truncate,
        unix_timestamp_offset: Some(0),
    },
};

/// The seconds of `0001-01-01T00:00:00Z` and `9999-12-31T23:59:59Z`. Outside of them Polar can't turn an instant into
/// UTC and fails the whole batch.
const UTC_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

const FIELD: &[&str] = &["timestamp"];

/// The time before which Polar would refuse this timestamp as lying in the future; 0 when it is past.
///
/// # Errors
/// Polar can't read it, or it lies more than `future_hold_max` ahead of `now`.
pub(super) fn due(
    value: Value<'_>,
    now: UnixMillis,
    future_hold_max: Duration,
) -> Result<UnixMillis, Rejection> {
    let micros = read(value)?;
    let now_micros = i128::from(now) * 1000;
    if micros <= now_micros {
        return Ok(0);
    }
    if micros - now_micros > i128::try_from(future_hold_max.as_micros()).unwrap_or(i128::MAX) {
        let message = format!(
            "lies more than {} seconds in the future; send the time at which the event happened (and check this \
             machine's clock)",
            future_hold_max.as_secs()
        );
        return Err(Rejection::new(Code::TimestampInFuture, FIELD, message));
    }
    // Rounded up: a part of a millisecond too early is too early.
    Ok(u64::try_from((micros + 999) / 1000).unwrap_or(0))
}

/// Microseconds since 1970.
fn read(value: Value<'_>) -> Result<i128, Rejection> {
    let unreadable = |kind| {
        let message = "is not an instant Polar can read; send RFC 3339 with a zone such as 2026-11-23T03:05:37.123Z, \
                       or seconds or milliseconds since 1970";
        Rejection::new(Code::TimestampInvalid, FIELD, message).of_kind(kind)
    };
    let instant = match value.kind() {
        Kind::Text => {
            let kind = "datetime_from_date_parsing";
            let text = value.text().unwrap_or(Ok("".into())).map_err(|_| unreadable(kind))?;
            if Date::parse_bytes_rfc3339(text.as_bytes()).is_ok() {
                let message =
                    "is a date without a time; send both, and a zone, such as 2026-11-23T03:05:37.123Z";
                return Err(Rejection::new(Code::TimestampInvalid, FIELD, message).of_kind("timezone_aware"));
            }
            DateTime::parse_bytes_with_config(text.as_bytes(), &POLAR_READS).map_err(|_| unreadable(kind))?
        }
        Kind::Number if value.is_integer() => {
            let number = value.json().parse().map_err(|_| unreadable("datetime_parsing"))?;
            DateTime::from_timestamp_with_config(number, 0, &POLAR_READS)
                .map_err(|_| unreadable("datetime_parsing"))?
        }
        Kind::Number if !value.is_finite() => {
            let message = "overflows to infinity; send seconds or milliseconds since 1970";
            return Err(Rejection::new(Code::NumberNotFinite, FIELD, message).of_kind("datetime_parsing"));
        }
        Kind::Number => from_float(value.as_f64()).map_err(|_| unreadable("datetime_parsing"))?,
        Kind::Null => {
            let message = "is null; leave the field out to have the time of arrival stamped";
            return Err(Rejection::new(Code::WrongType, FIELD, message).of_kind("datetime_type"));
        }
        Kind::Boolean | Kind::List | Kind::Object => {
            let message =
                "must be a string such as 2026-11-23T03:05:37.123Z or a number of seconds since 1970";
            return Err(Rejection::new(Code::WrongType, FIELD, message).of_kind("datetime_type"));
        }
    };
    if instant.time.tz_offset.is_none() {
        let message = "has no time zone; add Z for UTC, or an offset such as +02:00";
        return Err(Rejection::new(Code::TimestampInvalid, FIELD, message).of_kind("timezone_aware"));
    }
    let seconds = instant.timestamp_tz();
    if instant.date.year == 0 || !UTC_SECONDS.contains(&seconds) {
        return Err(unreadable("datetime_parsing"));
    }
    Ok(i128::from(seconds) * 1_000_000 + i128::from(instant.time.microsecond))
}

/// Polar's library tells milliseconds from seconds by the whole part, which at the watershed is not yet over it.
fn from_float(number: f64) -> Result<DateTime, speedate::ParseError> {
    const WATERSHED_SECONDS: f64 = 20_000_000_000.0;
    if number.floor() == WATERSHED_SECONDS {
        return DateTime::from_timestamp_with_config(20_000_000_000, 0, &POLAR_READS);
    }
    DateTime::from_float_with_config(number, &POLAR_READS)
}

/// A stamp's length in bytes.
pub(super) const STAMP_BYTES: usize = 24;

/// `now` as `2026-11-23T03:05:37.123Z`. Milliseconds are whole, so nothing is ever rounded up: Polar refuses an
/// instant that has not come yet, be it by a microsecond.
pub(super) fn stamp(now: UnixMillis) -> [u8; STAMP_BYTES] {
    let (days, in_day) = (now / 86_400_000, now % 86_400_000);
    let (year, month, day) = civil_from_days(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let (seconds, millis) = (in_day / 1000, in_day % 1000);
    for (at, width, number) in [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, seconds / 3600),
        (14, 2, seconds / 60 % 60),
        (17, 2, seconds % 60),
        (20, 3, millis),
    ] {
        let mut rest = number;
        for digit in text.iter_mut().skip(at).take(width).rev() {
            *digit = b"0123456789".get((rest % 10) as usize).copied().unwrap_or(b'0');
            rest /= 10;
        }
    }
    text
}

/// A time as events are stamped with it, for people and programs.
#[must_use]
pub fn rfc3339(time: UnixMillis) -> String {
    String::from_utf8_lossy(&stamp(time)).into_owned()
}

/// Year, month and day of a day since 1970, by Hinnant's reckoning in years that begin in March.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let from_march_0000 = days + 719_468;
    let (era, day_of_era) = (from_march_0000 / 146_097, from_march_0000 % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_agrees_with_the_parser_polar_uses() {
        let mut now = 0_u64;
        while now < 253_402_300_800_000 {
            let text = stamp(now);
            let read = DateTime::parse_bytes_with_config(&text, &POLAR_READS).unwrap();
            let millis = read.timestamp_tz() * 1000 + i64::from(read.time.microsecond) / 1000;
            assert_eq!(u64::try_from(millis).unwrap(), now, "{}", String::from_utf8_lossy(&text));
            now += 86_400_000 * 13 + 12_345_679;
        }
        assert_eq!(&stamp(1_795_403_137_123), b"2026-11-23T03:05:37.123Z");
        assert_eq!(&stamp(1_709_164_799_999), b"2024-02-28T23:59:59.999Z");
        assert_eq!(&stamp(1_709_164_800_000), b"2024-02-29T00:00:00.000Z");
    }
}
