//! Numbers as people read them.

/// `1234567` as `1,234,567`.
pub(in crate::cli) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 line`, `1,200 lines`.
pub(in crate::cli) fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `1 event`, `2 events`.
pub(in crate::cli) fn events(number: u64) -> String {
    counted(number, "event")
}

/// Bytes in the largest binary unit that leaves at least one.
pub(in crate::cli) fn bytes(number: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
    let (unit, shift) = UNITS.into_iter().find(|(_, shift)| number >> shift > 0).unwrap_or(("B", 0));
    let tenths = (u128::from(number) * 10) >> shift;
    let whole = tenths / 10;
    if shift == 0 || whole >= 100 {
        format!("{whole} {unit}")
    } else {
        format!("{whole}.{} {unit}", tenths % 10)
    }
}

/// Units of a meter: whole ones without a fraction.
pub(in crate::cli) fn units(number: f64) -> String {
    // A negative nought is none.
    let number = if number == 0.0 { 0.0 } else { number };
    format!("{number}")
}

/// A length of time, in its two largest units.
pub(in crate::cli) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let whole = std::time::Duration::try_from_secs_f64(seconds).map_or(u64::MAX, |length| length.as_secs());
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, _) => format!("{minutes} min {} s", whole % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!((events(1).as_str(), events(0).as_str()), ("1 event", "0 events"));
    }

    #[test]
    fn bytes_have_a_unit_that_fits() {
        for (number, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (150 << 20, "150 MiB"), (1 << 30, "1.0 GiB")]
        {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn units_are_whole_where_they_can_be() {
        for (number, text) in
            [(10.0, "10"), (-1.0, "-1"), (-0.0, "0"), (2.5, "2.5"), (1e15, "1000000000000000")]
        {
            assert_eq!(units(number), text);
        }
    }

    #[test]
    fn durations_show_two_units() {
        for (seconds, text) in [
            (0.04, "0.0 s"),
            (-3.0, "0.0 s"),
            (3.25, "3.2 s"),
            (59.9, "59 s"),
            (61.0, "1 min 1 s"),
            (7_260.0, "2 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
