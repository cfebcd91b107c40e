//! Which sledge is meant: one that runs, behind its admin socket, or a journal that nobody has open.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::net::UnixStream;

use crate::cli::voice::{Exit, Failure};
use crate::clock::Clock;
use crate::config::{Config, Sources};
use crate::event::Rules;
use crate::journal::{Journal, OpenError, Settings};
use crate::metrics::Metrics;
use crate::telemetry;

/// Which sledge is meant.
#[derive(Args, Debug)]
pub(in crate::cli) struct PlaceArgs {
    /// Its configuration file [default: as for sledge run]
    #[arg(long, value_name = "FILE", env = "SLEDGE_CONFIG", hide_env_values = true)]
    config: Option<OsString>,
    /// Its data folder [default: as for sledge run]
    #[arg(long, value_name = "DIR", env = "SLEDGE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<OsString>,
    /// Its admin socket [default: admin.sock in the data folder]
    #[arg(long, value_name = "PATH", env = "SLEDGE_ADMIN_SOCKET", hide_env_values = true)]
    admin_socket: Option<OsString>,
}

/// What a flag or a variable names. An empty one names nothing.
pub(in crate::cli) fn named(path: &Option<OsString>) -> Option<PathBuf> {
    path.as_ref().filter(|path| !path.is_empty()).map(PathBuf::from)
}

impl PlaceArgs {
    /// The configuration of the sledge that is meant, as far as it can be known here. Nothing is sent, so no token is
    /// asked for.
    fn read(&self) -> Result<Config, Failure> {
        let flags = [("data_dir", named(&self.data_dir)), ("admin_socket", named(&self.admin_socket))];
        let sources = Sources {
            config: named(&self.config),
            flags: flags.into_iter().filter_map(|(key, path)| Some((key, path?.into()))).collect(),
            without_token: true,
            ..Sources::default()
        };
        Ok(sources.read()?)
    }
}

/// The sledge that is meant.
#[derive(Debug)]
pub(in crate::cli) enum Place {
    /// It runs, and this is its admin socket.
    Online(PathBuf),
    /// It does not; its journal is open here meanwhile, and these are its rules.
    Offline(Box<Journal>, Rules),
}

impl Place {
    /// Finds the sledge that runs; without one, opens its journal.
    pub(in crate::cli) async fn open(args: &PlaceArgs, no_color: bool) -> Result<Self, Failure> {
        let config = args.read()?;
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
}

async fn open_journal(config: Config, no_color: bool) -> Result<Place, Failure> {
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
    Ok(Place::Offline(Box::new(journal), config.rules))
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
