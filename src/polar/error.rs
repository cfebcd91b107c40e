//! What can be wrong with the way to Polar before anything is sent. No text here ever shows a token.

use std::path::PathBuf;

/// Why no client can be made from these settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is not one requests can be sent to.
    #[error("`{url}` is no address of Polar ({fault}); give one like https://api.polar.sh")]
    BaseUrl {
        /// The address as it was given, without user and password.
        url: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A token must not travel in clear text.
    #[error("a token can't be sent over plain http to `{host}`; use https, or a loopback address for tests")]
    ClearTextToken {
        /// The host of the address.
        host: String,
    },
    /// The version can't be a header.
    #[error("`{version}` is no version of Polar's API; give one like 2026-04")]
    PolarVersion {
        /// The version as it was given.
        version: String,
    },
    /// A token that was given directly can't be one.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The system's certificates or the HTTP client could not be set up.
    #[error("failed to set up TLS; install the system's CA certificates (package `ca-certificates`)")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why there is no usable token. The offending text is never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing is in it.
    #[error(
        "the token is empty; put an organization access token (polar_oat_…) with the scope events:write there"
    )]
    Empty,
    /// A script wrote a variable that was not set.
    #[error(
        "the token is the word `{word}`: a variable was not set where it was written; write the token itself"
    )]
    Placeholder {
        /// Which of the words that stand for nothing.
        word: &'static str,
    },
    /// Several words, a quoted string, a whole file of settings.
    #[error(
        "the token contains white space, quotes or unprintable characters; it must be the token alone, on one line"
    )]
    NotAToken,
    /// Larger than any token.
    #[error("the token is longer than {limit} bytes; it must be the token alone")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Its file can't be read.
    #[error("failed to read the token file {}: {kind}; create it, readable for sledge's user", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// Its file was read, but holds no token.
    #[error("in the token file {}: {fault}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: Box<TokenError>,
    },
}
