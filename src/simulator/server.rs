//! Connections: accepted, owned, drained.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::reply::Reply;
use super::service::{self, Answer};
use super::simulator::Simulator;

/// Connections beyond this wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// How long requests in flight may take to be answered at shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// The pause after an error of `accept` that may pass, such as running out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The connection is to be closed without (more of) an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut on purpose")]
struct CutOnPurpose;

pub(super) async fn serve(
    simulator: &Simulator,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut shutdown = pin!(shutdown);
    let (drain, draining) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(simulator.clone(), stream, draining.clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    drain.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

async fn connection(simulator: Simulator, stream: TcpStream, mut draining: watch::Receiver<bool>) {
    // Small answers must not wait for the peer's delayed acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let answer = service_fn(|request| respond(&simulator, request));
    let mut connection = pin!(
        http1::Builder::new()
            // A peer that hangs up has sent its request all the same: Polar finishes it, and so does this.
            .half_close(true)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), answer)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = draining.wait_for(|draining| *draining) => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        // Whether the peer saw it end well is the peer's business.
        drop(connection.await);
    }
}

async fn respond(
    simulator: &Simulator,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, CutOnPurpose>>, CutOnPurpose> {
    match service::answer(simulator, request).await {
        Answer::Whole { reply, date } => {
            let length = reply.body.len();
            let body =
                Full::new(reply.body.clone()).map_err(|never: Infallible| match never {}).boxed_unsync();
            Ok(response(&reply, &date, length, body))
        }
        Answer::Half { reply, date } => {
            let length = reply.body.len();
            let half = reply.body.slice(..length / 2);
            Ok(response(&reply, &date, length.max(1), cut_after(half)))
        }
        Answer::None => Err(CutOnPurpose),
    }
}

/// The first half of a body, and then the end of the connection.
fn cut_after(half: Bytes) -> UnsyncBoxBody<Bytes, CutOnPurpose> {
    let frames = futures_util::stream::unfold(Some(half), |half| async {
        match half {
            Some(half) => Some((Ok(Frame::data(half)), None)),
            None => {
                // Lets the first half reach the peer before the connection goes.
                tokio::task::yield_now().await;
                Some((Err(CutOnPurpose), None))
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

fn response(
    reply: &Reply,
    date: &str,
    length: usize,
    body: UnsyncBoxBody<Bytes, CutOnPurpose>,
) -> Response<UnsyncBoxBody<Bytes, CutOnPurpose>> {
    let mut builder =
        Response::builder().status(reply.status).header("date", date).header("content-length", length);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    builder
        .body(body)
        .unwrap_or_else(|_| Response::new(Full::default().map_err(|never| match never {}).boxed_unsync()))
}
