//! Text to [`Value`].

use std::collections::HashMap;

use super::Value;
use super::{number, string};

/// Nesting beyond this is an uncaught recursion error in Python.
const DEPTH_MAX: usize = 900;
/// Above this many keys a dict is read with an index beside it.
const KEYS_BEFORE_INDEX: usize = 16;

/// Why a text could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Unreadable {
    /// Not JSON: Python's words, and the position in characters.
    Fault { error: &'static str, at: usize },
    /// JSON that Python's reader gives up on: over-long integers, over-deep nesting.
    Refused,
}

/// A fault at a byte position; turned into characters once, at the end.
pub(super) enum Stop {
    At(&'static str, usize),
    Refused,
}

/// Reads a whole text.
pub(in crate::simulator) fn read(text: &str) -> Result<Value, Unreadable> {
    let reader = Reader { text, bytes: text.as_bytes() };
    let outcome = reader.value(reader.skip_space(0), 0).and_then(|(value, end)| {
        let end = reader.skip_space(end);
        if end == text.len() { Ok(value) } else { Err(Stop::At("Extra data", end)) }
    });
    outcome.map_err(|stop| match stop {
        Stop::At(error, byte) => {
            Unreadable::Fault { error, at: text.get(..byte).map_or(byte, |before| before.chars().count()) }
        }
        Stop::Refused => Unreadable::Refused,
    })
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
}

impl Reader<'_> {
    fn at(&self, index: usize) -> Option<u8> {
        self.bytes.get(index).copied()
    }

    fn skip_space(&self, mut index: usize) -> usize {
        while matches!(self.at(index), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            index += 1;
        }
        index
    }

    fn word(&self, index: usize, word: &str) -> Option<usize> {
        self.bytes.get(index..)?.starts_with(word.as_bytes()).then(|| index + word.len())
    }

    fn value(&self, index: usize, depth: usize) -> Result<(Value, usize), Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Refused);
        }
        let words = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        match self.at(index) {
            Some(b'"') => string::read(self.text, index),
            Some(b'{') => self.dict(index + 1, depth),
            Some(b'[') => self.list(index + 1, depth),
            _ => {
                for (word, value) in words {
                    if let Some(end) = self.word(index, word) {
                        return Ok((value, end));
                    }
                }
                number::read(self.text, index)
            }
        }
    }

    fn list(&self, index: usize, depth: usize) -> Result<(Value, usize), Stop> {
        let mut items = Vec::new();
        let mut index = self.skip_space(index);
        if self.at(index) == Some(b']') {
            return Ok((Value::List(items), index + 1));
        }
        loop {
            let (item, end) = self.value(index, depth + 1)?;
            items.push(item);
            index = self.skip_space(end);
            match self.at(index) {
                Some(b']') => return Ok((Value::List(items), index + 1)),
                Some(b',') => index = self.skip_space(index + 1),
                _ => return Err(Stop::At("Expecting ',' delimiter", index)),
            }
        }
    }

    fn dict(&self, index: usize, depth: usize) -> Result<(Value, usize), Stop> {
        let mut entries = Entries::default();
        let mut index = self.skip_space(index);
        if self.at(index) == Some(b'}') {
            return Ok((Value::Dict(entries.list), index + 1));
        }
        loop {
            if self.at(index) != Some(b'"') {
                return Err(Stop::At("Expecting property name enclosed in double quotes", index));
            }
            let (key, end) = string::read(self.text, index)?;
            index = self.skip_space(end);
            if self.at(index) != Some(b':') {
                return Err(Stop::At("Expecting ':' delimiter", index));
            }
            let (value, end) = self.value(self.skip_space(index + 1), depth + 1)?;
            entries.insert(key.as_text().map(str::to_owned), value);
            index = self.skip_space(end);
            match self.at(index) {
                Some(b'}') => return Ok((Value::Dict(entries.list), index + 1)),
                Some(b',') => index = self.skip_space(index + 1),
                _ => return Err(Stop::At("Expecting ',' delimiter", index)),
            }
        }
    }
}

/// A dict being read: the last of two equal keys wins, at the place of the first.
#[derive(Default)]
struct Entries {
    list: Vec<(Option<String>, Value)>,
    index: HashMap<String, usize>,
}

impl Entries {
    fn insert(&mut self, key: Option<String>, value: Value) {
        let known = match &key {
            None => None,
            Some(key) if self.list.len() <= KEYS_BEFORE_INDEX => {
                self.list.iter().position(|(k, _)| k.as_ref() == Some(key))
            }
            Some(key) => {
                if self.index.is_empty() {
                    let keys = self.list.iter().enumerate();
                    self.index = keys.filter_map(|(i, (k, _))| Some((k.clone()?, i))).collect();
                }
                let next = self.list.len();
                let place = *self.index.entry(key.clone()).or_insert(next);
                (place < next).then_some(place)
            }
        };
        match known.and_then(|place| self.list.get_mut(place)) {
            Some((_, old)) => *old = value,
            None => self.list.push((key, value)),
        }
    }
}
