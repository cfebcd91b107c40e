//! Requests that are not for sledge but for Polar: handed to whoever carries them there.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Request, Response};

use super::drain::Drain;
use crate::protocol::HttpReply;

/// What an answer of Polar's may still take once the drain has begun. The listeners drain first, and every second they
/// take is one that delivery does not have.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

/// A body on its way, either way.
pub type Streamed = UnsyncBoxBody<Bytes, io::Error>;

type Answering = Pin<Box<dyn Future<Output = Result<Response<Streamed>, HttpReply>> + Send>>;
type HandOn = dyn Fn(Request<Streamed>) -> Answering + Send + Sync;

/// The way on to Polar for what is not intake. Clones share it.
#[derive(Clone)]
pub struct Onward {
    hand_on: Arc<HandOn>,
}

impl Onward {
    /// Whoever answers such requests. He is handed the head as it came and the body unread, and bounds both ways himself.
    #[must_use]
    pub fn new<F>(hand_on: impl Fn(Request<Streamed>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Response<Streamed>, HttpReply>> + Send + 'static,
    {
        Self { hand_on: Arc::new(move |request| Box::pin(hand_on(request))) }
    }

    /// The answer to one request; `None` when the drain leaves no time for it.
    pub(super) async fn answer(
        &self,
        request: Request<Streamed>,
        drain: &Drain,
    ) -> Option<Result<Response<Streamed>, HttpReply>> {
        let mut end = Box::pin(end_of_grace(drain.clone()));
        let answered = tokio::select! {
            biased;
            answered = (self.hand_on)(request) => answered,
            () = &mut end => return None,
        };
        Some(answered.map(|response| response.map(|body| Streamed::new(Until { body, end }))))
    }
}

impl fmt::Debug for Onward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Onward").finish_non_exhaustive()
    }
}

async fn end_of_grace(mut drain: Drain) {
    drain.begun().await;
    tokio::time::sleep(DRAIN_GRACE).await;
}

/// A body that breaks off when its time is over.
struct Until<E> {
    body: Streamed,
    end: Pin<Box<E>>,
}

impl<E: Future<Output = ()>> Body for Until<E> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(io::Error::other("sledge is stopping"))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
