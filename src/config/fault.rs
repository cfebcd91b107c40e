//! Settings that can't be used, all of them at once.

use std::fmt;

use super::raw_config::Origin;

/// One setting that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The option's key, such as `data_dir`.
    pub key: &'static str,
    /// Who gave it.
    pub origin: Origin,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Fault {
    pub(super) fn new(key: &'static str, origin: &Origin, problem: &str, fix: &str) -> Self {
        Self { key, origin: origin.clone(), message: format!("{problem}; {fix}") }
    }

    /// A fault another room found, in its words.
    pub(super) fn found(key: &'static str, origin: &Origin, error: &dyn std::error::Error) -> Self {
        Self { key, origin: origin.clone(), message: error.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.key, self.origin, self.message)
    }
}

/// Every fault of a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Faults(pub Vec<Fault>);

fn list(faults: &[Fault]) -> String {
    let heading = match faults.len() {
        1 => "a setting can't be used:".to_owned(),
        several => format!("{several} settings can't be used:"),
    };
    faults.iter().fold(heading, |text, fault| format!("{text}\n  {fault}"))
}
