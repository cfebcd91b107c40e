//! A file of the journal, of any content.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sledge::journal::fuzzed::frames(bytes));
