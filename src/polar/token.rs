//! The token, kept from every log.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::error::TokenError;

/// Longer than any token Polar gives out; a file larger than this is something else.
pub(super) const TOKEN_BYTES_MAX: usize = 4_096;
/// What shells, templates and runtimes write for a variable that is not set.
const PLACEHOLDERS: [&str; 5] = ["undefined", "null", "None", "nil", "changeme"];

/// An access token. It has no `Display` and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// What `sledge dev` tells other terminals in a token's place. Only its own simulator takes it.
    pub const OF_DEV: &str = "polar_oat_dev";

    /// Reads a token, taking surrounding white space for the editor's.
    ///
    /// # Errors
    /// When it can't be one; the error never shows it.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let token = text.trim();
        if token.is_empty() {
            return Err(TokenError::Empty);
        }
        if let Some(word) = PLACEHOLDERS.into_iter().find(|word| *word == token) {
            return Err(TokenError::Placeholder { word });
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { limit: TOKEN_BYTES_MAX });
        }
        match token {
            _ if is_assignment(token) => Err(TokenError::Assignment),
            _ if token.contains(char::is_whitespace) => Err(TokenError::Words),
            _ if token.contains(['"', '\'', '`']) => Err(TokenError::Quoted),
            _ if !is_bearer(token) => Err(TokenError::NotAToken),
            _ => Ok(Self(token.to_owned())),
        }
    }

    /// A hash of the token by this hasher, to tell it from others without handing it out.
    #[must_use]
    pub fn fingerprint(&self, hasher: &impl BuildHasher) -> u64 {
        hasher.hash_one(self.0.as_str())
    }

    /// What the same token has in every process of this version, and next to no other token: only for whoever may see the
    /// token itself.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.fingerprint(&BuildHasherDefault::<DefaultHasher>::default())
    }

    /// Whether it stands for none, beside `sledge dev`.
    #[must_use]
    pub fn is_of_dev(&self) -> bool {
        self.0 == Self::OF_DEV
    }

    /// The token itself, for the one header it belongs in.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

/// Whether it is `NAME=value`, or `export NAME=value`. An `=` at the end is what base64 fills up with.
fn is_assignment(text: &str) -> bool {
    let text = text.strip_prefix("export ").unwrap_or(text).trim_start();
    let Some((name, value)) = text.split_once('=') else { return false };
    let name = name.trim_end();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name && value.bytes().any(|byte| byte != b'=')
}

/// What may stand behind `Bearer` in a header, by RFC 6750.
fn is_bearer(text: &str) -> bool {
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let token = text.trim_end_matches('=');
    !token.is_empty() && token.bytes().all(is_of_it)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_and_never_shown() {
        let token = Token::parse(" polar_oat_abc\n").unwrap();
        assert_eq!(token.expose(), "polar_oat_abc");
        assert!(!format!("{token:?}").contains("polar_oat"));
        for whatever_a_stand_in_takes in ["a", "a.b-c~d+e/f", "YQ=="] {
            assert!(Token::parse(whatever_a_stand_in_takes).is_ok());
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_without_being_echoed() {
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        for (text, fault) in [
            ("", TokenError::Empty),
            (" \n\t", TokenError::Empty),
            ("undefined", TokenError::Placeholder { word: "undefined" }),
            ("null\n", TokenError::Placeholder { word: "null" }),
            ("Bearer secret", TokenError::Words),
            ("secret\nsecret", TokenError::Words),
            ("\"secret\"", TokenError::Quoted),
            ("'secret'", TokenError::Quoted),
            ("POLAR_ACCESS_TOKEN=secret", TokenError::Assignment),
            ("POLAR_ACCESS_TOKEN=\"secret\"", TokenError::Assignment),
            ("export POLAR_ACCESS_TOKEN='secret'", TokenError::Assignment),
            ("secret = secret==", TokenError::Assignment),
            ("token:secret", TokenError::NotAToken),
            ("<secret>", TokenError::NotAToken),
            ("==", TokenError::NotAToken),
            ("secrét", TokenError::NotAToken),
            (long.as_str(), TokenError::TooLong { limit: TOKEN_BYTES_MAX }),
        ] {
            let error = Token::parse(text).unwrap_err();
            assert_eq!(error, fault);
            assert!(!error.to_string().contains("secr"), "{error}");
            assert_eq!(error.is_malformed(), error != TokenError::Empty);
        }
    }
}
