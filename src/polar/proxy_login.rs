//! The user and password a proxy wants.

use std::fmt;
use std::path::Path;

use reqwest::Proxy;

use super::error::SetupError;

/// Longer than any user and password; a larger file is something else.
const LOGIN_BYTES_MAX: usize = 4_096;

/// A user and a password for the proxy, and for nobody else.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ProxyLogin {
    user: String,
    password: String,
}

impl ProxyLogin {
    /// Reads them from a file that holds nothing but `user:password`.
    pub(super) fn read(path: &Path) -> Result<Self, SetupError> {
        let bytes = std::fs::read(path).map_err(|error| SetupError::ProxyCredentialsUnreadable {
            path: path.to_owned(),
            kind: error.kind(),
        })?;
        Self::parse(&bytes).ok_or_else(|| SetupError::ProxyCredentials { path: path.to_owned() })
    }

    /// A password may hold colons and spaces, a line's end is the editor's.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']);
        let (user, password) = text.split_once(':')?;
        let is_sound = !user.is_empty() && text.len() <= LOGIN_BYTES_MAX && !text.contains(char::is_control);
        is_sound.then(|| Self { user: user.to_owned(), password: password.to_owned() })
    }

    /// The proxy with them. They go to it when it is asked to connect, not to Polar.
    pub(super) fn give_to(&self, proxy: Proxy) -> Proxy {
        proxy.basic_auth(&self.user, &self.password)
    }
}

impl fmt::Debug for ProxyLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyLogin(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_to_its_first_colon_and_never_shown() {
        let login = ProxyLogin::parse(b"sledge:pass: word\r\n").unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("sledge", "pass: word"));
        assert!(!format!("{login:?}").contains("word"));
        for text in ["", "\n", "sledge", ":password", "sledge:one\ntwo:three", "sledge:\u{1}"] {
            assert_eq!(ProxyLogin::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(ProxyLogin::parse(b"\xff:\xff"), None);
        assert_eq!(ProxyLogin::parse(&vec![b':'; LOGIN_BYTES_MAX + 1]), None);
    }
}
