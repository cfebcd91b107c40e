//! `[event]`: what an event may be, beside Polar's own rules.

use crate::config::setting::Change::Reload;
use crate::config::setting::{Field, Setting, Unit, number};

pub(super) const SETTINGS: &[Setting] = &[
    number(
        "event.bytes_max",
        "SLEDGE_EVENT_BYTES_MAX",
        Unit::Bytes,
        (1 << 10, 8 << 20),
        Reload,
        "The largest event, counted as it will be sent. Larger ones are refused as event_too_large.",
        |config| Field::Size(&mut config.rules.event_bytes_max),
    ),
    number(
        "event.future_hold_seconds_max",
        "SLEDGE_EVENT_FUTURE_HOLD_SECONDS_MAX",
        Unit::Seconds,
        (0, 86_400),
        Reload,
        "How far ahead of our clock a timestamp may lie: the event is held until it is due, since Polar takes none from the future.",
        |config| Field::Time(&mut config.rules.future_hold_max),
    ),
];
