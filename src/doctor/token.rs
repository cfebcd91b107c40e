//! The token, before it is sent anywhere. It is never shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::finding::{Code, Finding};
use crate::polar::{Credentials, TokenSource};

/// What is seen of the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenSeen {
    /// Where it is, when it is in a file.
    file: Option<String>,
    /// The permission bits of that file.
    mode: Option<u32>,
    /// Why there is none that could be used.
    problem: Option<String>,
}

impl TokenSeen {
    pub(super) fn look(source: &TokenSource) -> Self {
        let problem = Credentials::check(source).err().map(|error| error.to_string());
        let TokenSource::File(path) = source else { return Self { file: None, mode: None, problem } };
        let mode = fs::metadata(path).ok().map(|metadata| metadata.permissions().mode() & 0o777);
        Self { file: Some(path.display().to_string()), mode, problem }
    }

    /// Whether there is one to send.
    pub(super) fn is_usable(&self) -> bool {
        self.problem.is_none()
    }
}

pub(super) fn judge(seen: &TokenSeen) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(problem) = &seen.problem {
        let (seen, fix) = problem.rsplit_once("; ").unwrap_or((problem, "put a token there"));
        findings.push(Finding::new(Code::TokenMissing, seen, fix));
    }
    if let (Some(file), Some(mode)) = (&seen.file, seen.mode.filter(|mode| mode & 0o044 != 0)) {
        let found = format!("{file} has the mode {mode:04o}");
        findings.push(Finding::new(Code::TokenReadableByOthers, found, format!("chmod 600 {file}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_may_read_or_that_holds_no_token_is_found_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let look = || judge(&TokenSeen::look(&TokenSource::File(path.clone())));
        assert_eq!(look()[0].code, Code::TokenMissing);
        fs::write(&path, "two secret words").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let findings = look();
        assert_eq!(
            findings.iter().map(|it| it.code).collect::<Vec<_>>(),
            [Code::TokenMissing, Code::TokenReadableByOthers]
        );
        assert!(!format!("{findings:?}").contains("secret"));
        fs::write(&path, "polar_oat_x\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(look().is_empty() && judge(&TokenSeen::look(&TokenSource::None)).is_empty());
    }
}
