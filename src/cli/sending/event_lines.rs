//! Standard input, one event on each line.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use memchr::memchr;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::cli::voice::{Exit, Failure};

/// Far above what an event may be, which the daemon judges; far below what would fill the memory.
const LINE_BYTES_MAX: usize = 16 << 20;
const READ_BYTES: usize = 256 << 10;

/// A line of input and its number, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct EventLine {
    pub(in crate::cli) number: u64,
    pub(in crate::cli) text: Vec<u8>,
}

/// The lines that are not blank.
#[derive(Debug)]
pub(in crate::cli) struct EventLines<R> {
    input: BufReader<R>,
    begun: Vec<u8>,
    number: u64,
}

impl EventLines<File> {
    /// Those of a file.
    pub(in crate::cli) async fn of_file(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).await;
        let named = |error| Failure::new(Exit::Io, format!("failed to read {}: {error}", path.display()));
        Ok(Self::new(file.map_err(named)?))
    }

    /// Those of standard input.
    pub(in crate::cli) fn of_stdin() -> Result<Self, Failure> {
        let input = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self::new(File::from_std(input)))
    }
}

impl<R: AsyncRead + Unpin> EventLines<R> {
    fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(READ_BYTES, input), begun: Vec::new(), number: 0 }
    }

    /// The next line; `None` at the end. Cancel-safe: what was read of a line stays here.
    pub(in crate::cli) async fn next(&mut self) -> Result<Option<EventLine>, Failure> {
        loop {
            let read = self.input.fill_buf().await?;
            let (part, used, ended) = match memchr(b'\n', read) {
                Some(end) => (read.get(..end).unwrap_or_default(), end + 1, true),
                None => (read, read.len(), read.is_empty()),
            };
            self.begun.extend_from_slice(part);
            self.input.consume(used);
            if self.begun.len() > LINE_BYTES_MAX {
                let message =
                    format!("line {} is longer than 16 MiB; put one event on each line", self.number + 1);
                return Err(Failure::new(Exit::Usage, message));
            }
            if !ended {
                continue;
            }
            self.number += 1;
            let text = std::mem::take(&mut self.begun);
            if !text.trim_ascii().is_empty() {
                return Ok(Some(EventLine { number: self.number, text }));
            }
            if used == 0 {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8]) -> Vec<(u64, String)> {
        let mut lines = EventLines::new(input);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push((line.number, String::from_utf8(line.text).unwrap()));
        }
        found
    }

    #[tokio::test]
    async fn lines_keep_their_numbers_across_blank_ones_and_the_last_needs_no_end() {
        assert_eq!(lines(b"a\n\n \r\nb\nc").await, [(1, "a".into()), (4, "b".into()), (5, "c".into())]);
        assert_eq!(lines(b"").await, []);
        assert_eq!(lines(b"\n\n").await, []);
    }

    #[tokio::test]
    async fn a_line_without_end_does_not_fill_the_memory() {
        let failure = EventLines::new(tokio::io::repeat(b'x')).next().await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with("line 1 is longer"), "{}", failure.message);
    }
}
