//! Which token the daemon has, for whoever has one to hold against it. No token is handed out.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::json_answer::{done, problem_of};

/// Where it is told.
pub(super) const PATH: &str = "/token";

type Ask = dyn Fn() -> Option<u64> + Send + Sync;

/// Knows the mark of the token in use, and nothing else of it.
#[derive(Clone)]
pub struct TokenDesk {
    ask: Arc<Ask>,
}

/// What is told of the daemon's token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenTold {
    /// What the same token has in every sledge of this version; `null` where there is none.
    pub mark: Option<u64>,
}

impl TokenDesk {
    /// `ask` is asked each time, because the token may change.
    #[must_use]
    pub fn new(ask: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask) }
    }

    pub(super) fn answer(&self, method: &Method) -> Response<Full<Bytes>> {
        match *method {
            Method::GET => done(Ok(TokenTold { mark: (self.ask)() })),
            _ => problem_of(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &"GET /token"),
        }
    }
}

impl fmt::Debug for TokenDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenDesk").finish_non_exhaustive()
    }
}
