//! `[admin_server]`: what the server at the `admin` address puts up with.

use crate::config::setting::Access::Field as OneField;
use crate::config::setting::Change::Restart;
use crate::config::setting::{DefaultValue, Field, Setting, Takes, Unit, number};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "admin_server.hosts",
        variable: "SLEDGE_ADMIN_SERVER_HOSTS",
        flag: None,
        takes: Takes::Texts,
        change: Restart,
        default: DefaultValue::Fixed,
        meaning: "Names a Host header may carry beside localhost, IP addresses and the name in `admin`. A web page that rebinds its own name to this machine is told apart by that header.",
        access: OneField(|config| Field::Texts(&mut config.admin.hosts)),
    },
    number(
        "admin_server.connections_max",
        "SLEDGE_ADMIN_SERVER_CONNECTIONS_MAX",
        Unit::Count,
        (1, 10_000),
        Restart,
        "Connections served at once; more wait to be accepted. A scrape takes milliseconds.",
        |config| Field::Size(&mut config.admin.connections_max),
    ),
    number(
        "admin_server.header_timeout_seconds",
        "SLEDGE_ADMIN_SERVER_HEADER_TIMEOUT_SECONDS",
        Unit::Seconds,
        (1, 3_600),
        Restart,
        "For a request's headers to arrive.",
        |config| Field::Time(&mut config.admin.header_timeout),
    ),
    number(
        "admin_server.connection_timeout_seconds",
        "SLEDGE_ADMIN_SERVER_CONNECTION_TIMEOUT_SECONDS",
        Unit::Seconds,
        (1, 3_600),
        Restart,
        "For a whole connection, which carries one request.",
        |config| Field::Time(&mut config.admin.connection_timeout),
    ),
];
