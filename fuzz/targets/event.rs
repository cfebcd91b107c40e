//! One event, as every listener reads it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sledge::event::fuzzed::event(bytes));
