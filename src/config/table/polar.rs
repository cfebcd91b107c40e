//! `[polar]`: how Polar is spoken to. The client is made once, so all of it needs a restart.

use crate::config::config::Config;
use crate::config::setting::Access::Field as OneField;
use crate::config::setting::Change::Restart;
use crate::config::setting::{DefaultValue, Field, Setting, Takes, Unit, number};

/// A text or a path that is left out unless it is needed.
const fn optional(
    key: &'static str,
    variable: &'static str,
    sample: &'static str,
    meaning: &'static str,
    field: for<'c> fn(&'c mut Config) -> Field<'c>,
) -> Setting {
    Setting {
        key,
        variable,
        flag: None,
        takes: Takes::Text,
        change: Restart,
        default: DefaultValue::Varies { words: "none", sample },
        meaning,
        access: OneField(field),
    }
}

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
    optional(
        "polar.proxy",
        "SLEDGE_POLAR_PROXY",
        "\"http://proxy.internal:3128\"",
        "The proxy that is asked to CONNECT to Polar, as http://HOST:PORT or https://HOST:PORT. It sees where requests go and not what is in them. HTTPS_PROXY and its kin are ignored: they are set for other programs.",
        |config| Field::OptionalText(&mut config.polar.proxy),
    ),
    optional(
        "polar.proxy_credentials_file",
        "SLEDGE_POLAR_PROXY_CREDENTIALS_FILE",
        "\"/etc/sledge/proxy_credentials\"",
        "A file that holds user:password for the proxy, on one line. They are sent to the proxy alone, in clear text if its address begins with http.",
        |config| Field::OptionalPath(&mut config.polar.proxy_credentials_file),
    ),
    optional(
        "polar.ca_file",
        "SLEDGE_POLAR_CA_FILE",
        "\"/etc/sledge/ca.pem\"",
        "A PEM file of authorities that are trusted beside the system's: those of a proxy that looks into TLS, or of a Polar of your own.",
        |config| Field::OptionalPath(&mut config.polar.ca_file),
    ),
];
