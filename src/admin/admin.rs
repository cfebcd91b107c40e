//! The HTTP server of the admin address, and of the admin socket.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::answer::answer;
use super::door::Door;
use super::import_desk::{self, ImportDesk};
use super::letter_desk::LetterDesk;
use super::letter_verbs;
use super::recall_desk::RecallDesk;
use super::recall_verbs;
use super::settings::Settings;
use super::token_desk::{self, TokenDesk};
use super::view::View;

/// After a failed accept (no descriptors left, mostly) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Once stopping, answers in the making may take this long.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// The largest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Answers whoever looks in.
#[derive(Debug)]
pub struct Admin {
    settings: Arc<Settings>,
    view: Arc<View>,
    desks: Option<Arc<Desks>>,
}

/// What can be done at the owner's own door.
#[derive(Debug)]
pub struct Desks {
    /// Looking after dead letters.
    pub letters: LetterDesk,
    /// Looking the past up, and sending it again.
    pub recall: RecallDesk,
    /// Taking in what another journal held.
    pub import: ImportDesk,
    /// Telling the daemon's token from others.
    pub token: TokenDesk,
}

impl Admin {
    /// An admin server that shows `view`, and through which nothing can be changed.
    #[must_use]
    pub fn new(settings: Settings, view: View) -> Self {
        Self { settings: Arc::new(settings), view: Arc::new(view), desks: None }
    }

    /// The same, with dead letters to be looked after, the past to be looked up and sent again, and exported events to be
    /// brought in: only for a door that nobody but the owner can open.
    #[must_use]
    pub fn with_desks(self, desks: Desks) -> Self {
        Self { desks: Some(Arc::new(desks)), ..self }
    }

    /// Serves until `shutdown` resolves. Connections carry one request each and are cut at their time limit, so
    /// none can hold a place for long.
    pub async fn serve<D: Door>(self, listener: D, shutdown: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.next(), if connections.len() < self.settings.connections_max => {
                    match accepted {
                        Ok(stream) => {
                            let (settings, view) = (self.settings.clone(), self.view.clone());
                            connections.spawn(connection(stream, settings, view, self.desks.clone()));
                        }
                        Err(error) => {
                            warn!(%error, "the admin address could not accept a connection");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
        drop(listener);
        let drained = timeout(STOP_GRACE, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            debug!("admin connections were still open and are cut");
        }
    }
}

async fn connection<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    settings: Arc<Settings>,
    view: Arc<View>,
    desks: Option<Arc<Desks>>,
) {
    let takes_its_time = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        let (view, settings, desks) = (&view, &settings, desks.as_ref());
        takes_its_time
            .store(desks.is_some() && request.uri().path() == recall_verbs::REPLAY, Ordering::Relaxed);
        async move {
            Ok::<_, Infallible>(match (desks, request.uri().path()) {
                (Some(desks), path) if path.starts_with(letter_verbs::PATH) => {
                    letter_verbs::answer(request, &desks.letters).await
                }
                (Some(desks), recall_verbs::EXPLAIN | recall_verbs::REPLAY) => {
                    recall_verbs::answer(request, &desks.recall).await
                }
                (Some(desks), token_desk::PATH) => desks.token.answer(request.method()),
                (Some(desks), import_desk::PATH) => import_desk::answer(request, &desks.import).await,
                _ => answer(&request, view, &settings.hosts),
            })
        }
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let limit = async {
        tokio::time::sleep(settings.connection_timeout).await;
        if takes_its_time.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                debug!(%error, "an admin connection ended early");
            }
        }
        () = limit => debug!("an admin connection reached its time limit"),
    }
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
