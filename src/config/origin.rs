//! Where a value came from: every value remembers it, for the fault that names it and for whoever asks.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag,
    /// A variable of the process environment.
    Variable(&'static str),
    /// The configuration file.
    File(Place),
    /// Nobody gave it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("from the command line"),
            Self::Variable(name) => write!(f, "from {name}"),
            Self::File(place) => write!(f, "at {place}"),
            Self::Default => f.write_str("by default"),
        }
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<PathBuf>,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

impl Place {
    /// The place of the byte at `offset` in the file's text.
    pub(super) fn of_offset(file: &Arc<PathBuf>, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { file: Arc::clone(file), line: before.matches('\n').count() + 1, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T> {
    /// What was given.
    pub value: T,
    /// By whom.
    pub origin: Origin,
}

impl<T> Given<T> {
    /// A value from the command line.
    pub fn by_flag(value: T) -> Self {
        Self { value, origin: Origin::Flag }
    }

    /// A value from the variable `name`.
    pub fn by_variable(name: &'static str, value: T) -> Self {
        Self { value, origin: Origin::Variable(name) }
    }
}

/// Where each value of a configuration came from, by its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    /// Where the value of `key` came from.
    #[must_use]
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    pub(super) fn set(&mut self, key: &'static str, origin: Origin) {
        self.0.insert(key, origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let file = Arc::new(PathBuf::from("a.toml"));
        let text = "a = 1\nbä = 2\n";
        let at = |part: &str| Place::of_offset(&file, text, text.find(part).unwrap()).to_string();
        assert_eq!(at("a"), "a.toml:1:1");
        assert_eq!(at("b"), "a.toml:2:1");
        assert_eq!(at("2"), "a.toml:2:6");
        assert_eq!(Place::of_offset(&file, text, text.len()).to_string(), "a.toml:3:1");
    }
}
