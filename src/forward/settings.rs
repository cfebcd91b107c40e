//! The limits of forwarding, each with its unit and its reason.

use std::time::Duration;

/// What forwarded requests may take of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Requests that are being forwarded at once; the next one is answered 503. With the bodies below that bounds their
    /// memory, and it keeps a slow Polar from taking the connections of intake.
    pub in_flight_max: usize,
    /// The largest body of a request. What Polar's other endpoints take are small objects.
    pub body_bytes_max: usize,
    /// How long such a body may take.
    pub body_timeout: Duration,
    /// From the first byte sent to the last byte of the answer handed back: an export may be long, but ends.
    pub answer_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight_max: 32,
            body_bytes_max: 1 << 20,
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(5 * 60),
        }
    }
}
