//! Sums of numbers that come as text, without the drift of floats.

use std::fmt;

/// Digits behind the point. Polar keeps no more of a cost, and a credit has none.
const PLACES: u32 = 12;
const ONE: i128 = 10_i128.pow(PLACES);
/// Beyond this a value is not summed: some 10^11 of the largest still fit into a sum.
const WHOLE_DIGITS_MAX: i64 = 15;

/// A number with 12 decimals.
///
/// A value with more is rounded, half away from zero, when it is read: the very same is added once and taken off once, so
/// that nothing is left of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::journal) struct Decimal(i128);

impl Decimal {
    /// Reads a JSON number; `None` for one of 10^15 or more.
    pub(in crate::journal) fn read(number: &str) -> Option<Self> {
        let (negative, unsigned) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let significant = digits.trim_start_matches('0');
        // An exponent beyond this leaves nothing, or too much, whatever the digits: no number holds so many.
        let exponent =
            exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { -1 << 40 } else { 1 << 40 });
        if significant.is_empty() {
            return Some(Self(0));
        }
        // How many digits stand before the point.
        let point = i64::try_from(significant.len()).ok()? - i64::try_from(fraction.len()).ok()? + exponent;
        if point > WHOLE_DIGITS_MAX {
            return None;
        }
        let kept = usize::try_from(point + i64::from(PLACES)).ok();
        let value = kept.map_or(0, |kept| {
            let digit =
                |place: usize| significant.as_bytes().get(place).map_or(0, |digit| i128::from(digit - b'0'));
            let value = (0..kept).fold(0_i128, |value, place| value * 10 + digit(place));
            value + i128::from(digit(kept) >= 5)
        });
        Some(Self(if negative { -value } else { value }))
    }

    /// The sum of both.
    pub(in crate::journal) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left when the other is taken off.
    pub(in crate::journal) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Decimal {
    /// As JSON has it, without zeros at the end.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) =
            (self.0.unsigned_abs() / ONE.unsigned_abs(), self.0.unsigned_abs() % ONE.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(out, "{sign}{whole}");
        }
        let fraction = format!("{fraction:012}");
        write!(out, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(number: &str) -> Option<String> {
        Decimal::read(number).map(|decimal| decimal.to_string())
    }

    #[test]
    fn numbers_are_read_as_json_spells_them() {
        for (number, read) in [
            ("0", "0"),
            ("-0", "0"),
            ("5", "5"),
            ("-10", "-10"),
            ("1.5", "1.5"),
            ("-0.25", "-0.25"),
            ("1e3", "1000"),
            ("1.5E+2", "150"),
            ("25e-1", "2.5"),
            ("0.000000000001", "0.000000000001"),
            ("1e-12", "0.000000000001"),
            ("0.0000000000005", "0.000000000001"),
            ("0.0000000000004", "0"),
            ("-5e-13", "-0.000000000001"),
            ("0.30000000000000004", "0.3"),
            ("0.12345678901234568", "0.123456789012"),
            ("999999999999999", "999999999999999"),
            ("999999999999999.9999999999999", "1000000000000000"),
            ("1e-400", "0"),
            ("1e-99999999999999999999", "0"),
            ("0e99999999999999999999", "0"),
            ("0.00001e18", "10000000000000"),
            ("100000000000000000000e-10", "10000000000"),
        ] {
            assert_eq!(shown(number).as_deref(), Some(read), "{number}");
        }
        for beyond in
            ["1000000000000000", "1e15", "-1e300", "1e99999999999999999999", "123456789012345678901234567890"]
        {
            assert_eq!(shown(beyond), None, "{beyond}");
        }
    }

    proptest! {
        #[test]
        fn what_is_added_and_taken_off_leaves_nothing(
            numbers in proptest::collection::vec("-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", 0..20),
        ) {
            let read: Vec<_> = numbers.iter().filter_map(|number| Decimal::read(number)).collect();
            let sum = read.iter().fold(Decimal::default(), |sum, value| sum.plus(*value));
            let left = read.iter().rev().fold(sum, |left, value| left.minus(*value));
            prop_assert_eq!(left, Decimal::default());
        }

        #[test]
        fn a_sum_of_small_integers_is_their_sum(numbers in proptest::collection::vec(-1_000_000_i64..1_000_000, 0..50)) {
            let sum = numbers.iter().fold(Decimal::default(), |sum, value| sum.plus(Decimal::read(&value.to_string()).unwrap()));
            prop_assert_eq!(sum.to_string(), numbers.iter().sum::<i64>().to_string());
        }
    }
}
