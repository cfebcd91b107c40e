//! What every verb of the admin socket is asked and answered in: JSON.

use std::fmt::Display;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answer::{JSON, respond};
use crate::journal::AppendError;

/// A body may hold the largest event there can be, as text inside JSON, several times over.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Why a request was not done, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong.
    pub error: ProblemDetail,
}

/// The words of a [`Problem`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetail {
    /// A stable code.
    pub code: String,
    /// What it means and what to do.
    pub message: String,
}

pub(super) async fn read<T: DeserializeOwned, B>(body: B) -> Result<T, Response<Full<Bytes>>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| {
        let message = "the body is larger than 16 MiB, or was cut; send less at once";
        problem_of(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &message)
    })?;
    // Where it went wrong is told without what stood there: that may be a customer's.
    serde_json::from_slice(&body.to_bytes()).map_err(|error| {
        let message = format!(
            "the body is not what is asked for (line {}, column {}); see docs/dead-letters.md and docs/delivered.md",
            error.line(),
            error.column()
        );
        problem_of(StatusCode::BAD_REQUEST, "bad_body", &message)
    })
}

pub(super) fn done<T: Serialize>(result: Result<T, AppendError>) -> Response<Full<Bytes>> {
    match result {
        Ok(value) => json(StatusCode::OK, &value),
        Err(error) => {
            let code = match &error {
                AppendError::Busy => "busy",
                AppendError::Full { .. } => "journal_full",
                AppendError::Journal(_) => "journal_closed",
            };
            problem_of(StatusCode::SERVICE_UNAVAILABLE, code, &error)
        }
    }
}

pub(super) fn not_found(message: &dyn Display) -> Response<Full<Bytes>> {
    problem_of(StatusCode::NOT_FOUND, "not_found", message)
}

pub(super) fn problem_of(status: StatusCode, code: &str, message: &dyn Display) -> Response<Full<Bytes>> {
    let error = ProblemDetail { code: code.to_owned(), message: message.to_string() };
    json(status, &Problem { error })
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(mut text) => {
            text.push(b'\n');
            respond(status, JSON, text)
        }
        Err(error) => super::answer::failed(&error),
    }
}
