//! Telling the two ways to speak apart by the first bytes of a connection.

/// The first byte of a connection that begins with TLS. No line and no request begins so.
pub const TLS_HANDSHAKE: u8 = 0x16;

/// How the other end of a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1.1.
    Http,
    /// One JSON object per line.
    Ndjson,
}

impl Speech {
    /// An HTTP request begins with a method, in capital letters, and a space; no line that could ever hold an event
    /// does. Whatever is neither is read as lines, where it is refused with a reason and kept. Where `start` ends within
    /// the method, the benefit of the doubt goes to HTTP, which answers and counts what is none; so it does with TLS, behind
    /// which HTTP was meant.
    #[must_use]
    pub fn of_start(start: &[u8]) -> Self {
        if start.first() == Some(&TLS_HANDSHAKE) {
            return Self::Http;
        }
        let method = start.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        match start.get(method) {
            None | Some(b' ') if method > 0 => Self::Http,
            None | Some(_) => Self::Ndjson,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_means_http_however_little_of_it_has_come() {
        for start in [
            "GET / HTTP/1.1\r\n",
            "POST /v1",
            "OPTIONS * ",
            "CONNECT a:1",
            "P",
            "POS",
            "GET ",
            "\u{16}\u{3}\u{1}",
        ] {
            assert_eq!(Speech::of_start(start.as_bytes()), Speech::Http, "{start}");
        }
    }

    #[test]
    fn everything_else_is_lines_even_where_it_begins_with_a_letter() {
        for start in [
            "{\"name\":1}",
            " {",
            "\t",
            "\r\n",
            "\n",
            "[",
            "\"x\"",
            "1",
            "true\n",
            "null",
            "name=api_usage\n",
            "Usage: 5\n",
            "NaN",
            "GET\n",
            "GET\t/",
            "get / HTTP/1.1\r\n",
            "\u{3}\u{16}",
            "é",
        ] {
            assert_eq!(Speech::of_start(start.as_bytes()), Speech::Ndjson, "{start}");
        }
        assert_eq!(Speech::of_start(b"\xff"), Speech::Ndjson);
    }
}
