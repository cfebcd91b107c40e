//! `[polar]`: how Polar is spoken to. The client is made once, so all of it needs a restart.

use crate::config::setting::Access::Field as OneField;
use crate::config::setting::Change::Restart;
use crate::config::setting::{DefaultValue, Field, Setting, Takes, Unit, number};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "polar.version",
        variable: "SLEDGE_POLAR_VERSION",
        flag: None,
        takes: Takes::Text,
        change: Restart,
        default: DefaultValue::Fixed,
        meaning: "Sent as Polar-Version. Polar answers 404 to one it does not know; then everything is held.",
        access: OneField(|config| Field::Text(&mut config.polar.polar_version)),
    },
    number(
        "polar.request_timeout_seconds",
        "SLEDGE_POLAR_REQUEST_TIMEOUT_SECONDS",
        Unit::Seconds,
        (1, 3_600),
        Restart,
        "From the first byte sent to the last byte read. Polar takes 1.4 to 1.7 s for 1,000 events and 8 to 13 s for 4,000: this leaves room for a slow line and a busy Polar.",
        |config| Field::Time(&mut config.polar.request_timeout),
    ),
    number(
        "polar.connect_timeout_seconds",
        "SLEDGE_POLAR_CONNECT_TIMEOUT_SECONDS",
        Unit::Seconds,
        (1, 3_600),
        Restart,
        "For the connection alone, TLS included: a host that drops packets is told apart from a slow answer.",
        |config| Field::Time(&mut config.polar.connect_timeout),
    ),
];
