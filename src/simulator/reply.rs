//! An answer before it becomes HTTP.

use bytes::Bytes;

/// An answer: status, headers and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers beside `Content-Length` and `Date`.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![header("content-type", "application/json")], body: body.into() }
    }

    /// An answer without a body or a content type.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// The same answer with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(header(name, value));
        self
    }

    /// What Polar says of any path it does not serve, and of a `Polar-Version` it does not know.
    pub(super) fn not_found() -> Self {
        Self::json(404, r#"{"detail":"Not Found"}"#)
    }

    /// What Polar says of an object that does not exist.
    pub(super) fn resource_not_found() -> Self {
        Self::json(404, r#"{"error":"ResourceNotFound","detail":"Not found"}"#)
    }

    /// A known path with another method.
    pub(super) fn method_not_allowed(allowed: &str) -> Self {
        Self::json(405, r#"{"detail":"Method Not Allowed"}"#).with_header("allow", allowed)
    }

    /// An exception nobody caught: what poison and outages look like.
    pub(super) fn internal_server_error() -> Self {
        Self {
            status: 500,
            headers: vec![header("content-type", "text/plain; charset=utf-8")],
            body: Bytes::from_static(b"Internal Server Error"),
        }
    }

    /// A body that is neither JSON nor text, such as a compressed one.
    pub(super) fn unreadable_body() -> Self {
        Self::json(400, r#"{"detail":"There was an error parsing the body"}"#)
    }

    /// A request without an `Authorization` header.
    pub(super) fn unauthorized() -> Self {
        Self::json(401, r#"{"error":"Unauthorized","detail":"Unauthorized"}"#)
            .with_header("www-authenticate", r#"Bearer realm="polar""#)
    }

    /// A token Polar does not know.
    pub(super) fn invalid_token() -> Self {
        let why = "The access token provided is expired, revoked, malformed, or invalid for other reasons.";
        Self::oauth(401, "invalid_token", why, "")
    }

    /// A token that may not do this, and any one of the scopes that would let it.
    pub(super) fn insufficient_scope(scopes: &[&str]) -> Self {
        let why = "The request requires higher privileges than provided by the access token.";
        Self::oauth(403, "insufficient_scope", why, &format!(r#", scope="{}""#, scopes.join(" ")))
    }

    fn oauth(status: u16, error: &str, why: &str, more: &str) -> Self {
        let challenge = format!(r#"Bearer realm="polar", error="{error}", error_description="{why}"{more}"#);
        Self::json(status, format!(r#"{{"error":"{error}","error_description":"{why}"}}"#))
            .with_header("www-authenticate", &challenge)
    }

    /// Chunked, so without a length.
    pub(super) fn length_required() -> Self {
        Self::json(411, r#"{"error":"LengthRequired"}"#)
    }

    /// Over the body limit.
    pub(super) fn body_too_large() -> Self {
        Self::json(413, r#"{"error":"RequestBodyTooLarge"}"#)
    }

    /// Over the rate limit: no body, no content type, and an upper bound as the time to wait.
    pub(super) fn too_many_requests(retry_after_s: u64) -> Self {
        Self::empty(429).with_header("retry-after", &retry_after_s.to_string())
    }
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
