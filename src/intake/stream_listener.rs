//! The Unix stream socket: accepts connections, finds out how each speaks, and sees all of them to their end.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{self, Instant};

use super::admission::Admission;
use super::alarm::Alarm;
use super::drain::Drain;
use super::http_service::{Bodies, HttpService};
use super::ndjson_acks::write_all;
use super::ndjson_connection::end_writing;
use super::settings::Settings;
use super::{http_connection, ndjson_connection};
use crate::metrics::Listener;
use crate::protocol::{Acks, Fault, Frames, HttpReply, Speech};

/// How long accepting rests after it failed: usually there are no descriptors left, and asking again at once would
/// only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections over the limit that are still being told so. Those beyond are closed without a word.
const TURNED_AWAY_MAX: usize = 64;
/// How long a connection over the limit may take to show how it speaks.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_secs(1);
/// The first read of a connection.
const FIRST_READ_BYTES: usize = 16 << 10;

/// Listens on a Unix stream socket.
#[derive(Debug)]
pub struct StreamListener {
    socket: UnixListener,
    admission: Admission,
    bodies: Bodies,
    over_limit: Alarm,
}

/// What a connection's task was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    Sender,
    TurnedAway,
}

impl StreamListener {
    /// A listener on a socket that is bound already; its limits are the admission's.
    #[must_use]
    pub fn new(socket: UnixListener, admission: Admission) -> Self {
        let bodies_bytes_max = admission.settings().bodies_bytes_max;
        let bodies = Arc::new(Semaphore::new(bodies_bytes_max.min(Semaphore::MAX_PERMITS)));
        Self { socket, admission, bodies, over_limit: Alarm::default() }
    }

    /// Serves until `drain` turns true (or its sender is gone), and then until every connection has had its answers:
    /// who stood in line is still accepted, what was written is still read, nothing new is. Dropping the future ends
    /// everything at once; what was acknowledged is safe.
    pub async fn run(self, drain: watch::Receiver<bool>) {
        let mut drain = Drain::new(drain);
        let mut connections = Connections::default();
        loop {
            tokio::select! {
                biased;
                () = drain.begun() => break,
                Some(ended) = connections.tasks.join_next() => connections.forget(ended),
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, _)) => self.serve(stream, &mut connections, &drain),
                    Err(error) => {
                        tracing::error!(%error, "failed to accept a connection; if descriptors ran out, raise the \
                                                 limit of open files or lower connections_max");
                        time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        while let Some(stream) = self.accept_waiting().await {
            self.serve(stream, &mut connections, &drain);
        }
        drop(self.socket);
        while let Some(ended) = connections.tasks.join_next().await {
            connections.forget(ended);
        }
    }

    /// A connection that is waiting to be accepted right now.
    async fn accept_waiting(&self) -> Option<UnixStream> {
        let at_once = poll_fn(|context| match self.socket.poll_accept(context) {
            Poll::Ready(Ok((stream, _))) => Poll::Ready(Some(stream)),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
        });
        tokio::task::unconstrained(at_once).await
    }

    fn serve(&self, stream: UnixStream, connections: &mut Connections, drain: &Drain) {
        let settings = self.admission.settings();
        let connections_max = settings.connections_max;
        if connections.senders < connections_max {
            connections.senders += 1;
            let (admission, bodies) = (self.admission.clone(), self.bodies.clone());
            let drain = drain.clone();
            connections.tasks.spawn(async move {
                serve_sender(stream, admission, bodies, settings, drain).await;
                Served::Sender
            });
            return;
        }
        if let Some(refused) = self.over_limit.ring(1, Instant::now()) {
            tracing::warn!(
                refused,
                connections_max,
                "connections were refused; reuse connections or raise connections_max"
            );
        }
        if connections.turned_away() < TURNED_AWAY_MAX {
            connections.tasks.spawn(async move {
                // It may have gone, or say nothing: then there is nobody to tell.
                drop(time::timeout(TURN_AWAY_TIMEOUT, turn_away(stream, connections_max)).await);
                Served::TurnedAway
            });
        }
    }
}

/// The tasks of a listener, and how many of them are senders'.
#[derive(Debug, Default)]
struct Connections {
    tasks: JoinSet<Served>,
    senders: usize,
}

impl Connections {
    fn turned_away(&self) -> usize {
        self.tasks.len().saturating_sub(self.senders)
    }

    fn forget(&mut self, ended: Result<Served, JoinError>) {
        match ended {
            Ok(Served::Sender) => self.senders = self.senders.saturating_sub(1),
            Ok(Served::TurnedAway) => {}
            Err(error) => {
                self.senders = self.senders.saturating_sub(1);
                tracing::error!(%error, "a connection's task panicked; its sender was cut off without answers");
            }
        }
    }
}

/// Finds out how the connection speaks, and serves it so.
async fn serve_sender(
    stream: UnixStream,
    admission: Admission,
    bodies: Bodies,
    settings: Arc<Settings>,
    mut drain: Drain,
) {
    let mut frames = Frames::new(settings.frame_bytes_max);
    let first_byte = tokio::select! {
        biased;
        first_byte = read_first(&stream, &mut frames) => first_byte,
        // What was written until now is still taken; the sender's next write fails, so that he knows.
        () = drain.begun() => match end_writing(&stream) {
            Ok(()) => read_first(&stream, &mut frames).await,
            Err(error) => Err(error),
        },
    };
    let Ok(Some(first_byte)) = first_byte else {
        return;
    };
    match Speech::of_first_byte(first_byte) {
        Speech::Ndjson => ndjson_connection::serve(stream, frames, admission, &settings, drain).await,
        Speech::Http => {
            let head = Bytes::from(frames.into_unread());
            let service = HttpService::new(Listener::Http, admission, bodies, settings.clone());
            http_connection::serve(head, stream, service, &settings, drain).await;
        }
    }
}

/// Reads until there is a first byte; `None` at the end of the stream.
async fn read_first(stream: &UnixStream, frames: &mut Frames) -> io::Result<Option<u8>> {
    loop {
        match stream.try_read_buf(&mut frames.space(FIRST_READ_BYTES).limit(FIRST_READ_BYTES)) {
            Ok(_) => return Ok(frames.first_byte()),
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
    let Some(first_byte) = read_first(&stream, &mut frames).await? else {
        return Ok(());
    };
    match Speech::of_first_byte(first_byte) {
        Speech::Ndjson => {
            let mut acks = Acks::new();
            acks.refused(&fault);
            write_all(&stream, acks.as_bytes()).await
        }
        Speech::Http => {
            let reply = HttpReply::unavailable(&fault, 1);
            let head = format!(
                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 retry-after: 1\r\nconnection: close\r\n\r\n",
                reply.body.len()
            );
            write_all(&stream, &[head.into_bytes(), reply.body].concat()).await
        }
    }
}
