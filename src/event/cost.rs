//! `metadata._cost`: what an event cost, in Polar's decimals.

use std::borrow::Cow;

use super::code::Code;
use super::members::Members;
use super::rejection::Rejection;
use super::text::{read_text, unstorable};
use super::value::{Kind, Value};

const WHOLE_DIGITS_MAX: i64 = 5;
const DECIMALS_MAX: i64 = 12;
/// Digits that Python's decimals keep, and the least power of ten: what is smaller is nothing.
const PRECISION: usize = 28;
const EXPONENT_MIN: i64 = -1_000_026;
/// Far past every exponent that could pass; keeps the sums below from overflowing.
const EXPONENT_MAX: i64 = 999_999_999_999_999_999;

pub(super) fn check(value: Value<'_>, faults: &mut Vec<Rejection>) {
    let Some(members) = Members::of_object(value, &["metadata", "_cost"], faults) else { return };
    let amount = ["metadata", "_cost", "amount"];
    if let Some(value) = members.required("amount", &amount, faults) {
        faults.extend(check_amount(value, &amount).err());
    }
    let currency = ["metadata", "_cost", "currency"];
    let Some(value) = members.required("currency", &currency, faults) else { return };
    match read_text(value, &currency) {
        // Polar's pattern is not anchored.
        Ok(text) if text.contains("usd") => {}
        Ok(_) => {
            faults.push(Rejection::new(Code::CostCurrencyInvalid, &currency, "must be usd, in small letters"))
        }
        Err(fault) => faults.push(fault),
    }
}

fn check_amount(value: Value<'_>, path: &[&str]) -> Result<(), Rejection> {
    let text = match value.kind() {
        Kind::Text => {
            value.text().unwrap_or(Ok(Cow::Borrowed(""))).map_err(|fault| unstorable(fault, path))?
        }
        Kind::Number if !value.is_finite() => {
            return Err(Rejection::new(
                Code::NumberNotFinite,
                path,
                "overflows to infinity; send the amount in cents",
            ));
        }
        Kind::Number if value.is_integer() => Cow::Borrowed(value.json()),
        // Polar sees what is left of the number after it went through a float.
        Kind::Number => Cow::Owned(format!("{:e}", value.as_f64())),
        Kind::Null | Kind::Boolean | Kind::List | Kind::Object => {
            let message = "must be a number (of cents)";
            return Err(Rejection::new(Code::WrongType, path, message).of_kind("decimal_type"));
        }
    };
    let Some(decimal) = Decimal::read(&text) else {
        let message = "is not a decimal number; send the amount in cents";
        let kind = if spells_no_finite_number(&text) { "finite_number" } else { "decimal_parsing" };
        return Err(Rejection::new(Code::CostAmountInvalid, path, message).of_kind(kind));
    };
    let (message, kind) = if decimal.whole_digits() > WHOLE_DIGITS_MAX {
        ("must be below 100,000 cents: Polar takes 5 digits before the point", "decimal_whole_digits")
    } else if decimal.decimals() > DECIMALS_MAX {
        ("has more than 12 decimals; round it, as in 0.3 for 0.30000000000000004", "decimal_max_places")
    } else {
        return Ok(());
    };
    // Polar counts all digits first.
    let all_digits = decimal.whole_digits().max(decimal.digits).max(decimal.decimals());
    let kind = if all_digits > WHOLE_DIGITS_MAX + DECIMALS_MAX { "decimal_max_digits" } else { kind };
    Err(Rejection::new(Code::CostAmountInvalid, path, message).of_kind(kind))
}

/// The digits that Python keeps of a number when it reduces one, half to even, and how many it drops.
fn rounded(digits: &str) -> (String, usize) {
    let (kept, dropped) = digits.split_at_checked(PRECISION).unwrap_or((digits, ""));
    let is_odd = kept.bytes().last().is_some_and(|digit| digit % 2 == 1);
    let is_up = match dropped.bytes().next() {
        Some(b'5') => is_odd || dropped.bytes().skip(1).any(|digit| digit != b'0'),
        Some(first) => first > b'5',
        None => false,
    };
    if !is_up {
        return (kept.to_owned(), dropped.len());
    }
    let nines = kept.bytes().rev().take_while(|digit| *digit == b'9').count();
    let head = kept.get(..kept.len() - nines).unwrap_or_default();
    let raised = match head.split_at_checked(head.len().saturating_sub(1)) {
        Some((before, last)) if !last.is_empty() => {
            let digit = last.bytes().next().map_or('1', |digit| char::from(digit + 1));
            format!("{before}{digit}")
        }
        _ => "1".to_owned(),
    };
    // All nines become one digit more: a zero less behind it is dropped for that.
    let zeros = "0".repeat(nines);
    (format!("{raised}{zeros}"), dropped.len())
}

/// What `Decimal` reads beside numbers.
fn spells_no_finite_number(text: &str) -> bool {
    let text = text.trim().trim_start_matches(['+', '-']).to_ascii_lowercase();
    ["nan", "snan", "inf"].iter().any(|name| text.starts_with(name))
}

/// A decimal number as Python's `Decimal` reads it, reduced to what its limits depend on.
struct Decimal {
    /// Significant digits, without zeros at either end; 0 for zero.
    digits: i64,
    /// The power of ten of the last significant digit.
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        // Python drops every underscore.
        let text: String = text.trim().chars().filter(|&char| char != '_').collect();
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) || exponent.abs() > EXPONENT_MAX {
            return None;
        }
        let count = |count: usize| i64::try_from(count).unwrap_or(EXPONENT_MAX);
        let unpadded = all.trim_start_matches('0');
        let (rounded, dropped) = rounded(unpadded);
        let significant = rounded.trim_end_matches('0');
        let exponent = exponent - count(fraction.len()) + count(dropped + rounded.len() - significant.len());
        if significant.is_empty() || exponent < EXPONENT_MIN {
            return Some(Self { digits: 0, exponent: 0 });
        }
        Some(Self { digits: count(significant.len()), exponent })
    }

    fn whole_digits(&self) -> i64 {
        self.digits + self.exponent
    }

    fn decimals(&self) -> i64 {
        -self.exponent
    }
}
