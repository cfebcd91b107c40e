//! The protocol: lines out of a stream, hellos, paths, bodies.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sledge::protocol::fuzzed::stream(bytes));
