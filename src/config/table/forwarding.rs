//! `[forwarding]`: what requests for Polar's other paths may take of this process.

use crate::config::setting::Change::Restart;
use crate::config::setting::{Field, Setting, Unit, number};

pub(super) const SETTINGS: &[Setting] = &[
    number(
        "forwarding.in_flight_max",
        "SLEDGE_FORWARDING_IN_FLIGHT_MAX",
        Unit::Count,
        (1, 10_000),
        Restart,
        "Requests that are being forwarded at once; the next one is answered 503. It keeps a slow Polar from taking the connections of intake.",
        |config| Field::Size(&mut config.forward.in_flight_max),
    ),
    number(
        "forwarding.body_bytes_max",
        "SLEDGE_FORWARDING_BODY_BYTES_MAX",
        Unit::Bytes,
        (1 << 10, 64 << 20),
        Restart,
        "The largest body of a forwarded request. What Polar's other endpoints take are small objects.",
        |config| Field::Size(&mut config.forward.body_bytes_max),
    ),
    number(
        "forwarding.body_timeout_seconds",
        "SLEDGE_FORWARDING_BODY_TIMEOUT_SECONDS",
        Unit::Seconds,
        (1, 3_600),
        Restart,
        "How long such a body may take.",
        |config| Field::Time(&mut config.forward.body_timeout),
    ),
    number(
        "forwarding.answer_seconds_max",
        "SLEDGE_FORWARDING_ANSWER_SECONDS_MAX",
        Unit::Seconds,
        (1, 86_400),
        Restart,
        "From the first byte sent to the last byte of the answer handed back. Each step on the way may take polar.request_timeout_seconds.",
        |config| Field::Time(&mut config.forward.answer_timeout),
    ),
];
