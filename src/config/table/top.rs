//! Settings at the top of the file: those that have a flag, and the daemon's own.

use crate::config::setting::Access::{Choice, Field as OneField};
use crate::config::setting::Change::{Reload, Restart};
use crate::config::setting::{DefaultValue, Field, Flag, Setting, Takes, Unit, Value, number};
use crate::polar::{Environment, TokenSource};
use std::path::Path;

const fn varies(words: &'static str, sample: &'static str) -> DefaultValue {
    DefaultValue::Varies { words, sample }
}

const fn flag(name: &'static str, value: &'static str) -> Option<Flag> {
    Some(Flag { name, value })
}

fn path(path: &Path) -> Option<Value> {
    Some(Value::Text(path.display().to_string()))
}

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "data_dir",
        variable: "SLEDGE_DATA_DIR",
        flag: flag("data-dir", "DIR"),
        takes: Takes::Text,
        change: Restart,
        default: varies(
            "/var/lib/sledge; without privilege $XDG_STATE_HOME/sledge, else ~/.local/state/sledge",
            "\"/var/lib/sledge\"",
        ),
        meaning: "Where events are kept.",
        access: Choice(|config| path(&config.data_dir)),
    },
    Setting {
        key: "socket",
        variable: "SLEDGE_SOCKET",
        flag: flag("socket", "PATH"),
        takes: Takes::Text,
        change: Restart,
        default: varies(
            "/run/sledge/sledge.sock; without privilege $XDG_RUNTIME_DIR/sledge/sledge.sock, else run/sledge.sock in the data folder",
            "\"/run/sledge/sledge.sock\"",
        ),
        meaning: "The Unix socket events come in by. At most 107 bytes: the kernel's limit.",
        access: Choice(|config| path(&config.socket)),
    },
    Setting {
        key: "datagram_socket",
        variable: "SLEDGE_DATAGRAM_SOCKET",
        flag: flag("datagram-socket", "PATH"),
        takes: Takes::Text,
        change: Restart,
        default: varies("none", "\"/run/sledge/sledge.dgram\""),
        meaning: "A Unix datagram socket: one or more lines in each datagram, and nothing comes back.",
        access: Choice(|config| path(config.datagram_socket.as_ref()?)),
    },
    Setting {
        key: "socket_mode",
        variable: "SLEDGE_SOCKET_MODE",
        flag: None,
        takes: Takes::Text,
        change: Restart,
        default: DefaultValue::Fixed,
        meaning: "The mode of the two sockets above, as chmod takes it: 6 for who may send, 0 for who may not. Whoever may send can give credits away, so 0666 is for machines on which every user may.",
        access: Choice(|config| Some(Value::Text(config.socket_access.mode_in_octal()))),
    },
    Setting {
        key: "socket_owner",
        variable: "SLEDGE_SOCKET_OWNER",
        flag: None,
        takes: Takes::Text,
        change: Restart,
        default: varies("the user sledge runs as", "\"sledge\""),
        meaning: "The user the two sockets belong to, by name or number. Only root may name another than its own.",
        access: Choice(|config| Some(Value::Text(config.socket_access.owner.clone()?))),
    },
    Setting {
        key: "socket_group",
        variable: "SLEDGE_SOCKET_GROUP",
        flag: None,
        takes: Takes::Text,
        change: Restart,
        default: varies("the group sledge runs as", "\"sledge\""),
        meaning: "The group the two sockets belong to, by name or number, and with them folders that have to be made for them. Without root's rights it must be one that sledge's user is in.",
        access: Choice(|config| Some(Value::Text(config.socket_access.group.clone()?))),
    },
    Setting {
        key: "http",
        variable: "SLEDGE_HTTP",
        flag: flag("http", "HOST:PORT"),
        takes: Takes::Text,
        change: Restart,
        default: varies("none", "\"127.0.0.1:8787\""),
        meaning: "A loopback address for the HTTP side, for SDKs that cannot use a Unix socket. Any other address is refused: no file's permissions say who may use a port.",
        access: Choice(|config| Some(Value::Text(config.http?.to_string()))),
    },
    Setting {
        key: "http_grants",
        variable: "SLEDGE_HTTP_GRANTS",
        flag: flag("http-grants", "WORD"),
        takes: Takes::OneOf(&["off", "on"]),
        change: Reload,
        default: DefaultValue::Fixed,
        meaning: "Whether POST /sledge/v1/grants is answered at the address `http`, where every user of this machine may send: off or on. Holds for connections made after a change.",
        access: OneField(|config| Field::Switch(&mut config.intake.http_grants)),
    },
    Setting {
        key: "forward",
        variable: "SLEDGE_FORWARD",
        flag: flag("forward", "WORD"),
        takes: Takes::OneOf(&["on", "off"]),
        change: Reload,
        default: DefaultValue::Fixed,
        meaning: "Whether requests for Polar's other paths under /v1/ are handed on to Polar, with the caller's own credentials: on or off. Holds for connections made after a change.",
        access: OneField(|config| Field::Switch(&mut config.intake.forward)),
    },
    Setting {
        key: "admin",
        variable: "SLEDGE_ADMIN",
        flag: flag("admin", "HOST:PORT"),
        takes: Takes::Text,
        change: Restart,
        default: DefaultValue::Fixed,
        meaning: "Where /livez, /readyz, /metrics and /status are. Read-only. Any address may be given; port 0 takes any free one.",
        access: Choice(|config| Some(Value::Text(config.admin.address.clone()))),
    },
    Setting {
        key: "admin_socket",
        variable: "SLEDGE_ADMIN_SOCKET",
        flag: flag("admin-socket", "PATH"),
        takes: Takes::Text,
        change: Restart,
        default: varies("admin.sock in the data folder", "\"/var/lib/sledge/admin.sock\""),
        meaning: "The Unix socket dead letters are looked after by, for the owner alone. At most 107 bytes.",
        access: Choice(|config| path(&config.admin_socket)),
    },
    Setting {
        key: "environment",
        variable: "SLEDGE_ENVIRONMENT",
        flag: flag("environment", "NAME"),
        takes: Takes::OneOf(&["production", "sandbox"]),
        change: Restart,
        default: varies("POLAR_MODE, else POLAR_SERVER, else production", "\"production\""),
        meaning: "Which Polar: production or sandbox. Each has tokens of its own.",
        access: Choice(|config| match config.polar.base_url.environment() {
            Environment::Custom => None,
            named @ (Environment::Production | Environment::Sandbox) => {
                Some(Value::Text(named.as_str().to_owned()))
            }
        }),
    },
    Setting {
        key: "polar_url",
        variable: "SLEDGE_POLAR_URL",
        flag: flag("polar-url", "URL"),
        takes: Takes::Text,
        change: Restart,
        default: varies("that of the environment", "\"https://api.polar.sh\""),
        meaning: "The address of Polar, without /v1; give it instead of an environment. Only an address that is not Polar's own does without a token.",
        access: Choice(|config| Some(Value::Text(config.polar.base_url.as_str().to_owned()))),
    },
    Setting {
        key: "token_file",
        variable: "SLEDGE_TOKEN_FILE",
        flag: flag("token-file", "FILE"),
        takes: Takes::Text,
        change: Restart,
        default: varies(
            "the systemd credential polar_access_token, else POLAR_ACCESS_TOKEN",
            "\"/etc/sledge/polar_access_token\"",
        ),
        meaning: "A file that holds the access token alone. A token that is put in its place is picked up by itself.",
        access: Choice(|config| match &config.polar.token {
            TokenSource::File(file) => path(file),
            TokenSource::None | TokenSource::Fixed(_) => None,
        }),
    },
    Setting {
        key: "log_format",
        variable: "SLEDGE_LOG_FORMAT",
        flag: flag("log-format", "FORMAT"),
        takes: Takes::OneOf(&["text", "json"]),
        change: Restart,
        default: DefaultValue::Fixed,
        meaning: "How log lines on standard error are written: text or json. Text is coloured on a terminal only, and never with NO_COLOR set.",
        access: OneField(|config| Field::Format(&mut config.log.format)),
    },
    Setting {
        key: "log_level",
        variable: "SLEDGE_LOG",
        flag: flag("log-level", "FILTER"),
        takes: Takes::Text,
        change: Reload,
        default: DefaultValue::Fixed,
        meaning: "What is logged: error, warn, info, debug, trace, or directives such as info,sledge::delivery=debug.",
        access: OneField(|config| Field::Text(&mut config.log.filter)),
    },
    number(
        "pending_customers_max",
        "SLEDGE_PENDING_CUSTOMERS_MAX",
        Unit::Count,
        (0, 10_000_000),
        Restart,
        "Customers whose pending units are counted, for GET /sledge/v1/pending on the socket; 0 for none, which costs nothing. A customer with one meter takes some 500 bytes.",
        |config| Field::Size(&mut config.journal.pending_customers_max),
    ),
    number(
        "drain_deadline_seconds",
        "SLEDGE_DRAIN_DEADLINE_SECONDS",
        Unit::Seconds,
        (0, 3_600),
        Reload,
        "How long a stop may take to deliver what is pending; the rest stays in the journal. Less than the 30 s that Kubernetes gives a container.",
        |config| Field::Time(&mut config.drain_deadline),
    ),
];
