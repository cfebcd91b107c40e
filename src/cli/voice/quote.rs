//! A command line that can be copied into a shell.

/// The words, each quoted where a POSIX shell would read it otherwise.
pub(in crate::cli) fn command_line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(quoted).collect();
    quoted.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':' | b'=' | b'@' | b'+' | b',' | b'%')
    };
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gets_back_the_very_words() {
        let words = ["plain-word_1", "", "two words", "it's", "$HOME", "a\"b", "über", "*", "k=v", "a;b\nc"];
        let line = command_line(["printf", r"%s\0"].into_iter().chain(words));
        let output = std::process::Command::new("sh").arg("-c").arg(&line).output().unwrap();
        let expected: String = words.iter().flat_map(|word| [*word, "\0"]).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
