//! The closed sets of label values that more than one room speaks of.

/// Which road an event came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    /// HTTP on the Unix socket.
    Http,
    /// NDJSON on the Unix socket.
    Ndjson,
    /// The Unix datagram socket.
    Datagram,
    /// HTTP on the loopback TCP address.
    Tcp,
}

impl Listener {
    /// Every listener, in the order of their indices.
    pub const ALL: [Self; 4] = [Self::Http, Self::Ndjson, Self::Datagram, Self::Tcp];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Ndjson => "ndjson",
            Self::Datagram => "datagram",
            Self::Tcp => "tcp",
        }
    }
}
