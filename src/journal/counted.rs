//! How figures are worded.

/// `1 dead letter`, `2 dead letters`.
pub(crate) fn counted(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}
