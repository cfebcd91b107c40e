//! A new file for what is exported, on disk before it is spoken of; or standard output.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cli::voice::{Exit, Failure};

/// Where lines of JSON go. A file is for its owner alone, for it holds customers' data.
#[derive(Debug)]
pub(in crate::cli) enum ExportFile {
    /// A file that did not exist.
    File(BufWriter<File>, PathBuf),
    /// Standard output. Whoever stops reading it (`| head`) has seen enough.
    Stdout(BufWriter<Stdout>),
}

impl ExportFile {
    /// A new file at `path`, or standard output without one.
    pub(in crate::cli) fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout()))) };
        let file = File::options().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| not_written(path, &error))?;
        Ok(Self::File(BufWriter::new(file), path.to_owned()))
    }

    /// Writes one line.
    pub(in crate::cli) fn write(&mut self, line: &[u8]) -> Result<(), Failure> {
        match self {
            Self::File(file, path) => {
                let written = file.write_all(line).and_then(|()| file.write_all(b"\n"));
                written.map_err(|error| not_written(path, &error))
            }
            Self::Stdout(out) => unless_closed(out.write_all(line).and_then(|()| out.write_all(b"\n"))),
        }
    }

    /// Makes sure that everything is where it was written to.
    pub(in crate::cli) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::File(file, path) => {
                let file = file.into_inner().map_err(|error| not_written(&path, error.error()))?;
                file.sync_all().map_err(|error| not_written(&path, &error))
            }
            Self::Stdout(mut out) => unless_closed(out.flush()),
        }
    }
}

fn unless_closed(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::AlreadyExists => "; name a new file, or move that one away",
        _ => "",
    };
    Failure::new(Exit::Io, format!("failed to write {}: {error}{advice}", path.display()))
}
