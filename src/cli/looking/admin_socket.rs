//! Asking a sledge that runs, on its admin socket.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::admin::Problem;
use crate::cli::voice::{Exit, Failure};
use crate::client::exchange;
use crate::journal::AppendError;

/// A page is about a mebibyte of texts, which JSON may make several times longer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Most of what is asked waits for the disk at most.
pub(in crate::cli) const PATIENCE: Duration = Duration::from_secs(120);

/// The journal said no, here or there.
pub(in crate::cli) fn not_done(error: &AppendError) -> Failure {
    Failure::new(Exit::Temporary, error.to_string())
}

/// Why a question got no answer.
pub(in crate::cli) enum Unanswered {
    /// What was asked for is not there.
    NotFound,
    /// It went wrong.
    Failed(Failure),
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotFound => Self::new(Exit::Finding, "it is not there"),
            Unanswered::Failed(failure) => failure,
        }
    }
}

/// Has something done.
pub(in crate::cli) async fn post<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    asked: &impl Serialize,
    patience: Duration,
) -> Result<T, Failure> {
    let body = serde_json::to_vec(asked).map_err(|error| Failure::of(Exit::Io, &error))?;
    ask(socket, Method::POST, path, body.into(), patience).await.map_err(Failure::from)
}

/// Asks, and waits so long for an answer.
pub(in crate::cli) async fn ask<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
    patience: Duration,
) -> Result<T, Unanswered> {
    let lost = |problem: String| {
        let message = format!(
            "the connection to {} failed ({problem}); what was done, if anything, is on disk, and doing it again is safe",
            socket.display()
        );
        Unanswered::Failed(Failure::new(Exit::Temporary, message))
    };
    let answered = timeout(patience, request(socket, method, path, body)).await;
    let (status, body) =
        answered.map_err(|_| lost(format!("no answer within {} s", patience.as_secs())))?.map_err(lost)?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body).map_err(|error| lost(error.to_string())),
        StatusCode::NOT_FOUND => Err(Unanswered::NotFound),
        _ => {
            let problem: Option<Problem> = serde_json::from_slice(&body).ok();
            let message = problem.map_or_else(|| format!("sledge answered {status}"), |it| it.error.message);
            let exit = if status == StatusCode::SERVICE_UNAVAILABLE { Exit::Temporary } else { Exit::Usage };
            Err(Unanswered::Failed(Failure::new(exit, message)))
        }
    }
}

/// One request over a connection of its own.
async fn request(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
    let request = Request::builder().method(method).uri(path).header(HOST, "localhost");
    let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body));
    exchange(stream, request.map_err(|error| error.to_string())?, ANSWER_BYTES_MAX).await
}
