//! Where an HTTP request is to go, going by its head.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Uri};

use crate::protocol::{FaultCode, HttpReply, Route};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Road {
    /// Polar's ingest endpoint, answered here.
    Events,
    /// One grant.
    Grant,
    /// A question for what a customer has pending.
    Pending,
    /// Anything else of Polar's.
    Polar,
}

impl Road {
    /// The road of this path, for this method.
    pub(super) fn of(method: &Method, uri: &Uri) -> Result<Self, HttpReply> {
        match Route::of_path(uri.path()) {
            Route::Ingest => Self::Events.by(Method::POST, method),
            Route::Grants => Self::Grant.by(Method::POST, method),
            Route::Pending => Self::Pending.by(Method::GET, method),
            Route::Polar => Ok(Self::Polar),
            Route::Refused => {
                let detail = "this spelling of the path is ambiguous: send it without dot segments, backslashes or \
                              capital letters, such as /v1/events/ingest";
                Err(HttpReply::error(FaultCode::AmbiguousPath, detail))
            }
            Route::Elsewhere => {
                let detail =
                    "nothing is here: events go to POST /v1/events/ingest, grants to POST /sledge/v1/grants";
                Err(HttpReply::error(FaultCode::NotFound, detail))
            }
        }
    }

    fn by(self, taken: Method, method: &Method) -> Result<Self, HttpReply> {
        if *method == taken {
            return Ok(self);
        }
        Err(HttpReply::method_not_allowed(if taken == Method::GET { "GET" } else { "POST" }))
    }
}

/// Refuses what would make a proxy of this place: an absolute address, and CONNECT.
pub(super) fn refuse_proxying(uri: &Uri) -> Result<(), HttpReply> {
    if uri.scheme().is_none() && uri.authority().is_none() {
        return Ok(());
    }
    let detail = "this is no proxy: send the path only, such as POST /v1/events/ingest";
    Err(HttpReply::error(FaultCode::NotAProxy, detail))
}

/// As Polar decides it: `application/json` or `application/…+json`, whatever its parameters.
pub(super) fn is_json(content_type: &HeaderValue) -> bool {
    let Ok(content_type) = content_type.to_str() else {
        return false;
    };
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// Whether a body's type is given and is not JSON.
pub(super) fn is_something_else(parts: &Parts) -> bool {
    parts.headers.get(CONTENT_TYPE).is_some_and(|content_type| !is_json(content_type))
}
