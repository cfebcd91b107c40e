//! The configuration: what `sledge run` would say of it.

use super::finding::{Code, Finding};
use crate::config::{Faults, Origin};

/// A finding for each setting that can't be used.
pub(super) fn judge(faults: &Faults) -> Vec<Finding> {
    let finding = |fault: &crate::config::Fault| {
        let code = if matches!(fault.key.as_str(), "token" | "token_file") {
            Code::TokenMissing
        } else {
            Code::ConfigInvalid
        };
        // Each fault says what to do behind its last semicolon.
        let (seen, fix) = fault.message.rsplit_once("; ").unwrap_or((&fault.message, "give another value"));
        let place = match &fault.origin {
            Origin::File(place) => format!("{place}: {}", fault.key),
            Origin::Flag | Origin::Variable(_) | Origin::Default => {
                format!("{} ({})", fault.key, fault.origin)
            }
        };
        Finding::new(code, format!("{place}: {seen}"), fix)
    };
    faults.0.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, RawConfig, Surroundings};

    #[test]
    fn every_fault_is_a_finding_with_its_place_and_its_fix() {
        let surroundings = Surroundings::made_up(&[], &[], true);
        let raw =
            RawConfig::default().with_flag("admin", "localhost").with_flag("event.bytes_max", "2097152");
        let findings = judge(&Config::new(raw, &surroundings).unwrap_err());
        let codes: Vec<Code> = findings.iter().map(|finding| finding.code).collect();
        assert!(codes.contains(&Code::TokenMissing) && codes.contains(&Code::ConfigInvalid), "{findings:?}");
        let admin = findings.iter().find(|finding| finding.seen.starts_with("admin")).unwrap();
        assert_eq!(admin.fix, "write HOST:PORT, such as 127.0.0.1:9464");
    }
}
