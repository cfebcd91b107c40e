//! Whatever comes back from Polar, or from somebody in between.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sledge::polar::fuzzed::reply(bytes));
