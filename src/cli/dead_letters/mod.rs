//! Events that will not reach Polar by themselves, and what a person can do about them.

mod change;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod dead_letters;
mod filter;
mod letter_box;
mod look;
mod transfer;

pub(super) use dead_letters::{DeadLettersArgs, dead_letters, letters};
