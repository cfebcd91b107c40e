//! The stream of a client that speaks HTTP.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::http_connection::plain_only;
use super::received::Received;

/// How long written bytes may wait for the other end. Answers are small, so that only an end that has stopped reading,
/// with answers piled up, meets this; it must not hold a place for ever.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Gives the bytes again that were read to find out how the client speaks, then the rest of the stream, and counts what it
/// gives. Fails where the client takes nothing of what is written for too long.
#[derive(Debug)]
pub(super) struct ClientStream<S> {
    head: Bytes,
    stream: S,
    received: Arc<Received>,
    waiting: Option<Pin<Box<Sleep>>>,
    is_ending: bool,
}

impl<S> ClientStream<S> {
    /// `head` came before what `stream` still holds. `received` is told of every byte that is read.
    pub(super) fn new(head: Bytes, stream: S, received: Arc<Received>) -> Self {
        Self { head, stream, received, waiting: None, is_ending: false }
    }

    /// What a write came to: one that waits may do so for a while.
    fn within_the_wait<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(WAIT_MAX)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.head.is_empty() {
            std::task::ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let head = self.head.get(..self.head.len().min(buffer.remaining())).unwrap_or_default();
            buffer.put_slice(head);
            let given = buffer.filled().len() - before;
            self.head.advance(given);
        }
        self.received.add(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within_the_wait(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.within_the_wait(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever serves this finds no request in TLS, and ends it without a word. Nothing was written yet, so that there is
        // room for a few; where there is none they are left out.
        if self.received.is_tls() && !std::mem::replace(&mut self.is_ending, true) {
            drop(Pin::new(&mut self.stream).poll_write(context, &plain_only()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_first_bytes_come_again_and_all_are_counted() {
        let received = Arc::new(Received::default());
        let head = Bytes::from_static(b"POST /v1");
        let mut stream = ClientStream::new(head, b"/events".as_slice(), received.clone());
        let mut three = [0; 3];
        stream.read_exact(&mut three).await.unwrap();
        assert_eq!(&three, b"POS");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "T /v1/events");
        assert_eq!(received.bytes(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut stream = ClientStream::new(Bytes::new(), ours, Arc::default());
        stream.write_all(b"12345678").await.unwrap();
        let slow = async {
            tokio::time::sleep(WAIT_MAX - Duration::from_secs(1)).await;
            theirs.read_exact(&mut [0; 8]).await.unwrap();
        };
        let (written, ()) = tokio::join!(stream.write_all(b"12345678"), slow);
        written.unwrap();
        let given_up = stream.write_all(b"1").await.unwrap_err();
        assert_eq!(given_up.kind(), io::ErrorKind::TimedOut);
    }
}
