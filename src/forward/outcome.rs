//! What became of a forwarded request, as the metrics count it.

use hyper::StatusCode;

use super::refusal::Refusal;
use crate::polar::Unreachable;

/// The label of a request that Polar answered: a closed set.
pub(super) fn of_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        429 => "rate_limited",
        200..=299 => "success",
        300..=399 => "redirect",
        400..=499 => "refused",
        _ => "server_error",
    }
}

/// The label of one that Polar did not answer, or was never asked.
pub(super) fn of_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::AmbiguousPath | Refusal::Upgrade | Refusal::Method => "not_sent",
        Refusal::Busy => "busy",
        Refusal::BodyTooLarge { .. } | Refusal::IncompleteBody | Refusal::LateBody => "bad_body",
        Refusal::Unreachable(Unreachable::Timeout) => "timeout",
        Refusal::Unreachable(
            Unreachable::Refused
            | Unreachable::NoRoute
            | Unreachable::Dns
            | Unreachable::Tls(_)
            | Unreachable::Proxy
            | Unreachable::Reset
            | Unreachable::CutOff
            | Unreachable::Garbage,
        ) => "unreachable",
    }
}

/// Every label, for a scrape that shows them from the start.
pub(super) const ALL: [&str; 10] = [
    "success",
    "redirect",
    "refused",
    "rate_limited",
    "server_error",
    "timeout",
    "unreachable",
    "busy",
    "bad_body",
    "not_sent",
];
