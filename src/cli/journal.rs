//! `sledge journal check`: what lies in the journal, without changing it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::failure::Failure;
use super::figures::{bytes, count};
use super::voice::{Tone, Voice};
use crate::config::{self, Given, Surroundings};
use crate::journal::{CheckReport, RowReport, check};

/// Looks into the journal on disk.
#[derive(Args, Debug)]
pub(super) struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    Check(CheckArgs),
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
    /// The data folder of the sledge in question [default: as for sledge run]
    #[arg(long, value_name = "DIR", env = "SLEDGE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn journal(args: JournalArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let JournalCommand::Check(args) = args.command;
    let given = args.data_dir.filter(|path| !path.as_os_str().is_empty()).map(Given::by_flag);
    let no_folder = |problem: String| Failure::new(Exit::Configuration, problem);
    let data_dir =
        config::data_dir(given, &Surroundings::of_process()).map_err(|fault| no_folder(fault.to_string()))?;
    let folder = data_dir.join("journal");
    if !folder.is_dir() {
        return Err(no_folder(format!(
            "there is no journal in {}; name its data folder with --data-dir",
            data_dir.display()
        )));
    }
    let report = check(&folder).map_err(|error| {
        Failure::new(
            Exit::Io,
            format!("failed to read {}: {error}; run it as the user sledge runs as", folder.display()),
        )
    })?;
    if args.json {
        voice.say(&serde_json::to_string(&report).map_err(std::io::Error::from)?)?;
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
    let what = if row.row == "dead" { "letters kept" } else { "events pending" };
    let on_disk = row.volumes.iter().map(|volume| volume.bytes).sum();
    let volumes = row.volumes.len();
    format!(
        "{:<7} {} {what} in {volumes} {}, {} on disk",
        row.row,
        count(row.pending_events),
        if volumes == 1 { "volume" } else { "volumes" },
        bytes(on_disk)
    )
}
