//! Paths and query strings.

/// Percent-decoding; `+` is a space only in query strings.
fn decode(text: &str, plus_is_space: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        let rest = bytes.as_slice();
        match (byte, rest) {
            (b'+', _) if plus_is_space => out.push(b' '),
            (b'%', [high, low, ..]) => {
                let digits = [char::from(*high).to_digit(16), char::from(*low).to_digit(16)];
                if let [Some(high), Some(low)] = digits {
                    out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                    bytes.nth(1);
                } else {
                    out.push(*byte);
                }
            }
            _ => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// One segment of a path.
pub(super) fn segment(text: &str) -> String {
    decode(text, false)
}

/// A query string.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        };
        Self(pairs.map(pair).collect())
    }

    /// The first value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Every value of `key`.
    pub(super) fn all(&self, key: &str) -> Vec<&str> {
        self.0.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect()
    }

    /// A number, or its default.
    pub(super) fn number(&self, key: &str, default: usize) -> usize {
        self.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_id_survives_its_way_through_an_address() {
        assert_eq!(segment("a%2Fb%20c+d%C3%A9"), "a/b c+dé");
        assert_eq!(Query::of(Some("id=a+b%26c&x")).get("id"), Some("a b&c"));
        assert_eq!(segment("50%"), "50%");
    }
}
