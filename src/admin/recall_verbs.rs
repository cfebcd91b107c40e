//! The past over HTTP, on the admin socket only: whoever may open that file may look it up and send it again.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::json_answer::{done, not_found, problem_of, read};
use super::recall_desk::RecallDesk;
use crate::journal::{AppendError, Span};

/// Where an event is explained.
pub(super) const EXPLAIN: &str = "/explain";
/// Where the past is sent again. It takes its time.
pub(super) const REPLAY: &str = "/replay";

/// The event that is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainAsked {
    /// Its `external_id`.
    pub external_id: String,
}

/// What is to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayAsked {
    /// What was delivered in this span.
    #[serde(flatten)]
    pub span: Span,
    /// Whether it is only to be counted.
    #[serde(default)]
    pub dry_run: bool,
}

/// Answers a request for [`EXPLAIN`] or [`REPLAY`].
pub(super) async fn answer<B>(request: Request<B>, desk: &RecallDesk) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    match (&head.method, head.uri.path()) {
        (&Method::POST, EXPLAIN) => match read::<ExplainAsked, B>(body).await {
            Ok(asked) => done(desk.explain(asked.external_id).await.map_err(AppendError::from)),
            Err(refusal) => refusal,
        },
        (&Method::POST, REPLAY) => match read::<ReplayAsked, B>(body).await {
            Ok(asked) => done(desk.replay(asked.span, asked.dry_run).await.map_err(AppendError::from)),
            Err(refusal) => refusal,
        },
        (&Method::GET, REPLAY) => match desk.progress() {
            Some(progress) => done(Ok(progress)),
            None => not_found(&"no replay goes on now"),
        },
        _ => problem_of(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            &"POST /explain; POST /replay, and GET /replay to see how far it is",
        ),
    }
}
