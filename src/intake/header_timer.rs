//! The time limit on half-received HTTP headers.
//!
//! The HTTP server starts its header time as soon as it waits for a request, which would close every keep-alive
//! connection that stays quiet for a while. This timer starts when the first byte of the request arrives.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

use super::received::Received;

/// The timer of one connection, which shares `received` with its stream.
#[derive(Clone, Debug)]
pub(super) struct HeaderTimer {
    received: Arc<Received>,
}

impl HeaderTimer {
    pub(super) fn new(received: Arc<Received>) -> Self {
        Self { received }
    }
}

impl Timer for HeaderTimer {
    fn sleep(&self, limit: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeaderSleep {
            limit,
            received: self.received.clone(),
            received_before: self.received.bytes(),
            running: None,
        })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// Ends `limit` after the first byte, and never while none has come. It is polled after each read of the connection,
/// so it needs no waker until it runs.
struct HeaderSleep {
    limit: Duration,
    received: Arc<Received>,
    received_before: u64,
    running: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Sleep for HeaderSleep {}

impl Future for HeaderSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.running.is_none() && self.received.bytes() == self.received_before {
            return Poll::Pending;
        }
        let limit = self.limit;
        self.running.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit))).as_mut().poll(context)
    }
}
