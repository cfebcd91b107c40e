//! A connection that speaks HTTP/1.1.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::client_stream::ClientStream;
use super::drain::Drain;
use super::header_timer::HeaderTimer;
use super::http_service::HttpService;
use super::received::Received;
use super::settings::Settings;
use crate::protocol::{Fault, FaultCode, HttpReply};

/// The headers of a request, in bytes. Real ones stay below 2 KiB; this much is read ahead at most.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Serves one HTTP connection to its end; `head` was read from it already. When the drain begins, the request under
/// way is answered and the connection closed.
pub(super) async fn serve<S>(
    head: Bytes,
    stream: S,
    service: HttpService,
    settings: &Settings,
    mut drain: Drain,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let received = Arc::new(Received::default());
    let stream = TokioIo::new(ClientStream::new(head, stream, received.clone()));
    let service = Arc::new(service);
    let asked = service.clone();
    let answer = service_fn(|request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(HeaderTimer::new(received.clone()))
            .header_read_timeout(settings.header_timeout)
            .max_buf_size(HEADER_BYTES_MAX)
            .half_close(true)
            .pipeline_flush(true)
            .serve_connection(stream, answer)
    );
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = drain.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        if error.is_parse() {
            asked.count_no_request(received.is_tls());
        }
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

/// The whole answer to a connection that is not served.
pub(super) fn unavailable(fault: &Fault<'_>) -> Vec<u8> {
    whole("503 Service Unavailable\r\nretry-after: 1", &HttpReply::unavailable(fault, 1))
}

/// The whole answer to a connection that speaks TLS: its other end finds no TLS in it, and says so.
pub(super) fn plain_only() -> Vec<u8> {
    let detail = "TLS was spoken to a plain socket; use an address that begins with http://";
    whole("400 Bad Request", &HttpReply::error(FaultCode::TlsOnPlainSocket, detail))
}

/// An answer as it is written, with which the connection ends.
fn whole(status: &str, reply: &HttpReply) -> Vec<u8> {
    let length = reply.body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), &reply.body].concat()
}
