//! Everything that can come of a request, as one closed set.

use std::time::Duration;

use super::unreachable::Unreachable;
use serde::de::DeserializeOwned;

use super::wire::{IngestReply, ValidationReply};
use crate::event::UnixMillis;

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Polar's reply, or what stood in its way.
    pub reply: Reply,
    /// The answer's `Date`, to the second below.
    pub date: Option<UnixMillis>,
    /// From the first byte sent to the last byte read.
    pub took: Duration,
}

/// What Polar said, or what stood in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200 with Polar's body.
    Accepted(IngestReply),
    /// A 2xx that is not Polar's 200: it proves nothing.
    Unproven {
        /// The status.
        status: u16,
    },
    /// 422 with Polar's body.
    Invalid(ValidationReply),
    /// 401: the token is wrong, expired, or another environment's.
    Unauthorized {
        /// Whether it is Polar that says so. Anybody else may mean the request and not the token.
        in_polars_words: bool,
    },
    /// 403 in Polar's own words: the token lacks `events:write`. Anybody else's 403 is [`Refused`](Self::Refused): a
    /// firewall on the way may mean one event's text, which must not hold up all others.
    Forbidden,
    /// 404: a wrong address or `Polar-Version`.
    NotFound,
    /// 3xx; never followed, because the token would go along.
    Redirect {
        /// The status.
        status: u16,
    },
    /// 429.
    RateLimited {
        /// The least to wait, when Polar says.
        retry_after: Option<Duration>,
    },
    /// 413.
    TooLarge,
    /// 411: something on the way takes the length off a request, for every one of ours has it.
    LengthRequired,
    /// 407: a proxy on the way wants a user and a password.
    ProxyLogin,
    /// Any other 4xx, and a 422 whose body isn't Polar's: somebody between here and Polar, or a fault of ours.
    Refused {
        /// The status.
        status: u16,
    },
    /// 5xx, and 408, which says the same.
    ServerError {
        /// The status.
        status: u16,
        /// The least to wait, when the answer says.
        retry_after: Option<Duration>,
    },
    /// No answer. The events may have been inserted all the same.
    Unreachable(Unreachable),
}

/// What Polar names what is wrong with a token, or without one.
const ERRORS_OF_POLARS: [&str; 3] = ["invalid_token", "insufficient_scope", "Unauthorized"];

impl Reply {
    /// Every label there is.
    pub const LABELS: [&'static str; 22] = [
        "accepted",
        "unproven",
        "invalid",
        "unauthorized",
        "forbidden",
        "not_found",
        "redirect",
        "rate_limited",
        "too_large",
        "length_required",
        "proxy_login",
        "refused",
        "server_error",
        "connection_refused",
        "no_route",
        "dns",
        "tls",
        "proxy",
        "timeout",
        "reset",
        "cut_off",
        "garbage",
    ];

    /// The label of the request's metric: one of [`LABELS`](Self::LABELS).
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Unproven { .. } => "unproven",
            Self::Invalid(_) => "invalid",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Redirect { .. } => "redirect",
            Self::RateLimited { .. } => "rate_limited",
            Self::TooLarge => "too_large",
            Self::LengthRequired => "length_required",
            Self::ProxyLogin => "proxy_login",
            Self::Refused { .. } => "refused",
            Self::ServerError { .. } => "server_error",
            Self::Unreachable(why) => why.label(),
        }
    }

    /// The status of the answer; `None` when there was none.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Accepted(_) => Some(200),
            Self::Invalid(_) => Some(422),
            Self::Unauthorized { .. } => Some(401),
            Self::Forbidden => Some(403),
            Self::NotFound => Some(404),
            Self::RateLimited { .. } => Some(429),
            Self::TooLarge => Some(413),
            Self::LengthRequired => Some(411),
            Self::ProxyLogin => Some(407),
            Self::Unproven { status }
            | Self::Redirect { status }
            | Self::Refused { status }
            | Self::ServerError { status, .. } => Some(*status),
            Self::Unreachable(_) => None,
        }
    }

    /// Whether an answer with this status is nothing without its body. Of other answers a short body may still tell whose
    /// words they are.
    pub(super) fn body_matters(status: u16) -> bool {
        matches!(status, 200 | 422)
    }

    /// The reply that an answer's parts make. `body` is empty when it was not worth reading.
    pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        match status {
            200 => read_object(body).map_or(Self::Unproven { status }, Self::Accepted),
            201..=299 => Self::Unproven { status },
            300..=399 => Self::Redirect { status },
            401 => Self::Unauthorized { in_polars_words: is_error_of_polars(body) },
            403 if is_error_of_polars(body) => Self::Forbidden,
            404 => Self::NotFound,
            407 => Self::ProxyLogin,
            411 => Self::LengthRequired,
            413 => Self::TooLarge,
            422 => read_object(body).map_or(Self::Refused { status }, Self::Invalid),
            429 => Self::RateLimited { retry_after },
            408 => Self::ServerError { status, retry_after },
            400..=499 => Self::Refused { status },
            _ => Self::ServerError { status, retry_after },
        }
    }
}

/// Whether a body is one of Polar's own errors about a token. Anybody on the way may answer an object with an `error`.
fn is_error_of_polars(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        error: std::borrow::Cow<'a, str>,
    }
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let named = || serde_json::from_slice::<Named<'_>>(body);
    is_object && named().is_ok_and(|named| ERRORS_OF_POLARS.contains(&&*named.error))
}

/// A body of Polar's. They are objects; serde by itself would take a list of the right values for one.
fn read_object<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let is_object = body.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(body).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::polar::TlsFault;

    #[test]
    fn polars_bodies_are_told_from_anybody_elses() {
        let read = |status, body: &str| Reply::read(status, None, body.as_bytes());
        assert_eq!(
            read(200, r#"{"inserted":3,"duplicates":1}"#),
            Reply::Accepted(IngestReply { inserted: 3, duplicates: 1 })
        );
        for foreign in
            ["", "OK", "<html>", "{}", r#"{"inserted":-1}"#, r#"{"inserted":"3"}"#, "[]", "[3,0]", "[3]"]
        {
            assert_eq!(read(200, foreign), Reply::Unproven { status: 200 }, "{foreign}");
            assert_eq!(read(422, foreign), Reply::Refused { status: 422 }, "{foreign}");
        }
        let refused = r#"{"error":"RequestValidationError","detail":[{"type":"missing",
            "loc":["body","events",7,"EventCreateCustomer","name"],"msg":"Field required","input":{"a":1}}]}"#;
        let Reply::Invalid(reply) = read(422, refused) else { panic!("not read as Polar's") };
        assert_eq!(reply.detail[0].event_index(), Some(7));
    }

    #[test]
    fn every_label_is_listed_once_and_explained_to_whoever_reads_metrics() {
        let replies = (200..=599).map(|status| Reply::read(status, None, b""));
        let bodies = [
            (200, &br#"{"inserted":1}"#[..]),
            (422, br#"{"error":"RequestValidationError","detail":[]}"#),
            (403, br#"{"error":"insufficient_scope"}"#),
        ];
        let read = bodies.map(|(status, body)| Reply::read(status, None, body));
        let unreachable = [
            Unreachable::Refused,
            Unreachable::NoRoute,
            Unreachable::Dns,
            Unreachable::Tls(TlsFault::Untrusted),
            Unreachable::Proxy,
            Unreachable::Timeout,
            Unreachable::Reset,
            Unreachable::CutOff,
            Unreachable::Garbage,
        ];
        let all = replies.chain(read).chain(unreachable.map(Reply::Unreachable));
        let labels: BTreeSet<&str> = all.map(|reply| reply.label()).collect();
        assert_eq!(labels, BTreeSet::from(Reply::LABELS));
        let page = include_str!("../../docs/metrics.md");
        let row = page.lines().find(|line| line.contains("`sledge_polar_request_seconds`")).unwrap();
        for label in Reply::LABELS {
            assert!(row.contains(&format!("`{label}`")), "docs/metrics.md does not name {label}");
        }
    }

    #[test]
    fn every_status_has_its_place() {
        let wait = Some(Duration::from_secs(9));
        let read = |status| Reply::read(status, wait, b"");
        for status in [201, 202, 204] {
            assert_eq!(read(status), Reply::Unproven { status });
        }
        for status in [301, 307, 308, 304] {
            assert_eq!(read(status), Reply::Redirect { status });
        }
        for status in [400, 402, 405, 415, 451] {
            assert_eq!(read(status), Reply::Refused { status });
        }
        for status in [408, 500, 502, 503, 504, 520, 599, 600] {
            assert_eq!(read(status), Reply::ServerError { status, retry_after: wait });
        }
        assert_eq!(read(401), Reply::Unauthorized { in_polars_words: false });
        let polars_401 = br#"{"error":"invalid_token","error_description":"it has expired"}"#;
        assert_eq!(Reply::read(401, None, polars_401), Reply::Unauthorized { in_polars_words: true });
        let polars_403 = br#"{"error":"insufficient_scope","error_description":"more is needed"}"#;
        assert_eq!(Reply::read(403, None, polars_403), Reply::Forbidden);
        for foreign in
            [&b"<html>blocked</html>"[..], b"", br#"{"message":"blocked"}"#, br#"{"error":"blocked"}"#, b"[]"]
        {
            assert_eq!(Reply::read(401, None, foreign), Reply::Unauthorized { in_polars_words: false });
            assert_eq!(Reply::read(403, None, foreign), Reply::Refused { status: 403 });
        }
        assert_eq!(read(404), Reply::NotFound);
        assert_eq!(read(407), Reply::ProxyLogin);
        assert_eq!(read(411), Reply::LengthRequired);
        assert_eq!(read(413), Reply::TooLarge);
        assert_eq!(read(429), Reply::RateLimited { retry_after: wait });
    }
}
