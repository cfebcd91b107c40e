//! A connection that speaks HTTP/1.1.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::client_stream::ClientStream;
use super::drain::Drain;
use super::header_timer::HeaderTimer;
use super::http_service::HttpService;
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
    let received = Arc::new(AtomicU64::new(0));
    let stream = TokioIo::new(ClientStream::new(head, stream, received.clone()));
    let service = Arc::new(service);
    let asked = service.clone();
    let answer = service_fn(|request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(HeaderTimer::new(received))
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
            asked.count_refused(FaultCode::MalformedHttp);
        }
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

/// The whole answer to a connection that is not served.
pub(super) fn unavailable(fault: &Fault<'_>) -> Vec<u8> {
    let reply = HttpReply::unavailable(fault, 1);
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n",
        reply.body.len()
    );
    [head.into_bytes(), reply.body].concat()
}
