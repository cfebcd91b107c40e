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
    /// The proxy's address is not one a connection can be asked of. It is not shown: it may hold a password.
    #[error("this is no address of a proxy ({fault}); give one like http://proxy.internal:3128")]
    Proxy {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A proxy would read what is sent to a plain http address.
    #[error(
        "the address of Polar is plain http (`{host}`), which a proxy would read on its way, the token with it; use https, or leave the proxy out"
    )]
    ProxyForClearText {
        /// The host of Polar's address.
        host: String,
    },
    /// Credentials without a proxy to give them to.
    #[error("there is no proxy to give these to; set polar.proxy, or leave them out")]
    ProxyCredentialsAlone,
    /// The file with the proxy's user and password can't be read.
    #[error(
        "failed to read the proxy's user and password from {}: {}; create the file, readable for sledge's user", path.display(), in_words(*kind)
    )]
    ProxyCredentialsUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// The file was read and holds something else.
    #[error("{} does not hold a user and a password; write `user:password` there, on one line", path.display())]
    ProxyCredentials {
        /// The file.
        path: PathBuf,
    },
    /// The file of certificate authorities can't be read.
    #[error("failed to read the certificates in {}: {}; name a PEM file that sledge's user may read", path.display(), in_words(*kind))]
    CaFileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// The file was read and holds no authorities.
    #[error("{} can't be used ({fault}); name a PEM file with the certificates of the authorities to trust", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
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
    /// A line of a shell or of a file of settings.
    #[error("the token is written as NAME=value; leave the value alone there, without name and quotes")]
    Assignment,
    /// What a file of settings has around a text.
    #[error("there are quotes around the token; leave the token alone there, without them")]
    Quoted,
    /// Several words or lines, such as a whole header.
    #[error("there are words or lines beside the token; leave the token alone there, on one line")]
    Words,
    /// No text of which a token could be made.
    #[error("there are characters that no token has; leave the token alone there, on one line")]
    NotAToken,
    /// Larger than any token.
    #[error("the token is longer than {limit} bytes; it must be the token alone")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Its file can't be read.
    #[error("failed to read the token file {}: {}; create it, readable for sledge's user", path.display(), in_words(*kind))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// Reading its file takes long: a file system that does not answer, a pipe that nobody writes to.
    #[error("the token file {} can't be read just now: it does not answer; look at its file system, and that it is a plain file", path.display())]
    Stuck {
        /// The file.
        path: PathBuf,
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

impl TokenError {
    /// Whether something is there that is no token.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        match self {
            Self::Placeholder { .. }
            | Self::Assignment
            | Self::Quoted
            | Self::Words
            | Self::NotAToken
            | Self::TooLong { .. } => true,
            Self::Empty | Self::Unreadable { .. } | Self::Stuck { .. } => false,
            Self::InFile { fault, .. } => fault.is_malformed(),
        }
    }

    /// Whether its file is there and this process may not read it.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Unreadable { kind: std::io::ErrorKind::PermissionDenied, .. })
    }
}

/// The system's reason for not reading a file, in the words of whoever looks for one.
fn in_words(kind: std::io::ErrorKind) -> String {
    match kind {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        other => other.to_string(),
    }
}
