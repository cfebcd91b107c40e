//! How delivery goes about its work.

use std::time::Duration;

use crate::polar::{EVENTS_PER_REQUEST_MAX, Environment, REQUEST_BYTES_MAX};

/// The limits and waits of delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Events in one request. Polar spends ~30 ms on a request whatever its size and 0.3 ms on each of 1,000 events;
    /// larger batches gain nothing and take it 8–13 s.
    pub batch_events_max: usize,
    /// The body of one request, in bytes, framing included. Polar takes 10 MiB; less passes a slow line in time and is
    /// less to repeat after a cut.
    pub batch_bytes_max: usize,
    /// How long a batch that is not full waits for more events. It does not wait at all while no request is in flight
    /// and little of the budget is used.
    pub linger: Duration,
    /// Requests in flight at once. They hide the time Polar takes; more than a few only queue up there.
    pub requests_in_flight_max: usize,
    /// Text of the blocks that were read and are not settled, in bytes: what delivery may keep in memory. An eighth of
    /// it is kept free for grants.
    pub unsettled_bytes_max: usize,
    /// Requests per minute; `None` for no limit but Polar's own 429.
    pub requests_per_minute: Option<u32>,
    /// The first interval of the back-off; it doubles with every failure.
    pub retry_interval: Duration,
    /// The longest interval of the back-off: about twice the mean time until the end of an outage is noticed.
    pub retry_interval_max: Duration,
    /// Between two probes while delivery is held for something that only a person can mend.
    pub slow_probe: Duration,
}

impl Settings {
    /// The defaults for requests to this environment.
    #[must_use]
    pub fn for_environment(environment: Environment) -> Self {
        Self {
            batch_events_max: 1_000,
            batch_bytes_max: 4 << 20,
            linger: Duration::from_millis(50),
            requests_in_flight_max: 8,
            unsettled_bytes_max: 32 << 20,
            requests_per_minute: match environment {
                Environment::Production => Some(500),
                Environment::Sandbox => Some(100),
                Environment::Custom => None,
            },
            retry_interval: Duration::from_millis(500),
            retry_interval_max: Duration::from_secs(30),
            slow_probe: Duration::from_secs(30),
        }
    }

    /// The same, with every limit that Polar has itself, or that would stop delivery altogether, brought in bounds.
    #[must_use]
    pub fn within_polars_limits(mut self) -> Self {
        self.batch_events_max = self.batch_events_max.clamp(1, EVENTS_PER_REQUEST_MAX);
        self.batch_bytes_max = self.batch_bytes_max.clamp(1, REQUEST_BYTES_MAX);
        self.requests_in_flight_max = self.requests_in_flight_max.max(1);
        self.requests_per_minute = self.requests_per_minute.map(|limit| limit.max(1));
        self.retry_interval = self.retry_interval.max(Duration::from_millis(1));
        self.retry_interval_max = self.retry_interval_max.max(self.retry_interval);
        self
    }
}
