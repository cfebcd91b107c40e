//! Moments as people write and read them.

use crate::clock::Clock;
use crate::event::UnixMillis;

/// A time, or an age as of now.
pub(in crate::cli) fn read_moment(text: &str) -> Result<UnixMillis, String> {
    read_moment_at(text, Clock::system().now())
}

fn read_moment_at(text: &str, now: UnixMillis) -> Result<UnixMillis, String> {
    let fault = || {
        "write RFC 3339 with a zone (2026-01-31T12:00:00Z), or an age such as 90s, 30m, 12h, 7d".to_owned()
    };
    let unit = |seconds: u64| Some(seconds * 1_000);
    let age = text.split_at_checked(text.len().saturating_sub(1)).and_then(|(number, suffix)| {
        let unit = match suffix {
            "s" => unit(1),
            "m" => unit(60),
            "h" => unit(60 * 60),
            "d" => unit(24 * 60 * 60),
            _ => None,
        }?;
        number.parse::<u64>().ok()?.checked_mul(unit)
    });
    if let Some(age) = age {
        return Ok(now.saturating_sub(age));
    }
    let time = speedate::DateTime::parse_str_rfc3339(text).map_err(|_| fault())?;
    time.time.tz_offset.ok_or_else(fault)?;
    u64::try_from(time.timestamp_tz_ms()).map_err(|_| fault())
}

/// A time in seconds, as RFC 3339 in UTC.
pub(in crate::cli) fn moment(at: UnixMillis) -> String {
    let seconds = i64::try_from(at / 1_000).unwrap_or(i64::MAX);
    let time = speedate::DateTime::from_timestamp(seconds, 0).map(|time| time.with_timezone_offset(Some(0)));
    time.and_then(|time| time).map_or_else(|_| format!("{at} ms"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_an_age() {
        let now = 1_700_000_000_000;
        assert_eq!(read_moment_at("90s", now), Ok(now - 90_000));
        assert_eq!(read_moment_at("7d", now), Ok(now - 7 * 86_400_000));
        assert_eq!(read_moment_at("2023-11-14T22:13:20Z", 0), Ok(now));
        assert_eq!(read_moment_at("2023-11-14T23:13:20+01:00", 0), Ok(now));
        for wrong in ["", "d", "7", "7w", "yesterday", "2023-11-14", "2023-11-14T22:13:20"] {
            assert!(read_moment_at(wrong, now).is_err(), "{wrong}");
        }
    }
}
