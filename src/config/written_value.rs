//! From a value as it was written to one of its setting's kind.

use super::fault::Fault;
use super::origin::{Given, Origin};
use super::raw_config::RawValue;
use super::setting::{Setting, Takes, Unit, Value};

/// Reads what was given for a setting.
pub(super) fn read(setting: &Setting, given: &Given<RawValue>) -> Result<Value, Fault> {
    let found = match setting.takes {
        Takes::Number { unit, least, most } => number(&given.value, unit, least, most).map(Value::Number),
        Takes::Text => text(&given.value).map(Value::Text),
        Takes::OneOf(words) => one_of(words, &given.value).map(Value::Text),
        Takes::Texts => texts(&given.value).map(Value::Texts),
    };
    found.map_err(|(problem, fix)| fault(setting, &given.origin, &problem, &fix))
}

type Wrong = (String, String);

fn fault(setting: &Setting, origin: &Origin, problem: &str, fix: &str) -> Fault {
    Fault::new(setting.key, origin, problem, fix)
}

fn number(value: &RawValue, unit: Unit, least: u64, most: u64) -> Result<u64, Wrong> {
    let fix = || format!("write a whole number{} from {least} to {most}", of_unit(unit));
    let in_range = |number: Option<u64>, shown: &str| match number {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        Some(number) if number < least => Err((format!("{shown} is too small"), fix())),
        Some(_) | None => Err((format!("{shown} is too large"), fix())),
    };
    match value {
        RawValue::Number(digits, _) if digits.starts_with('-') => {
            Err((format!("{digits} is too small"), fix()))
        }
        RawValue::Number(digits, radix) => {
            let number = u64::from_str_radix(digits, *radix).ok();
            let shown = number.map_or_else(|| digits.clone(), |number| number.to_string());
            in_range(number, &shown)
        }
        RawValue::Word(word) => {
            let word = word.to_string_lossy();
            let digits = word.replace('_', "");
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err((
                    format!("{word:?} is not a whole number"),
                    with_unit(&word, unit).unwrap_or_else(fix),
                ));
            }
            in_range(digits.parse().ok(), &word)
        }
        RawValue::Quoted(text) => {
            let bare = text
                .replace('_', "")
                .parse::<u64>()
                .ok()
                .map(|number| format!("write {number}, without quotes"));
            let fix = with_unit(text, unit).or(bare).unwrap_or_else(fix);
            Err((format!("{text:?} is text"), fix))
        }
        RawValue::List(_) => Err(("a list is not a number".to_owned(), fix())),
        RawValue::Other(kind) => Err((format!("{kind} is not a whole number"), fix())),
    }
}

fn of_unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "",
        Unit::Bytes => " of bytes",
        Unit::Milliseconds => " of milliseconds",
        Unit::Seconds => " of seconds",
    }
}

/// For whoever wrote `16 MiB` or `30s`: the number that is meant.
fn with_unit(text: &str, unit: Unit) -> Option<String> {
    let text = text.trim();
    let end = text.find(|char: char| !char.is_ascii_digit())?;
    let (digits, name) = (text.get(..end)?, text.get(end..)?.trim().to_ascii_lowercase());
    let (of_bytes, of_time) = (unit == Unit::Bytes, matches!(unit, Unit::Milliseconds | Unit::Seconds));
    let factor: u64 = match name.as_str() {
        "b" | "bytes" if of_bytes => 1,
        "k" | "kb" | "kib" if of_bytes => 1 << 10,
        "m" | "mb" | "mib" if of_bytes => 1 << 20,
        "g" | "gb" | "gib" if of_bytes => 1 << 30,
        "ms" if of_time => 1,
        "s" | "sec" | "seconds" if of_time => 1_000,
        "m" | "min" | "minutes" if of_time => 60_000,
        "h" | "hours" if of_time => 3_600_000,
        "d" | "days" if of_time => 86_400_000,
        _ => return None,
    };
    let number = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    let number = if unit == Unit::Seconds { number / 1_000 } else { number };
    Some(format!("write {number}, the unit is in the name"))
}

fn text(value: &RawValue) -> Result<String, Wrong> {
    let wrong = |problem: &str, fix: &str| (problem.to_owned(), fix.to_owned());
    match value {
        RawValue::Word(word) => {
            word.to_str().map(str::to_owned).ok_or_else(|| wrong("it is not UTF-8", "write it in UTF-8"))
        }
        RawValue::Quoted(text) => Ok(text.clone()),
        RawValue::Number(..) | RawValue::List(_) | RawValue::Other(_) => {
            Err(wrong("this is not text", "write it in quotes"))
        }
    }
}

fn one_of(words: &'static [&'static str], value: &RawValue) -> Result<String, Wrong> {
    let text = text(value)?;
    if words.contains(&text.as_str()) {
        return Ok(text);
    }
    Err((format!("{text:?} is not known"), format!("write {}", words.join(" or "))))
}

fn texts(value: &RawValue) -> Result<Vec<String>, Wrong> {
    match value {
        RawValue::List(texts) => Ok(texts.clone()),
        RawValue::Word(_) => {
            let names = text(value)?;
            Ok(names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
        }
        RawValue::Quoted(_) | RawValue::Number(..) | RawValue::Other(_) => {
            Err(("this is not a list of texts".to_owned(), "write it as [\"one\", \"two\"]".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: RawValue) -> Result<u64, Wrong> {
        number(&value, Unit::Bytes, 10, 1 << 40)
    }

    #[test]
    fn numbers_are_read_in_every_radix_and_with_underscores() {
        assert_eq!(bytes(RawValue::Number("1048576".to_owned(), 10)), Ok(1 << 20));
        assert_eq!(bytes(RawValue::Number("100000".to_owned(), 16)), Ok(1 << 20));
        assert_eq!(bytes(RawValue::Word("1_048_576".into())), Ok(1 << 20));
    }

    #[test]
    fn numbers_out_of_range_say_the_range() {
        for (digits, problem) in
            [("9", "9 is too small"), ("-5", "-5 is too small"), ("99999999999999999999", "too large")]
        {
            let (said, fix) = bytes(RawValue::Number(digits.to_owned(), 10)).unwrap_err();
            assert!(said.contains(problem) && fix.contains("from 10 to 1099511627776"), "{said}; {fix}");
        }
    }

    #[test]
    fn whoever_writes_a_unit_is_told_the_number() {
        for (text, unit, number) in [
            ("16 MiB", Unit::Bytes, "16777216"),
            ("4k", Unit::Bytes, "4096"),
            ("30s", Unit::Seconds, "30"),
            ("5 min", Unit::Seconds, "300"),
            ("2s", Unit::Milliseconds, "2000"),
        ] {
            assert_eq!(
                with_unit(text, unit),
                Some(format!("write {number}, the unit is in the name")),
                "{text}"
            );
        }
        for text in ["", "MiB", "16", "16 parsecs", "5 min"] {
            assert_eq!(with_unit(text, Unit::Bytes), None, "{text}");
        }
    }

    #[test]
    fn a_variable_lists_its_texts_with_commas() {
        assert_eq!(
            texts(&RawValue::Word("a, b,,c".into())),
            Ok(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
        );
        assert!(texts(&RawValue::Quoted("a".to_owned())).is_err());
    }
}
