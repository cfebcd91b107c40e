//! Forwarding itself: bounded, counted, never repeated.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::header::UPGRADE;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::outcome;
use super::passing_headers;
use super::refusal::Refusal;
use super::settings::Settings;
use super::target::Target;
use crate::metrics::Metrics;
use crate::polar::{Relay, RelayedBody};
use crate::protocol::HttpReply;

type Count = dyn Fn() + Send + Sync;

/// Answers requests for Polar with Polar's answers. Clones share its limits.
#[derive(Clone)]
pub struct Forward {
    shared: Arc<Shared>,
}

struct Shared {
    relay: Relay,
    settings: Settings,
    /// One for each request that may be under way.
    places: Arc<Semaphore>,
    metrics: Metrics,
    /// Told of every request that leaves: it comes out of the budget that delivery keeps.
    count: Box<Count>,
}

impl Forward {
    /// Forwarding over this way; `count` is called for every request that leaves.
    #[must_use]
    pub fn new(
        settings: Settings,
        relay: Relay,
        metrics: Metrics,
        count: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        metrics.may_forward(&outcome::ALL);
        let places = Arc::new(Semaphore::new(settings.in_flight_max.min(Semaphore::MAX_PERMITS)));
        Self { shared: Arc::new(Shared { relay, settings, places, metrics, count: Box::new(count) }) }
    }

    /// Answers one request: with what Polar says, or with why there is no answer of Polar's.
    ///
    /// # Errors
    /// The answer that sledge gives in Polar's place.
    pub async fn answer(&self, request: Request<RelayedBody>) -> Result<Response<RelayedBody>, HttpReply> {
        let answered = self.hand_on(request).await;
        let became = match &answered {
            Ok(response) => outcome::of_status(response.status()),
            Err(refusal) => outcome::of_refusal(refusal),
        };
        self.shared.metrics.forwarded(became);
        answered.map_err(Refusal::reply)
    }

    async fn hand_on(&self, request: Request<RelayedBody>) -> Result<Response<RelayedBody>, Refusal> {
        let (parts, body) = request.into_parts();
        let target = target(&parts)?;
        // Before the body is read, so that places bound what is in memory.
        let place = Arc::clone(&self.shared.places).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        let body = self.receive(body).await?;
        (self.shared.count)();
        let headers = passing_headers::to_polar(&parts.headers);
        let query = target.query.as_deref();
        let relayed = self.shared.relay.carry(parts.method, &target.path, query, headers, body).await?;
        // The place is held until the last of the answer has been handed back.
        let body = relayed.body.map_frame(move |frame| {
            let _held = &place;
            frame
        });
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = relayed.status;
        *response.headers_mut() = passing_headers::from_polar(&relayed.headers);
        Ok(response)
    }

    /// The whole body: Polar wants to know its length.
    async fn receive(&self, body: RelayedBody) -> Result<Bytes, Refusal> {
        let Settings { body_bytes_max, body_timeout, .. } = self.shared.settings;
        let whole = timeout(body_timeout, Limited::new(body, body_bytes_max).collect()).await;
        match whole.map_err(|_| Refusal::LateBody)? {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { body_bytes_max }),
            Err(_) => Err(Refusal::IncompleteBody),
        }
    }
}

/// Where a request goes, if its head is one that may go anywhere.
fn target(parts: &Parts) -> Result<Target, Refusal> {
    if parts.headers.contains_key(UPGRADE) {
        return Err(Refusal::Upgrade);
    }
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::Method);
    }
    Target::of(&parts.uri).ok_or(Refusal::AmbiguousPath)
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
