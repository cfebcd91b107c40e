//! JSON as Python's `json` module reads and writes it: `NaN` and `Infinity` are numbers, an escaped lone surrogate is
//! a character, the last of two equal keys wins, and a fault carries the module's own words and position.
//!
//! This is the slow, exact road: it is only taken for bodies the quick one would not vouch for.

mod number;
mod reader;
mod string;
mod writer;

pub(super) use reader::{Unreadable, read};
pub(super) use writer::{Unwritable, write, write_text};

/// A value as Python holds it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `None`.
    Null,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of any size, in plain digits.
    Int(String),
    /// A float, possibly not finite.
    Float(f64),
    /// A string.
    Text(String),
    /// A string with a lone surrogate: Python can hold it, but neither write it as UTF-8 nor store it.
    BrokenText,
    /// A list.
    List(Vec<Value>),
    /// A dict, in the order in which its keys first appeared. A key with a lone surrogate is `None`.
    Dict(Vec<(Option<String>, Value)>),
}

impl Value {
    /// The value under `key`, when this is a dict.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Dict(entries) => entries.iter().find(|(k, _)| k.as_deref() == Some(key)).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The string, when this is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}
