//! How a simulator behaves from the start; most of it can be changed while it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How many requests a minute are let through before 429.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimit {
    /// No limit, as in development.
    #[default]
    Unlimited,
    /// 500 a minute.
    Production,
    /// 100 a minute.
    Sandbox,
    /// 60 a minute: an organization Polar has restricted.
    Restricted,
    /// 10 a minute: a restricted organization in the sandbox.
    RestrictedSandbox,
    /// 100 a second.
    Elevated,
    /// Any other number a minute.
    PerMinute(u32),
}

/// Where the time of day comes from: microseconds since 1970-01-01T00:00:00Z. Polar compares timestamps to the
/// microsecond, so milliseconds times a thousand would refuse what was stamped within the current millisecond.
pub(super) type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The settings of a [`Simulator`](super::Simulator).
#[derive(Clone)]
pub struct Settings {
    /// Microseconds since 1970.
    pub(super) now: Now,
    /// The rate limit in force.
    pub rate_limit: RateLimit,
    /// Whether the first request of a token not seen for 300 s is counted in a zone of its own, 60 a minute.
    pub fresh_token_zone: bool,
    /// The tokens that are accepted; `None` accepts any that starts with `polar_oat_`.
    pub accepted_tokens: Option<Vec<String>>,
    /// Tokens that are known but have no scope at all.
    pub tokens_without_scope: Vec<String>,
    /// Tokens that are known and have these scopes and no others, such as `events:write`.
    pub token_scopes: BTreeMap<String, Vec<String>>,
    /// How many of the latest events are kept in full; older ones only keep their id and their part in the balances.
    pub kept_events_max: usize,
    /// How long after a customer's last event its balances move, in milliseconds; at Polar about 15,000.
    pub settle_delay_ms: u64,
    /// How long every answer under `/v1` is held back, in milliseconds.
    pub latency_ms: u64,
    /// How much longer an ingest request's answer is held back for each event in it, in microseconds; at Polar about
    /// 1,500.
    pub latency_per_event_us: u64,
    /// Whether it is that of a `sledge dev`, which it tells whoever asks.
    pub of_dev: bool,
    /// Whether an ingest request that carries ids of an unanswered one in opposite order is ended by a deadlock, 500.
    pub deadlocks: bool,
}

impl Settings {
    /// The defaults, with `now` as the clock: microseconds since 1970-01-01T00:00:00Z. A caller whose clock counts
    /// milliseconds gives `ms * 1000 + 999`: better a millisecond ahead than refusing what was stamped in this one.
    #[must_use]
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            now: Arc::new(now),
            rate_limit: RateLimit::default(),
            fresh_token_zone: false,
            accepted_tokens: None,
            tokens_without_scope: Vec::new(),
            token_scopes: BTreeMap::new(),
            kept_events_max: 100_000,
            settle_delay_ms: 0,
            latency_ms: 0,
            latency_per_event_us: 0,
            of_dev: false,
            deadlocks: false,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("rate_limit", &self.rate_limit)
            .field("fresh_token_zone", &self.fresh_token_zone)
            .field("kept_events_max", &self.kept_events_max)
            .field("settle_delay_ms", &self.settle_delay_ms)
            .field("latency_ms", &self.latency_ms)
            .finish_non_exhaustive()
    }
}
