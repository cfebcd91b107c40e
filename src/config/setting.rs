//! What a setting is: a row of the one table that keys, variables, flags, defaults and documents come from.

use std::path::PathBuf;
use std::time::Duration;

use super::config::Config;
use crate::telemetry;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its key in the file, with its section: `intake.frame_bytes_max`.
    pub key: &'static str,
    /// Its variable: `SLEDGE_INTAKE_FRAME_BYTES_MAX`.
    pub variable: &'static str,
    /// Its flag, where it has one.
    pub flag: Option<Flag>,
    /// What it may be.
    pub takes: Takes,
    /// When a changed value takes effect.
    pub change: Change,
    /// What holds when nobody gives it.
    pub default: DefaultValue,
    /// What it does and why it is what it is.
    pub meaning: &'static str,
    pub(super) access: Access,
}

/// A flag of `sledge run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Without the dashes: `data-dir`.
    pub name: &'static str,
    /// What its value is called: `DIR`.
    pub value: &'static str,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A whole number between two others, both included.
    Number {
        /// What is counted.
        unit: Unit,
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// Text, or a path.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of texts; in a variable they are separated by commas.
    Texts,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// With the next reload.
    Reload,
    /// With the next start.
    Restart,
}

/// What holds when nobody gives a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// Always the same.
    Fixed,
    /// It depends.
    Varies {
        /// On what, in words.
        words: &'static str,
        /// A value to show, as the file would have it.
        sample: &'static str,
    },
}

/// How a setting's value is reached in a [`Config`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    /// It is one field.
    Field(for<'c> fn(&'c mut Config) -> Field<'c>),
    /// It was found together with others before any field was set; it can only be looked at.
    Choice(fn(&Config) -> Option<Value>),
}

/// One field of a [`Config`].
#[derive(Debug)]
pub(super) enum Field<'c> {
    Size(&'c mut usize),
    Large(&'c mut u64),
    /// Computed elsewhere while it is `None`.
    Optional(&'c mut Option<u64>),
    /// Nought stands for `None`.
    NoneAtZero(&'c mut Option<u32>),
    Time(&'c mut Duration),
    Text(&'c mut String),
    /// Nothing while it is `None`.
    OptionalText(&'c mut Option<String>),
    /// A path; nothing while it is `None`.
    OptionalPath(&'c mut Option<PathBuf>),
    Texts(&'c mut Vec<String>),
    Format(&'c mut telemetry::Format),
    /// `on` or `off`.
    Switch(&'c mut bool),
}

/// A setting's value, free of its field's type.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number, in the unit of its setting.
    Number(u64),
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
}

impl Setting {
    /// The section of its key; empty for a key that stands at the top of the file.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// Its key within its section.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }

    /// Its value in `config`; `None` where that is left to whoever uses it.
    #[must_use]
    pub fn value(&self, config: &Config) -> Option<Value> {
        match self.access {
            Access::Choice(look) => look(config),
            Access::Field(field) => field(&mut config.clone()).value(self.unit()),
        }
    }

    /// Sets its field. The value was read for this setting, so it is of its type.
    pub(super) fn set(&self, config: &mut Config, value: Value) {
        if let Access::Field(field) = self.access {
            field(config).set(value, self.unit());
        }
    }

    fn unit(&self) -> Unit {
        match self.takes {
            Takes::Number { unit, .. } => unit,
            Takes::Text | Takes::OneOf(_) | Takes::Texts => Unit::Count,
        }
    }
}

impl Field<'_> {
    fn value(self, unit: Unit) -> Option<Value> {
        Some(match self {
            Self::Size(size) => Value::Number(*size as u64),
            Self::Large(number) => Value::Number(*number),
            Self::Optional(number) => Value::Number((*number)?),
            Self::NoneAtZero(number) => Value::Number(number.map_or(0, u64::from)),
            Self::Time(time) if unit == Unit::Milliseconds => {
                Value::Number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            }
            Self::Time(time) => Value::Number(time.as_secs()),
            Self::Text(text) => Value::Text(text.clone()),
            Self::OptionalText(text) => Value::Text(text.clone()?),
            Self::OptionalPath(path) => Value::Text(path.as_ref()?.display().to_string()),
            Self::Texts(texts) => Value::Texts(texts.clone()),
            Self::Switch(is_on) => Value::Text(if *is_on { "on" } else { "off" }.to_owned()),
            Self::Format(format) => Value::Text(format.as_str().to_owned()),
        })
    }

    fn set(self, value: Value, unit: Unit) {
        match (self, value) {
            (Self::Size(size), Value::Number(number)) => {
                *size = usize::try_from(number).unwrap_or(usize::MAX)
            }
            (Self::Large(field), Value::Number(number)) => *field = number,
            (Self::Optional(field), Value::Number(number)) => *field = Some(number),
            (Self::NoneAtZero(field), Value::Number(number)) => {
                *field = u32::try_from(number).ok().filter(|number| *number > 0);
            }
            (Self::Time(time), Value::Number(number)) => {
                *time = match unit {
                    Unit::Milliseconds => Duration::from_millis(number),
                    Unit::Count | Unit::Bytes | Unit::Seconds => Duration::from_secs(number),
                };
            }
            (Self::Text(field), Value::Text(text)) => *field = text,
            (Self::OptionalText(field), Value::Text(text)) => *field = Some(text),
            (Self::OptionalPath(field), Value::Text(text)) => *field = Some(text.into()),
            (Self::Texts(field), Value::Texts(texts)) => *field = texts,
            (Self::Switch(field), Value::Text(text)) => *field = text == "on",
            (Self::Format(field), Value::Text(text)) => {
                *field = telemetry::Format::ALL
                    .into_iter()
                    .find(|known| known.as_str() == text)
                    .unwrap_or_default();
            }
            (field, value) => tracing::error!(?field, ?value, "a setting was read as something it is not"),
        }
    }
}

impl Value {
    /// As the file would have it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            // A JSON string is a basic string of TOML.
            Self::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
            Self::Texts(texts) => serde_json::Value::from(texts.as_slice()).to_string(),
        }
    }
}

/// A row for a number that is one field.
pub(super) const fn number(
    key: &'static str,
    variable: &'static str,
    unit: Unit,
    (least, most): (u64, u64),
    change: Change,
    meaning: &'static str,
    field: for<'c> fn(&'c mut Config) -> Field<'c>,
) -> Setting {
    let takes = Takes::Number { unit, least, most };
    let access = Access::Field(field);
    Setting { key, variable, flag: None, takes, change, default: DefaultValue::Fixed, meaning, access }
}
