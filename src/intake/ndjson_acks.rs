//! The half of a connection of lines that waits for the disk and answers.

use std::io;

use tokio::net::UnixStream;
use tokio::sync::SemaphorePermit;
use tokio::sync::mpsc::Receiver;

use super::admission::{Admission, Pledge};
use crate::protocol::Acks;

/// One read's worth of events with its replies. While it lives, it counts against what the connection may have in
/// flight.
#[derive(Debug)]
pub(super) struct Answerable<'c> {
    pub(super) pledge: Pledge,
    pub(super) acks: Acks,
    pub(super) in_flight: SemaphorePermit<'c>,
}

/// Waits for each read to be on disk, in order, and only then writes its replies. After the journal's end, or when
/// nobody hears the replies any more, it closes the channel, so that the reader stops; what was read before is still
/// seen to its end.
pub(super) async fn write_acks(
    stream: &UnixStream,
    admission: &Admission,
    mut answerables: Receiver<Answerable<'_>>,
) {
    let mut is_heard = true;
    while let Some(Answerable { pledge, mut acks, in_flight }) = answerables.recv().await {
        if let Err(refusal) = admission.committed(pledge).await {
            acks.turn_down(&refusal.fault);
            if refusal.is_final {
                answerables.close();
            }
        }
        if is_heard && write_all(stream, acks.as_bytes()).await.is_err() {
            is_heard = false;
            answerables.close();
        }
        drop(in_flight);
    }
}

/// Writes all of `bytes`, without a mutable hold on the stream: the reader is reading from it meanwhile.
pub(super) async fn write_all(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
