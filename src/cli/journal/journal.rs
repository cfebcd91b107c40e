//! `sledge journal`: looking into a journal on disk, and getting events out of it and into it.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::export::{ExportArgs, export};
use super::import::{ImportArgs, import};
use super::salvage::{SalvageArgs, salvage};
use crate::cli::looking::named;
use crate::cli::voice::{Exit, Failure, Tone, Voice, bytes, counted};
use crate::config::{self, Given, Surroundings};
use crate::event::Lane;
use crate::journal::{CheckReport, ExtractError, OpenError, RowReport, check};

/// Looks into the journal on disk, and gets events out of it and into it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge journal check
  sledge journal export -o pending.ndjson
  sledge journal salvage /mnt/old-disk/journal --into ./fresh

Exit codes: 0 ok, 1 a finding, 64 usage, 74 a file can't be read or written, 75 sledge runs, or try again, \
78 there is no such folder.")]
pub(in crate::cli) struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    Check(CheckArgs),
    Export(ExportArgs),
    Import(ImportArgs),
    Salvage(SalvageArgs),
}

/// Reports what the journal holds and whether it is intact. Changes nothing.
///
/// The files are read directly, so it works whether sledge runs or not; while it runs, the figures are of a moment.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge journal check
  sledge journal check --data-dir ./data --json | jq .findings

Exit codes: 0 intact, 1 a finding, 74 it can't be read, 78 there is no such folder.")]
struct CheckArgs {
    #[command(flatten)]
    place: JournalPlaceArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Which journal is meant.
#[derive(Args, Debug)]
pub(super) struct JournalPlaceArgs {
    /// The data folder of the sledge in question [default: as for sledge run]
    #[arg(long, value_name = "DIR", env = "SLEDGE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<OsString>,
}

impl JournalPlaceArgs {
    /// The journal's folder, which exists.
    pub(super) fn folder(&self) -> Result<PathBuf, Failure> {
        let given = named(&self.data_dir).map(Given::by_flag);
        let no_folder = |problem: String| Failure::new(Exit::Configuration, problem);
        let data_dir = config::data_dir(given, &Surroundings::of_process())
            .map_err(|fault| no_folder(fault.to_string()))?;
        let folder = data_dir.join("journal");
        match fs::metadata(&folder) {
            Ok(there) if there.is_dir() => Ok(folder),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let problem = format!(
                    "{} may not be looked into; run it as the user sledge runs as",
                    data_dir.display()
                );
                Err(Failure::new(Exit::Io, problem))
            }
            Ok(_) | Err(_) => Err(no_folder(format!(
                "there is no journal in {}; name its data folder with --data-dir",
                data_dir.display()
            ))),
        }
    }
}

pub(in crate::cli) async fn journal(
    args: JournalArgs,
    no_color: bool,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    match args.command {
        JournalCommand::Check(args) => check_journal(&args, voice),
        JournalCommand::Export(args) => export(&args, voice),
        JournalCommand::Import(args) => import(&args, no_color, voice).await,
        JournalCommand::Salvage(args) => salvage(&args, voice).await,
    }
}

/// Reads the name of a lane.
pub(super) fn read_lane(text: &str) -> Result<Lane, String> {
    let known = Lane::ALL.into_iter().find(|lane| lane.as_str() == text);
    known.ok_or_else(|| format!("write {}", Lane::ALL.map(Lane::as_str).join(" or ")))
}

/// The event on one line: in JSON a line's end can only stand between its parts, where a space is as good.
pub(super) fn one_line(text: &[u8]) -> Cow<'_, [u8]> {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if text.iter().any(is_end) {
        text.iter().map(|byte| if is_end(byte) { b' ' } else { *byte }).collect::<Vec<u8>>().into()
    } else {
        text.into()
    }
}

/// Nothing could be got out of the journal's files.
pub(super) fn not_extracted(error: &ExtractError) -> Failure {
    let exit = match error {
        ExtractError::InUse { .. } => Exit::Temporary,
        ExtractError::Read { .. } | ExtractError::Taker(_) => Exit::Io,
    };
    Failure::of(exit, error)
}

/// The fresh journal could not be made.
pub(super) fn not_opened(error: &OpenError) -> Failure {
    let exit = match error {
        OpenError::InUse { .. } | OpenError::DiskFull { .. } => Exit::Temporary,
        OpenError::Damaged { .. }
        | OpenError::NewerFormat { .. }
        | OpenError::SyncNotReal { .. }
        | OpenError::Io { .. } => Exit::Io,
    };
    Failure::of(exit, error)
}

fn check_journal(args: &CheckArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let folder = args.place.folder()?;
    let report = check(&folder).map_err(|error| {
        Failure::new(
            Exit::Io,
            format!("failed to read {}: {error}; run it as the user sledge runs as", folder.display()),
        )
    })?;
    if args.json {
        voice.say_json(&report)?;
    } else {
        for line in lines(&report) {
            voice.say(&line)?;
        }
        for finding in &report.findings {
            let line = voice.toned(Tone::Bad, &format!("finding: {finding}"));
            voice.say(&line)?;
        }
        if report.findings.is_empty() {
            let line = voice.toned(Tone::Good, "intact");
            voice.say(&line)?;
        }
    }
    Ok(if report.findings.is_empty() { Exit::Ok } else { Exit::Finding })
}

fn lines(report: &CheckReport) -> Vec<String> {
    report.rows.iter().map(line).collect()
}

fn line(row: &RowReport) -> String {
    let what = if row.row == "dead" {
        format!("{} kept", counted(row.pending_events, "letter"))
    } else {
        format!("{} pending", counted(row.pending_events, "event"))
    };
    let on_disk = row.volumes.iter().map(|volume| volume.bytes).sum();
    let volumes = counted(row.volumes.len() as u64, "volume");
    format!("{:<7} {what} in {volumes}, {} on disk", row.row, bytes(on_disk))
}
