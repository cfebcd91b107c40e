//! Exact sums: decimals with up to twelve places, which is what usage and credits are made of. What does not fit
//! (sixty digits, tiny exponents) is added as a float, as Polar's database adds everything.

const PLACES: u32 = 12;
const ONE: i128 = 1_000_000_000_000;

/// A sum of JSON numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sum {
    exact: i128,
    rest: f64,
}

impl Sum {
    /// Adds a JSON number by its text. Text that is no number counts as nothing.
    pub(super) fn add_text(&mut self, text: &str) {
        match exact(text).and_then(|units| self.exact.checked_add(units)) {
            Some(sum) => self.exact = sum,
            None => self.rest += text.parse::<f64>().ok().filter(|f| f.is_finite()).unwrap_or(0.0),
        }
    }

    /// Adds one.
    pub(super) fn add_one(&mut self) {
        self.exact = self.exact.saturating_add(ONE);
    }

    /// Adds another sum.
    pub(super) fn add(&mut self, other: Self) {
        self.exact = self.exact.saturating_add(other.exact);
        self.rest += other.rest;
    }

    /// The sum with the other sign.
    pub(super) fn negated(self) -> Self {
        Self { exact: self.exact.saturating_neg(), rest: -self.rest }
    }

    /// The sum as a JSON number with at least one decimal, as Python writes a float.
    pub(super) fn to_json(self) -> String {
        if self.rest != 0.0 {
            return format!("{:?}", self.approximately());
        }
        let sign = if self.exact < 0 { "-" } else { "" };
        let magnitude = self.exact.unsigned_abs();
        let (whole, fraction) = (magnitude / ONE.unsigned_abs(), magnitude % ONE.unsigned_abs());
        let fraction = format!("{fraction:012}");
        let fraction = fraction.trim_end_matches('0');
        format!("{sign}{whole}.{}", if fraction.is_empty() { "0" } else { fraction })
    }

    /// The sum as a float.
    pub(super) fn approximately(self) -> f64 {
        Self { rest: 0.0, ..self }.to_json().parse::<f64>().unwrap_or(0.0) + self.rest
    }
}

/// A JSON number in units of 1e-12, when it is exactly that.
fn exact(text: &str) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let shift = i32::try_from(PLACES).ok()?.checked_sub(places)?;
    let power = 10_i128.checked_pow(shift.unsigned_abs())?;
    if shift >= 0 {
        return digits.checked_mul(power);
    }
    (digits % power == 0).then_some(digits / power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(texts: &[&str]) -> String {
        let mut sum = Sum::default();
        for text in texts {
            sum.add_text(text);
        }
        sum.to_json()
    }

    #[test]
    fn decimals_add_up_without_rounding() {
        assert_eq!(sum(&["0.1", "0.2"]), "0.3");
        assert_eq!(sum(&["-10", "3", "8"]), "1.0");
        assert_eq!(sum(&["1e3", "2.50", "-0.0"]), "1002.5");
        assert_eq!(sum(&["1e-12", "-0.5"]), "-0.499999999999");
    }

    #[test]
    fn what_does_not_fit_is_added_as_a_float() {
        assert_eq!(sum(&["1e30", "1"]), "1e30");
        assert_eq!(sum(&["1e-13"]), "1e-13");
    }
}
