//! A whole connection, HTTP or lines, up to the journal's door.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sledge::intake::fuzzed::connection(bytes));
