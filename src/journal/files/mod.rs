//! A journal's files without its writer: looked at, and what lies intact in them got out.

mod check;
#[cfg(test)]
mod check_tests;
mod extract;
#[cfg(test)]
mod extract_tests;
mod sample;

pub use check::{CheckReport, RowReport, VolumeReport, check};
pub use extract::{Extract, ExtractError, Extracted, Wanted, extract};
pub use sample::{quarantined, sample};
