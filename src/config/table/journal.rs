//! `[journal]`: what the journal may use. It is never touched while it is open, so all of it needs a restart.

use crate::config::setting::Change::Restart;
use crate::config::setting::{DefaultValue, Field, Setting, Unit, number};

const LOW_WATER: Setting = number(
    "journal.low_water_bytes",
    "SLEDGE_JOURNAL_LOW_WATER_BYTES",
    Unit::Bytes,
    (0, 1 << 50),
    Restart,
    "Free bytes of the disk below which new events are refused, so that what is there can still be delivered and settled.",
    |config| Field::Optional(&mut config.journal.low_water_bytes),
);

pub(super) const SETTINGS: &[Setting] = &[
    number(
        "journal.bytes_max",
        "SLEDGE_JOURNAL_BYTES_MAX",
        Unit::Bytes,
        (64 << 20, 1 << 50),
        Restart,
        "The journal on disk. Reached, new events are refused with journal_full; 5 % of it is reserved for grants. An event takes some 200 bytes, so this is about five million.",
        |config| Field::Large(&mut config.journal.journal_bytes_max),
    ),
    Setting {
        default: DefaultValue::Varies {
            words: "5 % of the disk, between 32 and 64 MiB; a quarter of a smaller one",
            sample: "67108864",
        },
        ..LOW_WATER
    },
    number(
        "journal.ballast_bytes",
        "SLEDGE_JOURNAL_BALLAST_BYTES",
        Unit::Bytes,
        (0, 1 << 30),
        Restart,
        "A file that is removed first when the disk is full, so that the journal can open and settle.",
        |config| Field::Large(&mut config.journal.ballast_bytes),
    ),
    number(
        "journal.volume_bytes",
        "SLEDGE_JOURNAL_VOLUME_BYTES",
        Unit::Bytes,
        (1 << 20, 256 << 20),
        Restart,
        "Of a volume, before the next one is begun: the unit in which disk space comes back. Larger ones take more memory.",
        |config| Field::Large(&mut config.journal.volume_bytes),
    ),
    number(
        "journal.retention_seconds",
        "SLEDGE_JOURNAL_RETENTION_SECONDS",
        Unit::Seconds,
        (0, 366 * 86_400),
        Restart,
        "How long delivered events are kept for a replay; 0 for not at all. They are the first to go when space is needed.",
        |config| Field::Time(&mut config.journal.retention),
    ),
    number(
        "journal.retention_bytes_max",
        "SLEDGE_JOURNAL_RETENTION_BYTES_MAX",
        Unit::Bytes,
        (0, 1 << 50),
        Restart,
        "How much of delivered events is kept, on disk.",
        |config| Field::Large(&mut config.journal.retention_bytes_max),
    ),
    number(
        "journal.dead_bytes_max",
        "SLEDGE_JOURNAL_DEAD_BYTES_MAX",
        Unit::Bytes,
        (1 << 20, 1 << 50),
        Restart,
        "Dead letters, as they are written down (on disk they are compressed). Beyond it refused events are only counted; what delivery gives up is kept all the same, and the log and the status say so.",
        |config| Field::Large(&mut config.journal.dead_bytes_max),
    ),
];
