//! A connection to the daemon.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::ack::Ack;
use super::error::ClientError;
use super::group::allowed_group;
use crate::protocol::{Frame, Frames};

/// The first line: one ack for each event.
const HELLO: &[u8] = b"{\"sledge\":{\"ack\":\"each\"}}\n";
/// Replies are small; a message may quote a long field name.
const REPLY_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// How far a client goes ahead of the acks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Events that may be unanswered at once. Many share one sync, so a wide window is what makes acks cheap.
    pub window_events: usize,
    /// Bytes of events that may wait to be written.
    pub window_bytes: usize,
    /// How long an answer may take without any sign of life, in doubt from then on.
    pub answer_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window_events: 8192, window_bytes: 1 << 20, answer_timeout: Duration::from_secs(30) }
    }
}

/// A connection on which every event is acknowledged, in order, once it is on disk.
///
/// Sending runs ahead of the acks within a window; reading and writing share each wait, so that neither side can
/// stall the other.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    settings: Settings,
    unwritten: Vec<u8>,
    written: usize,
    frames: Frames,
    acks: VecDeque<Ack>,
    unanswered: usize,
    broken: bool,
}

impl Client {
    /// Connects with the default window.
    ///
    /// # Errors
    /// When nobody can be reached at `path`: which of the reasons, and what to do.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        Self::connect_with(path, Settings::default()).await
    }

    /// Connects with this window.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(path: &Path, settings: Settings) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).await.map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::NotFound => ClientError::NoSocket { path },
                io::ErrorKind::ConnectionRefused => match other_than_a_socket(&path) {
                    Some(what) => ClientError::NotASocket { path, what },
                    None => ClientError::NobodyListens { path },
                },
                io::ErrorKind::PermissionDenied => {
                    ClientError::NotAllowed { group: allowed_group(&path), path }
                }
                _ => ClientError::Connect { path, source },
            }
        })?;
        Ok(Self {
            stream,
            path: path.to_owned(),
            settings,
            unwritten: HELLO.to_vec(),
            written: 0,
            frames: Frames::new(REPLY_BYTES_MAX),
            acks: VecDeque::new(),
            unanswered: 0,
            broken: false,
        })
    }

    /// Sends one event (or grant), a JSON object on one line without its end. Returns when it is on its way within
    /// the window, not when it is acknowledged: its [`next_ack`](Self::next_ack) says that.
    ///
    /// # Errors
    /// When the text is no line, or the connection fails: this event was not sent, those unanswered are in doubt.
    pub async fn send(&mut self, event: &[u8]) -> Result<(), ClientError> {
        let event = event.trim_ascii();
        if event.is_empty() || event.contains(&b'\n') {
            return Err(ClientError::NotALine);
        }
        while self.unanswered >= self.settings.window_events || self.waiting() >= self.settings.window_bytes {
            self.step().await?;
        }
        self.unwritten.extend_from_slice(event);
        self.unwritten.push(b'\n');
        self.unanswered += 1;
        Ok(())
    }

    /// An ack that is here already, in the order the events were sent.
    pub fn ready_ack(&mut self) -> Option<Ack> {
        self.acks.pop_front()
    }

    /// The next ack in the order the events were sent; `None` when none is owed. Cancel-safe.
    ///
    /// # Errors
    /// When the connection fails or stays silent: the events without an ack are in doubt.
    pub async fn next_ack(&mut self) -> Result<Option<Ack>, ClientError> {
        loop {
            if let Some(ack) = self.acks.pop_front() {
                return Ok(Some(ack));
            }
            if self.unanswered == 0 {
                return Ok(None);
            }
            self.step().await?;
        }
    }

    /// Events sent whose acks have not come.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    fn waiting(&self) -> usize {
        self.unwritten.len() - self.written
    }

    /// Waits until the socket can do something, and does it.
    async fn step(&mut self) -> Result<(), ClientError> {
        let wants_to_write = self.waiting() > 0 && !self.broken;
        let interest =
            if wants_to_write { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let Ok(ready) = timeout(self.settings.answer_timeout, self.stream.ready(interest)).await else {
            let seconds = self.settings.answer_timeout.as_secs();
            return Err(ClientError::Silent { unanswered: self.unanswered, seconds });
        };
        let ready = ready.map_err(|_| self.lost())?;
        if wants_to_write && ready.is_writable() {
            self.write();
        }
        if ready.is_readable() { self.read() } else { Ok(()) }
    }

    /// A failed write ends the writing only: the acks of what arrived before may still lie in the socket.
    fn write(&mut self) {
        let unwritten = self.unwritten.get(self.written..).unwrap_or_default();
        match self.stream.try_write(unwritten) {
            Ok(bytes) => self.written += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.broken = true,
        }
        if self.written == self.unwritten.len() || self.written > self.settings.window_bytes {
            self.unwritten.drain(..self.written);
            self.written = 0;
        }
    }

    fn read(&mut self) -> Result<(), ClientError> {
        match self.stream.try_read_buf(self.frames.space(READ_BYTES)) {
            Ok(0) => return Err(self.lost()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(self.lost()),
        }
        while let Some(frame) = self.frames.next_frame() {
            let ack = match frame {
                Frame::Line(line) => Ack::read(line),
                Frame::TooLarge { .. } => None,
            };
            let Some(ack) = ack else { return Err(ClientError::NotSledge { path: self.path.clone() }) };
            match (self.unanswered.checked_sub(1), ack) {
                (Some(rest), ack) => {
                    self.unanswered = rest;
                    self.acks.push_back(ack);
                }
                (None, Ack::Refused(refusal)) => {
                    return Err(ClientError::TurnedAway { code: refusal.code, message: refusal.message });
                }
                (None, Ack::Accepted { .. }) => {
                    return Err(ClientError::NotSledge { path: self.path.clone() });
                }
            }
        }
        Ok(())
    }

    fn lost(&self) -> ClientError {
        ClientError::Lost { unanswered: self.unanswered }
    }
}

/// What is there in a socket's place.
fn other_than_a_socket(path: &Path) -> Option<&'static str> {
    let kind = std::fs::metadata(path).ok()?.file_type();
    if kind.is_dir() { Some("a folder") } else { kind.is_file().then_some("a file") }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
