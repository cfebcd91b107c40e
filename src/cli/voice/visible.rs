//! Texts of others on a terminal.

/// Without characters that would steer a terminal: a refused event may hold anything.
pub(in crate::cli) fn visible(text: &str) -> String {
    let show = |char: char| match char {
        '\n' | '\r' | '\t' => ' ',
        char if char.is_control() => char::REPLACEMENT_CHARACTER,
        char => char,
    };
    text.chars().map(show).collect()
}
