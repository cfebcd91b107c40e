//! Where a request goes, by its path.

/// What a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Polar's ingest endpoint: events are taken here.
    Ingest,
    /// The grants endpoint.
    Grants,
    /// What customers have pending.
    Pending,
    /// Something else of Polar's API.
    Polar,
    /// Nothing that is known here.
    Elsewhere,
    /// A path that might mean one thing here and another to whoever it were handed on to.
    Refused,
}

/// A path encoded more often than this is no honest spelling of anything.
const DECODINGS_MAX: usize = 4;
const INGEST: [&[u8]; 3] = [b"v1", b"events", b"ingest"];
const GRANTS: [&[u8]; 3] = [b"sledge", b"v1", b"grants"];
const PENDING: [&[u8]; 3] = [b"sledge", b"v1", b"pending"];

impl Route {
    /// The meaning of a request's path, without its query.
    ///
    /// Every spelling of the ingest path (doubled or trailing slashes, percent-encodings however deep, dot segments)
    /// is [`Ingest`](Self::Ingest) or [`Refused`](Self::Refused): a usage event must never slip past the journal.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        let Some(decoded) = decode_fully(path.as_bytes()) else {
            return Self::Refused;
        };
        let mut odd = decoded.iter().any(|byte| *byte == b'\\' || byte.is_ascii_control());
        let mut segments: Vec<&[u8]> = Vec::new();
        for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
            match segment {
                b"" => {}
                b"." => odd = true,
                b".." => {
                    odd = true;
                    segments.pop();
                }
                named => segments.push(named),
            }
        }
        if segments == INGEST {
            Self::Ingest
        } else if segments == GRANTS {
            Self::Grants
        } else if segments == PENDING {
            Self::Pending
        } else if odd || [INGEST, GRANTS, PENDING].iter().any(|known| same_but_for_case(&segments, known)) {
            Self::Refused
        } else if segments.first() == Some(&b"v1".as_slice()) {
            Self::Polar
        } else {
            Self::Elsewhere
        }
    }
}

fn same_but_for_case(segments: &[&[u8]], known: &[&[u8]]) -> bool {
    segments.len() == known.len() && segments.iter().zip(known).all(|(a, b)| a.eq_ignore_ascii_case(b))
}

fn decode_fully(path: &[u8]) -> Option<Vec<u8>> {
    let mut path = path.to_vec();
    for _ in 0..DECODINGS_MAX {
        let decoded = decode_once(&path);
        if decoded == path {
            return Some(path);
        }
        path = decoded;
    }
    None
}

/// Decodes `%XX`; a `%` that begins no such triple stays.
fn decode_once(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = tail;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_the_ingest_path_is_intake() {
        for path in [
            "/v1/events/ingest",
            "//v1/events/ingest",
            "/v1/events/ingest/",
            "/v1//events///ingest//",
            "/v1/events/%69ngest",
            "/v1%2Fevents%2fingest",
            "/v1/events/%2569ngest",
            "/v1/./events/ingest",
            "/v1/meters/../events/ingest",
            "/x/%2e%2e/v1/events/ingest",
            "/v1\\events\\ingest",
        ] {
            assert_eq!(Route::of_path(path), Route::Ingest, "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_intake_is_refused() {
        for path in [
            "/V1/events/ingest",
            "/v1/Events/INGEST",
            "/v1/customers/..%2f..",
            "/v1/%25252525252e",
            "/v1/a%00b",
        ] {
            assert_eq!(Route::of_path(path), Route::Refused, "{path}");
        }
    }

    #[test]
    fn other_paths_of_polar_are_told_from_unknown_ones() {
        assert_eq!(Route::of_path("/v1/customers/external/a%2Fb"), Route::Polar);
        assert_eq!(Route::of_path("/v1/customers/external/100%25"), Route::Polar);
        assert_eq!(Route::of_path("//v1/meters/"), Route::Polar);
        assert_eq!(Route::of_path("/v1/events/ingest/more"), Route::Polar);
        assert_eq!(Route::of_path("/sledge/v1/grants"), Route::Grants);
        assert_eq!(Route::of_path("/sledge/v1/pending"), Route::Pending);
        for path in ["/", "", "/metrics", "/v2/events/ingest", "/evil/v1/events/ingest", "*"] {
            assert_eq!(Route::of_path(path), Route::Elsewhere, "{path}");
        }
    }

    proptest! {
        /// However the letters of the path are encoded and its slashes doubled, it stays intake.
        #[test]
        fn encoding_never_lets_ingest_slip_through(
            spellings in proptest::collection::vec(0_u8..4, "/v1/events/ingest".len()),
        ) {
            let mut path = String::from("/");
            for (byte, spelling) in "/v1/events/ingest".bytes().zip(spellings) {
                match spelling {
                    0 => path.push(char::from(byte)),
                    1 => path.push_str(&format!("%{byte:02X}")),
                    2 => path.push_str(&format!("%25{byte:02x}")),
                    _ if byte == b'/' => path.push_str("//"),
                    _ => path.push(char::from(byte)),
                }
            }
            prop_assert_eq!(Route::of_path(&path), Route::Ingest);
        }
    }
}
