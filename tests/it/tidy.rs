//! The rules of the house, checked on its own text: who may import whom, which library is named where, and that
//! everything users meet is documented.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may import. `main.rs` and `lib.rs` stand outside.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("clock", &[]),
    ("metrics", &[]),
    ("health", &[]),
    ("telemetry", &[]),
    ("lock_file", &[]),
    ("protocol", &["event"]),
    ("journal", &["event", "clock", "metrics", "lock_file"]),
    ("polar", &["event"]),
    ("intake", &["event", "protocol", "journal", "clock", "metrics", "health"]),
    ("delivery", &["event", "journal", "polar", "clock", "metrics", "health"]),
    ("admin", &["event", "journal", "metrics", "health"]),
    // What it refuses it says as intake does: in Polar's shape, with a stable code.
    ("forward", &["polar", "metrics", "protocol"]),
    ("client", &["event", "protocol"]),
    ("simulator", &["polar"]),
    // One `Settings` of each room, composed.
    ("config", &["event", "intake", "journal", "polar", "delivery", "forward", "admin", "telemetry"]),
    (
        "daemon",
        &[
            "config",
            "event",
            "clock",
            "metrics",
            "health",
            "lock_file",
            "intake",
            "journal",
            "delivery",
            "forward",
            "polar",
            "admin",
        ],
    ),
    ("doctor", &["admin", "client", "clock", "config", "journal", "polar"]),
    (
        "cli",
        &[
            "admin",
            "client",
            "clock",
            "config",
            "daemon",
            "doctor",
            "event",
            "health",
            "journal",
            "metrics",
            "polar",
            "simulator",
            "telemetry",
        ],
    ),
];

/// The sub-rooms of the journal that lie upon each other: each may import those before it, and none of the others.
const FLOORS_OF_THE_JOURNAL: &[&str] = &["format", "disk", "volumes"];

/// A name that only some files may say, and why they may.
const NAMED_IN: &[(&str, &[&str])] = &[
    ("sled::", &["src/journal/disk/sled_volume.rs"]),
    ("reqwest::", &["src/polar/"]),
    ("clap::", &["src/cli/"]),
    ("println!", &["src/cli/"]),
    ("eprintln!", &["src/cli/"]),
    ("print!(", &["src/cli/"]),
    ("process::exit", &["src/cli/", "src/main.rs"]),
    ("unsafe ", &["src/journal/disk/system.rs"]),
    ("unsafe(", &["src/journal/disk/system.rs"]),
    ("SystemTime::now", &["src/clock.rs"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, as a path from the project's root, with its text.
pub(crate) fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The code of a file without its tests and comments.
fn code(text: &str) -> String {
    let without_tests = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    without_tests.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn is_test_file(path: &str) -> bool {
    let name = PathBuf::from(path).file_stem().unwrap().to_string_lossy().into_owned();
    name == "tests" || name.ends_with("_tests") || path.contains("/tests/") || is_declared_as_test(path)
}

/// Whether the room's door opens this file to tests only.
fn is_declared_as_test(path: &str) -> bool {
    let path = root().join(path);
    let stem = path.file_stem().unwrap().to_string_lossy();
    let door = path.parent().unwrap().join("mod.rs");
    fs::read_to_string(door).is_ok_and(|door| {
        door.contains(&format!("#[cfg(test)]\nmod {stem};"))
            || door.contains(&format!("#[cfg(test)]\npub(super) mod {stem};"))
    })
}

/// `src/journal/volumes/row.rs` is in the room `journal`, `src/clock.rs` is the room `clock`.
fn room_of(path: &str) -> String {
    let inner = path.strip_prefix("src/").unwrap();
    inner.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

/// Every `crate::room` that a text names, in lists such as `crate::{event, polar}` too.
fn imports(code: &str) -> BTreeSet<String> {
    let name_of = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|char| char.is_alphanumeric() || *char == '_')
            .collect::<String>()
    };
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => {
                found.insert(name_of(after));
            }
            Some(list) => {
                let (mut depth, mut item) = (0, String::new());
                for char in list.chars() {
                    match char {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => found.extend([name_of(&std::mem::take(&mut item))]),
                        _ => item.push(char),
                    }
                }
                found.insert(name_of(&item));
            }
        }
    }
    found.remove("");
    found
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut faults = Vec::new();
    let mut rooms = BTreeSet::new();
    for (path, text) in sources("src") {
        if path == "src/main.rs" || path == "src/lib.rs" || is_test_file(&path) {
            continue;
        }
        let room = room_of(&path);
        let Some(allowed) = table.get(room.as_str()) else {
            faults.push(format!("{path}: the room {room} is not in the table"));
            continue;
        };
        for import in imports(&code(&text)) {
            if import != room && !allowed.contains(&import.as_str()) {
                faults.push(format!("{path}: {room} must not import {import}"));
            }
        }
        rooms.insert(room);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let listed: BTreeSet<String> = table.keys().map(|room| (*room).to_owned()).collect();
    assert_eq!(rooms, listed, "the table lists the rooms that exist");
}

#[test]
fn the_floors_of_the_journal_lie_upon_each_other() {
    let mut looked_at = 0;
    for (path, text) in sources("src/journal") {
        let Some((floor, _)) = path.strip_prefix("src/journal/").and_then(|path| path.split_once('/')) else {
            continue;
        };
        let Some(below) = FLOORS_OF_THE_JOURNAL.iter().position(|known| *known == floor) else { continue };
        if is_test_file(&path) {
            continue;
        }
        looked_at += 1;
        let of_journal = code(&text).replace("crate::journal::", "crate::");
        for import in imports(&of_journal) {
            let is_sub_room = root().join("src/journal").join(&import).is_dir();
            let may = import == floor || FLOORS_OF_THE_JOURNAL[..below].contains(&import.as_str());
            assert!(!is_sub_room || may, "{path}: {floor} must not import {import}");
        }
    }
    assert!(looked_at > 20, "{looked_at} files are too few");
}

#[test]
fn the_import_check_sees_every_way_to_import() {
    let code = "use crate::event::Lane;\nuse crate::{admin, polar::{self, Token}, journal};\nlet x = crate::clock::Clock::system();";
    let expected: BTreeSet<String> =
        ["event", "admin", "polar", "journal", "clock"].map(str::to_owned).into();
    assert_eq!(imports(code), expected);
}

#[test]
fn each_library_and_each_danger_has_its_one_place() {
    let mut faults = Vec::new();
    for (path, text) in sources("src") {
        let code = code(&text);
        for (name, places) in NAMED_IN {
            let is_named = code.lines().any(|line| {
                line.match_indices(name).any(|(at, _)| {
                    !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
                })
            });
            if is_named && !places.iter().any(|place| path.starts_with(place)) {
                faults.push(format!("{path} names `{name}`, which belongs to {places:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_door_holds_nothing_but_the_rooms_doc_and_its_names() {
    let mut faults = Vec::new();
    for (path, text) in sources("src").into_iter().filter(|(path, _)| path.ends_with("/mod.rs")) {
        if !text.starts_with("//! ") {
            faults.push(format!("{path} does not begin with the room's doc"));
        }
        let definitions = ["fn ", "struct ", "enum ", "impl ", "trait ", "const ", "static "];
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let bare = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(super) ");
            if definitions.iter().any(|definition| bare.starts_with(definition)) {
                faults.push(format!("{path} defines something: {line}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    let empty = [
        "util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "imp", "core", "data",
        "info",
    ];
    for folder in ["src", "tests", "benches"] {
        for (path, _) in sources(folder) {
            let stem = PathBuf::from(&path).file_stem().unwrap().to_string_lossy().into_owned();
            assert!(!empty.contains(&stem.as_str()), "{path}: name the concept");
        }
    }
}

#[test]
fn every_metric_is_documented() {
    let document = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    for (name, _) in sledge::metrics::CATALOGUE {
        assert!(document.contains(&format!("`{name}")), "docs/metrics.md does not name {name}");
    }
}

#[test]
fn every_room_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (room, _) in MAY_IMPORT {
        assert!(map.contains(&format!("`{room}")), "ARCHITECTURE.md does not name {room}");
    }
    let lines = map.lines().count();
    assert!(lines <= 130, "ARCHITECTURE.md has grown to {lines} lines: two screens are enough");
}
