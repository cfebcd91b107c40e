//! `[delivery]`: how delivery goes about its work.

use crate::config::setting::Change::Reload;
use crate::config::setting::{DefaultValue, Field, Setting, Unit, number};
use crate::polar::{EVENTS_PER_REQUEST_MAX, REQUEST_BYTES_MAX};

const REQUESTS_PER_MINUTE: Setting = number(
    "delivery.requests_per_minute",
    "SLEDGE_DELIVERY_REQUESTS_PER_MINUTE",
    Unit::Count,
    (0, 1_000_000),
    Reload,
    "The budget; 0 for no limit but Polar's own 429. Polar counts per organization, over all its tokens: leave room for whatever else it runs.",
    |config| Field::NoneAtZero(&mut config.delivery.requests_per_minute),
);

pub(super) const SETTINGS: &[Setting] = &[
    number(
        "delivery.batch_events_max",
        "SLEDGE_DELIVERY_BATCH_EVENTS_MAX",
        Unit::Count,
        (1, EVENTS_PER_REQUEST_MAX as u64),
        Reload,
        "Events in one request. Polar spends some 30 ms on a request whatever its size and 0.3 ms on each of 1,000 events; larger batches gain nothing and take it 8 to 13 s.",
        |config| Field::Size(&mut config.delivery.batch_events_max),
    ),
    number(
        "delivery.batch_bytes_max",
        "SLEDGE_DELIVERY_BATCH_BYTES_MAX",
        Unit::Bytes,
        (1 << 10, REQUEST_BYTES_MAX as u64),
        Reload,
        "The body of one request. Polar takes 10 MiB; less passes a slow line in time and is less to repeat after a cut.",
        |config| Field::Size(&mut config.delivery.batch_bytes_max),
    ),
    number(
        "delivery.linger_ms",
        "SLEDGE_DELIVERY_LINGER_MS",
        Unit::Milliseconds,
        (0, 60_000),
        Reload,
        "How long a batch that is not full waits for more events. It does not wait at all while no request is in flight and little of the budget is used.",
        |config| Field::Time(&mut config.delivery.linger),
    ),
    number(
        "delivery.requests_in_flight_max",
        "SLEDGE_DELIVERY_REQUESTS_IN_FLIGHT_MAX",
        Unit::Count,
        (1, 64),
        Reload,
        "Requests in flight at once. They hide the time Polar takes; more than a few only queue up there.",
        |config| Field::Size(&mut config.delivery.requests_in_flight_max),
    ),
    number(
        "delivery.unsettled_bytes_max",
        "SLEDGE_DELIVERY_UNSETTLED_BYTES_MAX",
        Unit::Bytes,
        (1 << 20, 1 << 30),
        Reload,
        "Text of the events that were read and are not settled: what delivery may keep in memory. An eighth of it is kept free for grants.",
        |config| Field::Size(&mut config.delivery.unsettled_bytes_max),
    ),
    Setting {
        default: DefaultValue::Varies {
            words: "500 in production, 100 in the sandbox, 0 at any other address",
            sample: "500",
        },
        ..REQUESTS_PER_MINUTE
    },
    number(
        "delivery.retry_interval_ms",
        "SLEDGE_DELIVERY_RETRY_INTERVAL_MS",
        Unit::Milliseconds,
        (10, 60_000),
        Reload,
        "The first interval of the back-off; it doubles with every failure.",
        |config| Field::Time(&mut config.delivery.retry_interval),
    ),
    number(
        "delivery.retry_interval_ms_max",
        "SLEDGE_DELIVERY_RETRY_INTERVAL_MS_MAX",
        Unit::Milliseconds,
        (10, 3_600_000),
        Reload,
        "The longest interval of the back-off: about twice the mean time until the end of an outage is noticed.",
        |config| Field::Time(&mut config.delivery.retry_interval_max),
    ),
    number(
        "delivery.slow_probe_seconds",
        "SLEDGE_DELIVERY_SLOW_PROBE_SECONDS",
        Unit::Seconds,
        (1, 86_400),
        Reload,
        "Between two probes while delivery is held for something that only a person can mend. A reload probes at once.",
        |config| Field::Time(&mut config.delivery.slow_probe),
    ),
];
