//! What came of an examination.

use serde::Serialize;

use super::finding::{Code, Finding};

const START: &str = "start it with `sledge run`, or `systemctl start sledge`";

/// Something that was looked at, or could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub check: &'static str,
    /// Why it could not be looked at; `None` where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_made: Option<String>,
}

/// What came of an examination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What should be mended, the gravest subject first.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// What to do before anything else, where something is found and no sledge runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

impl Report {
    pub(super) fn made(&mut self, check: &'static str, findings: Vec<Finding>) {
        self.checks.push(Check { check, not_made: None });
        self.findings.extend(findings);
    }

    pub(super) fn not_made(&mut self, check: &'static str, why: impl Into<String>) {
        self.checks.push(Check { check, not_made: Some(why.into()) });
    }

    pub(super) fn either(&mut self, check: &'static str, findings: Result<Vec<Finding>, String>) {
        match findings {
            Ok(findings) => self.made(check, findings),
            Err(why) => self.not_made(check, why),
        }
    }

    pub(super) fn has(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }

    /// Says what to do first: none runs, so whatever is found speaks of the one that will.
    pub(super) fn none_runs(&mut self) {
        let what = match &self.findings[..] {
            [] => return,
            findings if findings.iter().any(|it| it.code.is_mended_before_a_start()) => {
                format!("mend what is found, then {START}")
            }
            _ => format!("{START}; from then on events are kept"),
        };
        self.first = Some(format!("no sledge runs here: {what}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_waits_only_for_what_would_cost_events() {
        let first = |codes: &[Code]| {
            let findings = codes.iter().map(|code| Finding::new(*code, "seen", "fix")).collect();
            let mut report = Report { findings, ..Report::default() };
            report.none_runs();
            report.first
        };
        assert_eq!(first(&[]), None);
        let start = format!("no sledge runs here: {START}; from then on events are kept");
        assert_eq!(first(&[Code::PendingWithoutDaemon, Code::TokenUnknown]), Some(start));
        let mend = format!("no sledge runs here: mend what is found, then {START}");
        for code in [Code::TokenMissing, Code::JournalInMemory, Code::TokenOfAnotherOrganization] {
            assert_eq!(first(&[Code::SocketStale, code]).as_ref(), Some(&mend));
        }
    }
}
