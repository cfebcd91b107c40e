//! The token, before it is sent anywhere. It is never shown.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::{Code, Finding};
use crate::polar::{Credentials, Environment, Settings, TokenError, TokenSource, what_closes};

const NO_TOKEN: &str = "no token was given; set POLAR_ACCESS_TOKEN, or give --token-file FILE, with an access token of your organization that has the scope events:write";

/// What is seen of the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenSeen {
    /// Where it is, when it is in a file.
    file: Option<String>,
    /// The permission bits of that file, where they show the token to more than sledge, and the change that they need.
    open: Option<(u32, &'static str)>,
    /// The mark of the one that is there.
    mark: Option<u64>,
    /// Why there is none that could be used.
    problem: Option<String>,
    /// Whether that is because something else is there.
    is_malformed: bool,
    /// Whether one was named.
    is_there: bool,
    /// Whether that is only so because whoever looks is not whom sledge runs as.
    is_not_ours: bool,
}

impl TokenSeen {
    /// Looks at it. Whom sledge runs as is told by the journal's folder, which it makes itself, else by the data folder: a
    /// volume's own folder may be root's.
    pub(super) fn look(polar: &Settings, data_dir: &Path) -> Self {
        let source = &polar.token;
        let (mark, error) = match Credentials::mark(source) {
            Ok(mark) => (mark, None),
            Err(error) => (None, Some(error)),
        };
        let folders = [&data_dir.join("journal"), data_dir];
        let owner = folders.into_iter().find_map(|folder| fs::metadata(folder).ok()).map(|it| it.uid());
        let is_not_ours = error.as_ref().is_some_and(TokenError::is_denied)
            && owner.is_some_and(|owner| owner != rustix::process::geteuid().as_raw());
        let is_there = *source != TokenSource::None;
        let is_missed = !is_there && polar.base_url.environment() != Environment::Custom;
        let is_malformed = error.as_ref().is_some_and(TokenError::is_malformed);
        let problem = match error {
            Some(error) => Some(error.to_string()),
            None => is_missed.then(|| NO_TOKEN.to_owned()),
        };
        let file = match source {
            TokenSource::File(path) => Some(path),
            TokenSource::None | TokenSource::Fixed(_) => None,
        };
        let reader = owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        let open = file.and_then(|path| fs::metadata(path).ok()).and_then(|it| {
            what_closes(it.mode(), it.uid(), reader).map(|change| (it.mode() & 0o777, change))
        });
        let file = file.map(|path| path.display().to_string());
        Self { file, open, mark, problem, is_malformed, is_there, is_not_ours }
    }

    /// Whether one was named, usable or not.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// What tells it from other tokens, where there is one.
    pub(super) fn mark(&self) -> Option<u64> {
        self.mark
    }

    /// Whether nothing keeps Polar from being asked.
    pub(super) fn is_usable(&self) -> bool {
        self.problem.is_none()
    }

    /// Whether somebody else would see more of it.
    pub(super) fn is_for_others(&self) -> bool {
        self.is_not_ours
    }
}

/// `daemon_has_one` says whether a daemon runs that has a token, which is another one than what is there now, or was.
pub(super) fn judge(seen: &TokenSeen, daemon_has_one: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(problem) = seen.problem.as_ref().filter(|_| !seen.is_not_ours) {
        let (found, fix) = problem.rsplit_once("; ").unwrap_or((problem, "put a token there"));
        findings.push(match (daemon_has_one, seen.is_malformed) {
            (true, _) => {
                let found = format!("{found}, and the daemon goes on with the token that it has in memory");
                Finding::new(Code::TokenOnlyInMemory, found, fix)
            }
            (false, true) => Finding::new(Code::TokenMalformed, found, fix),
            (false, false) => Finding::new(Code::TokenMissing, found, fix),
        });
    }
    if let (Some(file), Some((mode, change))) = (&seen.file, seen.open) {
        let found = format!("{file} has the mode {mode:04o}");
        findings.push(Finding::new(Code::TokenReadableByOthers, found, format!("chmod {change} {file}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::polar::BaseUrl;

    #[test]
    fn a_file_that_others_may_read_or_that_holds_no_token_is_found_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let settings = |url: &str, token| Settings::new(BaseUrl::parse(url).unwrap(), token);
        let look = |url: &str, token| judge(&TokenSeen::look(&settings(url, token), folder.path()), false);
        let in_file = || look(BaseUrl::SANDBOX, TokenSource::File(path.clone()));
        assert_eq!(in_file()[0].code, Code::TokenMissing);
        fs::write(&path, "two secret words").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let findings = in_file();
        assert_eq!(
            findings.iter().map(|it| it.code).collect::<Vec<_>>(),
            [Code::TokenMalformed, Code::TokenReadableByOthers]
        );
        assert!(!format!("{findings:?}").contains("secret"));
        fs::write(&path, "polar_oat_x\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(in_file().is_empty());
        assert_eq!(look(BaseUrl::SANDBOX, TokenSource::None)[0].code, Code::TokenMissing);
        assert!(look("http://127.0.0.1:1", TokenSource::None).is_empty(), "a stand-in may do without");
    }

    #[test]
    fn a_token_that_only_sledges_own_user_may_read_is_no_fault_of_its_file() {
        let unread = TokenSeen {
            file: Some("/etc/sledge/token".to_owned()),
            open: None,
            mark: None,
            problem: Some("failed to read it; create it".to_owned()),
            is_malformed: false,
            is_there: true,
            is_not_ours: true,
        };
        assert!(judge(&unread, false).is_empty() && !unread.is_usable());
        let ours = TokenSeen { is_not_ours: false, ..unread };
        assert_eq!(judge(&ours, false)[0].code, Code::TokenMissing);
        assert_eq!(judge(&ours, true)[0].code, Code::TokenOnlyInMemory);
    }
}
