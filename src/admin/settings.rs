//! Where the admin address is and what it puts up with.

use std::time::Duration;

/// The admin address and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `HOST:PORT` to bind. Any address may be given, since Prometheus and a kubelet come by the pod's address.
    pub address: String,
    /// Names a `Host` header may carry beside `localhost` and IP addresses. A page that rebinds its own name to this
    /// machine is told apart by that header.
    pub hosts: Vec<String>,
    /// Connections served at once; more wait to be accepted. A scrape takes milliseconds.
    pub connections_max: usize,
    /// For a request's headers to arrive.
    pub header_timeout: Duration,
    /// For a whole connection, which carries one request.
    pub connection_timeout: Duration,
}

impl Settings {
    /// The default limits for a Unix socket. A retry of many letters may wait for a slow disk, so there is more time.
    #[must_use]
    pub fn on_socket() -> Self {
        Self { connections_max: 8, connection_timeout: Duration::from_secs(120), ..Self::at(String::new()) }
    }

    /// The default limits at this address.
    #[must_use]
    pub fn at(address: String) -> Self {
        Self {
            address,
            hosts: Vec::new(),
            connections_max: 32,
            header_timeout: Duration::from_secs(5),
            connection_timeout: Duration::from_secs(10),
        }
    }
}
