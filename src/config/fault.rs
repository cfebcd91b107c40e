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
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl Fault {
    pub(super) fn new(
        key: &'static str,
        origin: &Origin,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { key, origin: origin.clone(), problem: problem.into(), fix: fix.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, origin, problem, fix } = self;
        write!(f, "{key} ({origin}): {problem}; {fix}")
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
