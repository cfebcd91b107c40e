//! The cases that the fuzzers in `fuzz/` have found worth keeping, tried again.

use std::fs;
use std::path::Path;

/// Gives every kept case of a target to it: what widened its view, and what once broke it.
fn replay(target: &str, holds: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut cases = 0;
    for kind in ["corpus", "regressions"] {
        for case in fs::read_dir(folder.join(kind).join(target)).into_iter().flatten() {
            holds(&fs::read(case.unwrap().path()).unwrap());
            cases += 1;
        }
    }
    assert!(cases > 10, "{target} has only {cases} cases in {}", folder.display());
}

#[test]
fn events_of_any_bytes() {
    replay("event", crate::event::fuzzed::event);
}

#[test]
fn streams_of_any_bytes() {
    replay("stream", crate::protocol::fuzzed::stream);
}

#[test]
fn connections_of_any_bytes() {
    replay("connection", crate::intake::fuzzed::connection);
}

#[test]
fn journal_files_of_any_bytes() {
    replay("frames", crate::journal::fuzzed::frames);
}

#[test]
fn replies_of_any_bytes() {
    replay("reply", crate::polar::fuzzed::reply);
}
