//! What stands before every endpoint: length limits, tokens, rate limits and versions, in Polar's order.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH};

use crate::polar::REQUEST_BYTES_MAX;

use super::reply::Reply;
use super::world::World;

/// The versions of the API that are served.
const VERSIONS: [&str; 3] = ["2026-04", "2026-10", "2027-01"];

/// What Polar answers whatever is left of the window.
const WINDOW_S: u64 = 60;

/// Who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Nobody said.
    Anonymous,
    /// A token that may do everything.
    Known,
    /// A token that may do only this: its scopes.
    Limited(Vec<String>),
    /// A token Polar does not know.
    Unknown,
}

/// The length of a body to be read, or the refusal of one without a length or over the limit.
pub(super) fn body_length(headers: &HeaderMap) -> Result<usize, Reply> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match length {
        None => Err(Reply::length_required()),
        Some(length) if length > REQUEST_BYTES_MAX => Err(Reply::body_too_large()),
        Some(length) => Ok(length),
    }
}

/// The token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Whether the version asked for is served.
pub(super) fn version_served(headers: &HeaderMap) -> bool {
    headers.get("polar-version").is_none_or(|value| VERSIONS.iter().any(|version| value == version))
}

impl World {
    /// Whose token it is.
    pub(super) fn caller(&self, token: Option<&str>) -> Caller {
        let Some(token) = token else { return Caller::Anonymous };
        if self.settings.tokens_without_scope.iter().any(|known| known == token) {
            return Caller::Limited(Vec::new());
        }
        if let Some(scopes) = self.settings.token_scopes.get(token) {
            return Caller::Limited(scopes.clone());
        }
        let known = match &self.settings.accepted_tokens {
            Some(tokens) => tokens.iter().any(|known| known == token),
            None => token.starts_with("polar_oat_"),
        };
        if known { Caller::Known } else { Caller::Unknown }
    }

    /// The refusal of a request before its body is looked at.
    pub(super) fn refuse_head(&mut self, headers: &HeaderMap) -> Option<Reply> {
        let token = bearer(headers);
        let now_us = (self.settings.now)();
        let (limit, zone) = (self.settings.rate_limit, self.settings.fresh_token_zone);
        match self.windows.blocked_for_s(now_us) {
            0 => {}
            seconds => return Some(Reply::too_many_requests(seconds)),
        }
        if !self.windows.admit(now_us, limit, zone, token) {
            return Some(Reply::too_many_requests(WINDOW_S));
        }
        if self.caller(token) == Caller::Unknown {
            return Some(Reply::invalid_token());
        }
        (!version_served(headers)).then(Reply::not_found)
    }

    /// The refusal of a caller by an endpoint that any one of these scopes opens, which FastAPI gives after it has parsed
    /// the body as JSON.
    pub(super) fn refuse_caller(&self, headers: &HeaderMap, scopes: &[&str]) -> Option<Reply> {
        match self.caller(bearer(headers)) {
            Caller::Known => None,
            Caller::Anonymous => Some(Reply::unauthorized()),
            Caller::Limited(own) if own.iter().any(|own| scopes.contains(&own.as_str())) => None,
            Caller::Limited(_) => Some(Reply::insufficient_scope(scopes)),
            Caller::Unknown => Some(Reply::invalid_token()),
        }
    }
}
