//! Where the dead letters are: behind the socket of a sledge that runs, or in a journal that nobody has open. Both
//! ways lead to the same desk, so both give the same answers.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::dead_letters::PlaceArgs;
use super::exit::Exit;
use super::failure::Failure;
use crate::admin::{Dropped, Imported, LetterDesk, Letters, Numbers, Problem};
use crate::clock::Clock;
use crate::config::Config;
use crate::journal::{
    AppendError, DeadLetter, Journal, KeptLetter, LetterNumber, LetterPage, OpenError, Retried, Settings,
};
use crate::metrics::Metrics;
use crate::telemetry;

/// A page is about a mebibyte of texts, which JSON may make several times longer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A retry waits for the disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// The dead letters of one sledge.
#[derive(Debug)]
pub(super) enum LetterBox {
    /// It runs, and this is its admin socket.
    Online(PathBuf),
    /// It does not; its journal is open here meanwhile.
    Offline(Box<Journal>, LetterDesk),
}

impl LetterBox {
    /// Asks the sledge that runs; without one, opens its journal.
    pub(super) async fn open(place: &PlaceArgs, no_color: bool) -> Result<Self, Failure> {
        let config = place.read()?;
        let socket = config.admin_socket.clone();
        match UnixStream::connect(&socket).await {
            Ok(_) => Ok(Self::Online(socket)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                open_journal(config, no_color).await
            }
            Err(error) => Err(Failure::new(
                Exit::Unavailable,
                format!(
                    "failed to connect to {}: {error}; run this as the user sledge runs as",
                    socket.display()
                ),
            )),
        }
    }

    /// Letters numbered `from` and up.
    pub(super) async fn page(&mut self, from: LetterNumber) -> Result<LetterPage, Failure> {
        const LETTERS: usize = 1_000;
        match self {
            Self::Online(socket) => {
                let path = format!("/dead-letters?from={from}&limit={LETTERS}");
                ask(socket, Method::GET, &path, Bytes::new()).await.map_err(Failure::from)
            }
            Self::Offline(_, desk) => desk.page(from, LETTERS).await.map_err(|error| not_done(&error.into())),
        }
    }

    /// One letter.
    pub(super) async fn get(&mut self, number: LetterNumber) -> Result<Option<KeptLetter>, Failure> {
        match self {
            Self::Online(socket) => {
                let path = format!("/dead-letters/{number}");
                match ask(socket, Method::GET, &path, Bytes::new()).await {
                    Ok(letter) => Ok(Some(letter)),
                    Err(Unanswered::NotFound) => Ok(None),
                    Err(other) => Err(other.into()),
                }
            }
            Self::Offline(_, desk) => desk.get(number).await.map_err(|error| not_done(&error.into())),
        }
    }

    /// Sends letters on their way again.
    pub(super) async fn retry(&mut self, numbers: &[LetterNumber]) -> Result<Retried, Failure> {
        match self {
            Self::Online(socket) => post(socket, "retry", &Numbers { numbers: numbers.to_vec() }).await,
            Self::Offline(_, desk) => desk.retry(numbers).await.map_err(|error| not_done(&error)),
        }
    }

    /// Takes letters out for good.
    pub(super) async fn discard(&mut self, numbers: &[LetterNumber]) -> Result<Dropped, Failure> {
        match self {
            Self::Online(socket) => post(socket, "drop", &Numbers { numbers: numbers.to_vec() }).await,
            Self::Offline(_, desk) => desk.discard(numbers).await.map_err(|error| not_done(&error.into())),
        }
    }

    /// Keeps letters from an export.
    pub(super) async fn import(&mut self, letters: Vec<DeadLetter>) -> Result<Imported, Failure> {
        match self {
            Self::Online(socket) => post(socket, "import", &Letters { letters }).await,
            Self::Offline(_, desk) => desk.import(letters).await.map_err(|error| not_done(&error)),
        }
    }

    /// Closes the journal, where it was opened here.
    pub(super) async fn close(self) -> Result<(), Failure> {
        match self {
            Self::Online(_) => Ok(()),
            Self::Offline(journal, _) => journal.close().await.map_err(|error| Failure::of(Exit::Io, &error)),
        }
    }
}

/// The journal said no, here or there.
pub(super) fn not_done(error: &AppendError) -> Failure {
    Failure::new(Exit::Temporary, error.to_string())
}

async fn open_journal(config: Config, no_color: bool) -> Result<LetterBox, Failure> {
    let (folder, socket) = (config.journal.folder.clone(), config.admin_socket.clone());
    let Ok(metadata) = std::fs::metadata(&folder) else {
        let message = format!(
            "no sledge answers at {}, and there is no journal in {}; name its data folder with --data-dir, and run this as the user sledge runs as",
            socket.display(),
            config.data_dir.display()
        );
        return Err(Failure::new(Exit::Unavailable, message));
    };
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != me {
        // What root would leave there, sledge itself could not open any more.
        let message = format!(
            "sledge does not run, and its journal in {} belongs to user {owner}; run this as that user (sudo -u '#{owner}' sledge …)",
            folder.display()
        );
        return Err(Failure::new(Exit::Unavailable, message));
    }
    // Whatever the journal finds wrong with itself on the way is told.
    let mut log = telemetry::Settings::for_stderr(no_color);
    log.filter = "error".to_owned();
    telemetry::init(&log)?;
    let metrics = Metrics::new().map_err(|error| Failure::of(Exit::Unavailable, &error))?;
    let settings = settings(config.journal);
    let opening =
        tokio::task::spawn_blocking(move || Journal::open(&settings, Clock::system(), metrics)).await;
    let opened = opening.map_err(|error| Failure::of(Exit::Io, &error))?;
    let journal = opened.map_err(|error| not_opened(&error, &socket))?;
    let desk = LetterDesk::new(journal.dead_letters(), watch::channel(config.rules).1);
    Ok(LetterBox::Offline(Box::new(journal), desk))
}

/// What was kept for a replay stays, however much it is: the daemon may have been told otherwise than we are.
fn settings(configured: Settings) -> Settings {
    Settings {
        retention: Duration::MAX,
        retention_bytes_max: u64::MAX,
        journal_bytes_max: u64::MAX,
        ..configured
    }
}

fn not_opened(error: &OpenError, socket: &Path) -> Failure {
    match error {
        OpenError::InUse { owner, .. } => Failure::new(
            Exit::Temporary,
            format!(
                "{owner} has the journal, but nothing answers at {}; it may be starting or stopping, so try again in a moment, or name its admin socket with --admin-socket",
                socket.display()
            ),
        ),
        OpenError::DiskFull { .. } => Failure::of(Exit::Temporary, error),
        OpenError::Damaged { .. }
        | OpenError::NewerFormat { .. }
        | OpenError::SyncNotReal { .. }
        | OpenError::Io { .. } => Failure::of(Exit::Io, error),
    }
}

/// Why a question got no answer.
pub(super) enum Unanswered {
    /// The letter asked for is not there.
    NotFound,
    Failed(Failure),
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotFound => Self::new(Exit::Finding, "it is not there"),
            Unanswered::Failed(failure) => failure,
        }
    }
}

async fn post<T: DeserializeOwned>(socket: &Path, verb: &str, asked: &impl Serialize) -> Result<T, Failure> {
    let body = serde_json::to_vec(asked).map_err(|error| Failure::of(Exit::Io, &error))?;
    ask(socket, Method::POST, &format!("/dead-letters/{verb}"), body.into()).await.map_err(Failure::from)
}

pub(super) async fn ask<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<T, Unanswered> {
    let lost = |problem: String| {
        let message = format!(
            "the connection to {} failed ({problem}); what was done, if anything, is on disk, and doing it again is safe",
            socket.display()
        );
        Unanswered::Failed(Failure::new(Exit::Temporary, message))
    };
    let answered = timeout(ANSWER_TIMEOUT, exchange(socket, method, path, body)).await;
    let (status, body) = answered.map_err(|_| lost("no answer within 120 s".to_owned()))?.map_err(lost)?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body).map_err(|error| lost(error.to_string())),
        StatusCode::NOT_FOUND => Err(Unanswered::NotFound),
        _ => {
            let problem: Option<Problem> = serde_json::from_slice(&body).ok();
            let message = problem.map_or_else(|| format!("sledge answered {status}"), |it| it.error.message);
            let exit = if status == StatusCode::SERVICE_UNAVAILABLE { Exit::Temporary } else { Exit::Usage };
            Err(Unanswered::Failed(Failure::new(exit, message)))
        }
    }
}

/// One request over a connection of its own.
async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
    let request = Request::builder().method(method).uri(path).header(HOST, "localhost");
    let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body));
    let request = request.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        answered = &mut answer => answered,
        // The connection may be through with its work before the answer is.
        _ = &mut connection => answer.await,
    }
}
