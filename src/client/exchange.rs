//! One HTTP request over a connection of its own, for whoever looks in at the daemon.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends the request and reads the answer, of so many bytes at most. The caller sets the time limit.
///
/// # Errors
/// What went wrong, in words.
pub async fn exchange<T>(
    stream: T,
    request: Request<Full<Bytes>>,
    body_bytes_max: usize,
) -> Result<(StatusCode, Bytes), String>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), body_bytes_max).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        answered = &mut answer => answered,
        // The connection may be through with its work before the answer is.
        _ = &mut connection => answer.await,
    }
}
