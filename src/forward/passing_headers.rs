//! Which headers pass: everything that is meant for the other end, nothing that is meant for the next hop.

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// Meant for one connection, whoever is at its end.
const OF_THE_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// What tells browsers which pages may read an answer. None may: no page reaches sledge.
const OF_CORS: &str = "access-control-";

/// The headers of a request, as Polar gets them. The host is Polar's, and the length is that of the body that was
/// received.
pub(super) fn to_polar(headers: &HeaderMap) -> HeaderMap {
    let mut passing = without_those_of_the_hop(headers);
    for name in [HOST, CONTENT_LENGTH, EXPECT] {
        passing.remove(name);
    }
    // Some SDKs send an empty one.
    if passing.get_all(COOKIE).iter().all(|cookie| cookie.is_empty()) {
        passing.remove(COOKIE);
    }
    passing
}

/// The headers of Polar's answer, as the caller gets them.
pub(super) fn from_polar(headers: &HeaderMap) -> HeaderMap {
    let mut passing = without_those_of_the_hop(headers);
    let of_cors: Vec<HeaderName> =
        passing.keys().filter(|name| name.as_str().starts_with(OF_CORS)).cloned().collect();
    for name in of_cors {
        passing.remove(name);
    }
    passing
}

/// A `Connection` header names further ones that end with the hop.
fn without_those_of_the_hop(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let mut passing = headers.clone();
    for name in OF_THE_HOP.iter().chain(&named) {
        passing.remove(name);
    }
    passing
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn the_callers_own_pass_and_those_of_the_hop_do_not() {
        let came = headers(&[
            ("authorization", "Bearer polar_oat_callers"),
            ("polar-version", "2026-10"),
            ("accept-encoding", "gzip"),
            ("x-odd", "1"),
            ("host", "evil.example"),
            ("content-length", "7"),
            ("transfer-encoding", "chunked"),
            ("connection", "close, X-Secret"),
            ("x-secret", "of the hop"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("cookie", ""),
        ]);
        assert_eq!(names(&to_polar(&came)), ["authorization", "polar-version", "accept-encoding", "x-odd"]);
    }

    #[test]
    fn an_answer_keeps_what_it_says_of_itself_and_opens_nothing_to_pages() {
        let came = headers(&[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("content-length", "12"),
            ("location", "https://evil.example/"),
            ("retry-after", "60"),
            ("connection", "keep-alive"),
            ("access-control-allow-origin", "*"),
        ]);
        let kept = ["content-type", "content-encoding", "content-length", "location", "retry-after"];
        assert_eq!(names(&from_polar(&came)), kept);
    }

    #[test]
    fn a_cookie_that_says_something_passes() {
        assert_eq!(names(&to_polar(&headers(&[("cookie", "a=b")]))), ["cookie"]);
    }
}
