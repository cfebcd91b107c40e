//! Telling the two ways to speak apart by the first byte of a connection.

/// How the other end of a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1.1.
    Http,
    /// One JSON object per line.
    Ndjson,
}

impl Speech {
    /// An HTTP request begins with the letter of a method; no line that could ever hold an event does. Whatever is
    /// neither is read as lines, where it is refused with a reason.
    #[must_use]
    pub fn of_first_byte(byte: u8) -> Self {
        if byte.is_ascii_alphabetic() { Self::Http } else { Self::Ndjson }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letter_of_a_method_means_http_and_a_brace_or_space_means_lines() {
        for method in ["GET", "POST", "OPTIONS", "CONNECT", "get"] {
            assert_eq!(Speech::of_first_byte(method.as_bytes()[0]), Speech::Http);
        }
        for byte in *b"{ \t\r\n[\"1\x16\xff" {
            assert_eq!(Speech::of_first_byte(byte), Speech::Ndjson);
        }
    }
}
