//! What was given, before anything is believed of it.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from, for the fault that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag,
    /// A variable of the process environment.
    Variable(&'static str),
    /// Nobody gave it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("from the command line"),
            Self::Variable(name) => write!(f, "from {name}"),
            Self::Default => f.write_str("by default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T> {
    /// What was given.
    pub value: T,
    /// By whom.
    pub origin: Origin,
}

impl<T> Given<T> {
    /// A value from the command line.
    pub fn by_flag(value: T) -> Self {
        Self { value, origin: Origin::Flag }
    }

    /// A value from the variable `name`.
    pub fn by_variable(name: &'static str, value: T) -> Self {
        Self { value, origin: Origin::Variable(name) }
    }
}

/// Every option as it was given, `None` where it was not. Another source, such as a file, fills the gaps that
/// stronger ones left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawConfig {
    /// `--data-dir`
    pub data_dir: Option<Given<PathBuf>>,
    /// `--socket`
    pub socket: Option<Given<PathBuf>>,
    /// `--datagram-socket`
    pub datagram_socket: Option<Given<PathBuf>>,
    /// `--http`
    pub http: Option<Given<String>>,
    /// `--http-grants`
    pub http_grants: Option<Given<String>>,
    /// `--admin`
    pub admin: Option<Given<String>>,
    /// `--polar-url`
    pub polar_url: Option<Given<String>>,
    /// `--environment`
    pub environment: Option<Given<String>>,
    /// `--token-file`
    pub token_file: Option<Given<PathBuf>>,
}
