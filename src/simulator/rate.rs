//! Polar's rate limit: fixed windows over all of an organization's requests.

use std::collections::HashMap;

use super::settings::RateLimit;

const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;
/// A token is fresh again after this long without a request.
const TOKEN_FORGOTTEN_US: u64 = 300 * SECOND_US;
/// With more tokens than this, forgotten ones are swept.
const TOKENS_MAX: usize = 10_000;
/// Requests a minute of a fresh token.
const FRESH_TOKEN_LIMIT: u32 = 60;

impl RateLimit {
    /// Requests and the window's length in microseconds.
    fn window(self) -> Option<(u32, u64)> {
        Some(match self {
            Self::Unlimited => return None,
            Self::Production => (500, MINUTE_US),
            Self::Sandbox => (100, MINUTE_US),
            Self::Restricted => (60, MINUTE_US),
            Self::RestrictedSandbox => (10, MINUTE_US),
            Self::Elevated => (100, SECOND_US),
            Self::PerMinute(requests) => (requests, MINUTE_US),
        })
    }
}

/// A fixed window: it opens with the first request after the last one ended.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    ends_us: u64,
    requests: u32,
}

impl Window {
    fn admit(&mut self, now_us: u64, limit: u32, length_us: u64) -> bool {
        if now_us >= self.ends_us {
            *self = Self { ends_us: now_us.saturating_add(length_us), requests: 0 };
        }
        self.requests = self.requests.saturating_add(1);
        self.requests <= limit
    }
}

/// Every window of the organization.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    organization: Window,
    fresh: HashMap<String, Window>,
    last_seen_us: HashMap<String, u64>,
    blocked_until_us: u64,
}

impl Windows {
    /// Turns every request away until then, as Polar does with an organization that abuses some of its endpoints.
    pub(super) fn block(&mut self, until_us: u64) {
        self.blocked_until_us = until_us;
    }

    /// For how many more seconds every request is turned away; 0 when none is.
    pub(super) fn blocked_for_s(&self, now_us: u64) -> u64 {
        self.blocked_until_us.saturating_sub(now_us).div_ceil(SECOND_US)
    }

    /// Whether a request that arrives now is let through.
    pub(super) fn admit(
        &mut self,
        now_us: u64,
        limit: RateLimit,
        fresh_zone: bool,
        token: Option<&str>,
    ) -> bool {
        if let (true, Some(token)) = (fresh_zone, token) {
            let seen = self.last_seen_us.get(token);
            if seen.is_none_or(|seen| now_us.saturating_sub(*seen) > TOKEN_FORGOTTEN_US) {
                let window = self.fresh.entry(token.to_owned()).or_default();
                return window.admit(now_us, FRESH_TOKEN_LIMIT, MINUTE_US);
            }
        }
        let Some((requests, length_us)) = limit.window() else { return true };
        self.organization.admit(now_us, requests, length_us)
    }

    /// Remembers a token once its request has been answered; until then it is fresh, which is why a burst of first
    /// requests can be refused.
    pub(super) fn seen(&mut self, now_us: u64, token: &str) {
        if self.last_seen_us.len() >= TOKENS_MAX {
            self.last_seen_us.retain(|_, seen| now_us.saturating_sub(*seen) <= TOKEN_FORGOTTEN_US);
        }
        self.last_seen_us.insert(token.to_owned(), now_us);
        self.fresh.remove(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_lets_exactly_500_through_in_a_minute() {
        let mut windows = Windows::default();
        let passed = (0..600).filter(|_| windows.admit(7, RateLimit::Production, false, None)).count();
        assert_eq!(passed, 500);
        assert!(!windows.admit(7 + MINUTE_US - 1, RateLimit::Production, false, None));
        assert!(windows.admit(7 + MINUTE_US, RateLimit::Production, false, None));
    }

    #[test]
    fn a_burst_of_first_requests_of_a_fresh_token_is_refused_at_60() {
        let mut windows = Windows::default();
        let mut admit = || windows.admit(0, RateLimit::Production, true, Some("polar_oat_x"));
        assert_eq!((0..100).filter(|_| admit()).count(), 60);
        windows.seen(0, "polar_oat_x");
        let passed =
            (0..100).filter(|_| windows.admit(0, RateLimit::Production, true, Some("polar_oat_x"))).count();
        assert_eq!(passed, 100, "a token that was seen is counted with its organization");
    }
}
