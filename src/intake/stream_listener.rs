//! The Unix stream socket: accepts connections, finds out how each speaks, and sees all of them to their end.

use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::admission::Admission;
use super::connections::{Connections, accept_waiting, rest_after};
use super::drain::Drain;
use super::foreign_tokens::ForeignTokens;
use super::http_service::{HttpService, HttpSide};
use super::ndjson_acks::write_all;
use super::ndjson_connection::end_writing;
use super::onward::Onward;
use super::{http_connection, ndjson_connection};
use crate::journal::PendingUnits;
use crate::metrics::Listener;
use crate::protocol::{Acks, Fault, Frames, Speech};

/// The first read of a connection.
const FIRST_READ_BYTES: usize = 16 << 10;

/// Listens on a Unix stream socket.
#[derive(Debug)]
pub struct StreamListener {
    socket: UnixListener,
    side: HttpSide,
}

impl StreamListener {
    /// A listener on a socket that is bound already; its limits are the admission's.
    #[must_use]
    pub fn new(socket: UnixListener, admission: Admission) -> Self {
        Self { socket, side: HttpSide::new(Listener::Http, admission) }
    }

    /// Notices requests that carry another token of Polar than ours.
    #[must_use]
    pub fn noticing(mut self, tokens: Option<Arc<ForeignTokens>>) -> Self {
        self.side.tokens = tokens;
        self
    }

    /// Tells what customers have pending, where that is counted.
    #[must_use]
    pub fn telling(mut self, pending: Option<PendingUnits>) -> Self {
        self.side.pending = pending;
        self
    }

    /// Hands requests that are Polar's affair on this way.
    #[must_use]
    pub fn handing(mut self, onward: Option<Onward>) -> Self {
        self.side.onward = onward;
        self
    }

    /// Serves until `drain` turns true (or its sender is gone), and then until every connection has had its answers:
    /// who stood in line is still accepted, what was written is still read, nothing new is. Dropping the future ends
    /// everything at once; what was acknowledged is safe.
    pub async fn run(self, drain: watch::Receiver<bool>) {
        let mut drain = Drain::new(drain);
        let side = Arc::new(self.side);
        let mut connections = Connections::new("connections_max");
        loop {
            tokio::select! {
                biased;
                () = drain.begun() => break,
                Some(()) = connections.next_end() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, _)) => serve(stream, &mut connections, &side, &drain),
                    Err(error) => rest_after(error).await,
                },
            }
        }
        while let Some((stream, _)) = accept_waiting(|context| self.socket.poll_accept(context)).await {
            serve(stream, &mut connections, &side, &drain);
        }
        drop(self.socket);
        while connections.next_end().await.is_some() {}
    }
}

fn serve(stream: UnixStream, connections: &mut Connections, side: &Arc<HttpSide>, drain: &Drain) {
    let connections_max = side.admission.settings().connections_max;
    connections.take(
        stream,
        connections_max,
        |stream| serve_sender(stream, side.clone(), drain.clone()),
        |stream| turn_away(stream, connections_max),
    );
}

/// Finds out how the connection speaks, and serves it so.
pub(super) async fn serve_sender(stream: UnixStream, side: Arc<HttpSide>, mut drain: Drain) {
    let settings = side.admission.settings();
    let mut frames = Frames::new(settings.frame_bytes_max);
    let speech = tokio::select! {
        biased;
        speech = read_first(&stream, &mut frames) => speech,
        // What was written until now is still taken; the sender's next write fails, so that he knows.
        () = drain.begun() => match end_writing(&stream) {
            Ok(()) => read_first(&stream, &mut frames).await,
            Err(error) => Err(error),
        },
    };
    let Ok(Some(speech)) = speech else {
        return;
    };
    match speech {
        Speech::Ndjson => {
            let admission = side.admission.clone();
            ndjson_connection::serve(stream, frames, admission, &settings, drain).await;
        }
        Speech::Http => {
            let head = Bytes::from(frames.into_unread());
            http_connection::serve(head, stream, HttpService::new(side, drain.clone()), &settings, drain)
                .await;
        }
    }
}

/// Reads until there is something that tells how the other end speaks; `None` at the end of the stream.
async fn read_first(stream: &UnixStream, frames: &mut Frames) -> io::Result<Option<Speech>> {
    loop {
        match stream.try_read_buf(&mut frames.space(FIRST_READ_BYTES).limit(FIRST_READ_BYTES)) {
            Ok(_) => {
                let start = frames.unread();
                return Ok((!start.is_empty()).then(|| Speech::of_start(start)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                frames.rest();
                stream.readable().await?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Tells a connection over the limit so, in its own way to speak.
async fn turn_away(stream: UnixStream, connections_max: usize) -> io::Result<()> {
    let fault = Fault::too_many_connections(connections_max);
    let mut frames = Frames::new(FIRST_READ_BYTES);
    let Some(speech) = read_first(&stream, &mut frames).await? else {
        return Ok(());
    };
    match speech {
        Speech::Ndjson => {
            let mut acks = Acks::new();
            acks.refused(&fault);
            write_all(&stream, acks.as_bytes()).await
        }
        Speech::Http => write_all(&stream, &http_connection::unavailable(&fault)).await,
    }
}
