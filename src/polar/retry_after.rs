//! `Retry-After` and `Date`.

use std::time::{Duration, UNIX_EPOCH};

use crate::event::UnixMillis;

/// Taken when a `Retry-After` is a date but the answer has no `Date` to compare it with: Polar's windows last a minute.
const WINDOW: Duration = Duration::from_secs(60);

/// How long to wait, from a `Retry-After` of either form. A date is read against the answer's own `Date`, so that our
/// clock does not matter.
pub(super) fn retry_after(value: &str, date: Option<UnixMillis>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = http_date(value)?;
    Some(date.map_or(WINDOW, |date| Duration::from_millis(until.saturating_sub(date))))
}

/// The instant an HTTP date names.
pub(super) fn http_date(value: &str) -> Option<UnixMillis> {
    let since_1970 = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    UnixMillis::try_from(since_1970.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_retry_after_are_understood() {
        let date = http_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date, Some(784_111_777_000));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(retry_after("60", date), seconds(60));
        assert_eq!(retry_after(" 0 ", None), seconds(0));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:07 GMT", date), seconds(30));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:07 GMT", date), seconds(0));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:07 GMT", None), seconds(60));
        assert_eq!(retry_after("99999999999999999999999", date), seconds(u64::MAX));
    }

    #[test]
    fn a_retry_after_that_is_neither_form_is_no_retry_after() {
        for value in ["", "soon", "-1", "1.5", "1 minute"] {
            assert_eq!(retry_after(value, Some(0)), None, "{value:?}");
        }
    }
}
