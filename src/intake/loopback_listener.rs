//! The loopback TCP address: the HTTP side for SDKs that cannot use a Unix socket, behind a guard.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::admission::Admission;
use super::connections::{Connections, accept_waiting, rest_after};
use super::drain::Drain;
use super::foreign_tokens::ForeignTokens;
use super::http_connection;
use super::http_service::{HttpService, HttpSide};
use super::loopback_guard::LoopbackGuard;
use super::onward::Onward;
use crate::metrics::Listener;
use crate::protocol::Fault;

/// What is read of a connection that is not served, so that its close does not overtake the answer.
const TURNED_AWAY_READ_BYTES: usize = 16 << 10;

/// Listens on a loopback TCP address.
#[derive(Debug)]
pub struct LoopbackListener {
    socket: TcpListener,
    side: HttpSide,
}

impl LoopbackListener {
    /// A listener on a socket that is bound already, to a loopback address. Were it another one, whoever comes from
    /// another machine would be closed on all the same.
    #[must_use]
    pub fn new(socket: TcpListener, admission: Admission) -> Self {
        let mut side = HttpSide::new(Listener::Tcp, admission);
        side.guard = Some(LoopbackGuard::default());
        Self { socket, side }
    }

    /// Notices requests that carry another token of Polar than ours.
    #[must_use]
    pub fn noticing(mut self, tokens: Option<Arc<ForeignTokens>>) -> Self {
        self.side.tokens = tokens;
        self
    }

    /// Hands requests that are Polar's affair on this way.
    #[must_use]
    pub fn handing(mut self, onward: Option<Onward>) -> Self {
        self.side.onward = onward;
        self
    }

    /// Serves until `drain` turns true (or its sender is gone), and then until every request has had its answer.
    /// Dropping the future ends everything at once; what was acknowledged is safe.
    pub async fn run(self, drain: watch::Receiver<bool>) {
        let mut drain = Drain::new(drain);
        let side = Arc::new(self.side);
        let mut connections = Connections::new("http_connections_max");
        loop {
            tokio::select! {
                biased;
                () = drain.begun() => break,
                Some(()) = connections.next_end() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => serve(stream, peer, &mut connections, &side, &drain),
                    Err(error) => rest_after(error).await,
                },
            }
        }
        while let Some((stream, peer)) = accept_waiting(|context| self.socket.poll_accept(context)).await {
            serve(stream, peer, &mut connections, &side, &drain);
        }
        drop(self.socket);
        while connections.next_end().await.is_some() {}
    }
}

/// A peer from another machine comes only where a packet filter leads it here, as some set-ups of containers do: it is
/// closed on.
fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    connections: &mut Connections,
    side: &Arc<HttpSide>,
    drain: &Drain,
) {
    if !peer.ip().to_canonical().is_loopback() {
        tracing::debug!("a connection from another machine was closed");
        return;
    }
    // Answers are small and awaited; without this they would wait for more to be sent with. Failing costs only time.
    drop(stream.set_nodelay(true));
    let connections_max = side.admission.settings().http_connections_max;
    connections.take(
        stream,
        connections_max,
        |stream| {
            let (side, drain) = (side.clone(), drain.clone());
            async move {
                let settings = side.admission.settings();
                let service = HttpService::new(side, drain.clone());
                http_connection::serve(Bytes::new(), stream, service, &settings, drain).await;
            }
        },
        |stream| turn_away(stream, connections_max),
    );
}

async fn turn_away(mut stream: TcpStream, connections_max: usize) -> io::Result<()> {
    let mut request = vec![0; TURNED_AWAY_READ_BYTES];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    let fault = Fault::too_many_connections(connections_max);
    stream.write_all(&http_connection::unavailable(&fault)).await?;
    stream.shutdown().await
}
