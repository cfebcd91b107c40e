//! Settings that can't be used, all of them at once.

use std::fmt;

use super::origin::Origin;

/// One setting that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting's key, such as `data_dir`; empty when the file itself can't be read.
    pub key: String,
    /// Who gave it.
    pub origin: Origin,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Fault {
    /// Whether it is that nobody gave a token.
    #[must_use]
    pub fn is_no_token(&self) -> bool {
        self.key == "token" && self.origin == Origin::Default
    }

    pub(super) fn new(key: &str, origin: &Origin, problem: &str, fix: &str) -> Self {
        Self { key: key.to_owned(), origin: origin.clone(), message: format!("{problem}; {fix}") }
    }

    /// A fault another room found, in its words.
    pub(super) fn found(key: &str, origin: &Origin, error: &dyn std::error::Error) -> Self {
        Self { key: key.to_owned(), origin: origin.clone(), message: error.to_string() }
    }

    /// The order in which faults are reported: as the file has them, then all others as they were found.
    fn rank(&self) -> (usize, usize) {
        match &self.origin {
            Origin::File(place) => (place.line, place.column),
            Origin::Flag | Origin::Variable(_) | Origin::Default => (usize::MAX, 0),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, origin, message } = self;
        match origin {
            Origin::File(place) if key.is_empty() => write!(f, "{place}: {message}"),
            // The form that editors and terminals make a link of.
            Origin::File(place) => write!(f, "{place}: {key}: {message}"),
            Origin::Flag | Origin::Variable(_) | Origin::Default => write!(f, "{key} ({origin}): {message}"),
        }
    }
}

/// Every fault of a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub(super) fn in_order(mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(Fault::rank);
        Self(faults)
    }
}

fn list(faults: &[Fault]) -> String {
    let heading = match faults.len() {
        1 => "a setting can't be used:".to_owned(),
        several => format!("{several} settings can't be used:"),
    };
    faults.iter().fold(heading, |text, fault| format!("{text}\n  {fault}"))
}
