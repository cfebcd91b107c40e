//! Instants as Polar writes them.

use super::world::World;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_S: i64 = 86_400;

/// Year, month and day of a day counted from 1970-01-01.
fn civil(day: i64) -> (i64, usize, i64) {
    // Years are counted from 1 March, so that the leap day is the last of its year.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day)
}

fn clock(second_of_day: i64) -> (i64, i64, i64) {
    (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60)
}

/// An HTTP date.
pub(super) fn http_date(us: i64) -> String {
    let seconds = us.div_euclid(1_000_000);
    let (day, (hour, minute, second)) = (seconds.div_euclid(DAY_S), clock(seconds.rem_euclid(DAY_S)));
    let (year, month, date) = civil(day);
    let weekday = usize::try_from(day.rem_euclid(7)).ok().and_then(|index| DAYS.get(index)).unwrap_or(&"Thu");
    let month = MONTHS.get(month - 1).unwrap_or(&"Jan");
    format!("{weekday}, {date:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// An RFC 3339 instant in UTC, with microseconds when there are any.
pub(super) fn rfc3339(us: i64) -> String {
    let (seconds, fraction) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
    let (year, month, date) = civil(seconds.div_euclid(DAY_S));
    let (hour, minute, second) = clock(seconds.rem_euclid(DAY_S));
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

impl World {
    /// The `Date` header of an answer given now.
    pub(super) fn date_header(&self) -> String {
        self.date.clone().unwrap_or_else(|| http_date(i64::try_from(self.now_us()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_http_and_rfc_3339_want_them() {
        assert_eq!(http_date(784_111_777_000_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(1_709_164_800_000_000), "Thu, 29 Feb 2024 00:00:00 GMT");
        assert_eq!(rfc3339(1_787_400_000_000_001), "2026-08-22T12:00:00.000001Z");
        assert_eq!(rfc3339(-62_135_596_800_000_000), "0001-01-01T00:00:00Z");
    }
}
