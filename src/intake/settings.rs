//! The limits of intake, each with its unit and its reason.

use std::time::Duration;

/// What senders may take of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections open at once; the next one is told so and closed. With as many at the loopback address it is three
    /// quarters of 1,024 descriptors, which is all that some systems let a process have: the journal and Polar always find one.
    pub connections_max: usize,
    /// Connections open at once on the loopback address, counted apart: who cannot use the socket must not be able to
    /// take its places. Node's fetch opens one for every call that is not answered yet.
    pub http_connections_max: usize,
    /// Whether grants may come in by the loopback address, which no file's permissions guard.
    pub http_grants: bool,
    /// Whether requests for Polar's other paths are handed on to Polar. They are by default: an application that changes
    /// its base URL goes on working as a whole.
    pub forward: bool,
    /// The largest datagram. A sender can make no larger one than 208 KiB unless it raises its `SO_SNDBUF`; this is as
    /// much as one event may have.
    pub datagram_bytes_max: usize,
    /// The longest line. As large as one event may be: whatever is longer would be refused anyway.
    pub frame_bytes_max: usize,
    /// Events and replies of one connection, or of the datagram socket, that are read but not yet answered. Reached, the connection is not
    /// read for a while: one flooding app can't take the intake buffer from the others. A sixteenth of that buffer;
    /// some 3,000 events, enough to keep the disk busy alone.
    pub in_flight_bytes_max: usize,
    /// The largest HTTP body. What Polar takes, so that no sender meets a limit it doesn't know.
    pub body_bytes_max: usize,
    /// HTTP bodies in memory, over all connections of a listener; beyond it the answer is 503. Three of the largest.
    pub bodies_bytes_max: usize,
    /// How long a begun HTTP request may take until its headers are complete. Never counts while a connection is
    /// quiet between requests.
    pub header_timeout: Duration,
    /// How long an HTTP body may take. Local senders need milliseconds; 30 s outlasts a paused laptop or debugger.
    pub body_timeout: Duration,
    /// How long a begun line may wait for its end; then it is taken as it is and the connection closed. Long,
    /// because an app that writes through a buffer may leave half a line here until it has more to say.
    pub frame_timeout: Duration,
    /// How much of a refused event is kept for a person to look at, when its sender gets no answer. As much as the
    /// journal stores in one piece, after its own fields.
    pub refused_text_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 384,
            http_connections_max: 384,
            http_grants: false,
            forward: true,
            datagram_bytes_max: 1 << 20,
            frame_bytes_max: 1 << 20,
            in_flight_bytes_max: 1 << 20,
            body_bytes_max: 10_485_760,
            bodies_bytes_max: 32 << 20,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            frame_timeout: Duration::from_secs(10 * 60),
            refused_text_bytes_max: 32 << 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_three_quarters_of_1024_descriptors_at_most() {
        let usual = Settings::default();
        assert!(usual.connections_max + usual.http_connections_max <= 768);
    }
}
