//! `sledge journal export`: the events of a journal as lines of JSON.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::export_file::ExportFile;
use super::journal::{JournalPlaceArgs, not_extracted, one_line, read_lane};
use crate::cli::voice::{Exit, Failure, Voice, bytes, counted, events};
use crate::event::Lane;
use crate::journal::{Extract, Extracted, Wanted, extract};

/// How often progress is shown.
const PROGRESS_EVENTS: u64 = 10_000;

/// Writes events as lines of JSON: what is pending, or what was delivered and is still kept. Changes nothing.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge journal export -o pending.ndjson
  sledge journal export --lane grants | jq .external_customer_id
  sledge journal export --delivered --data-dir ./data -o delivered.ndjson --json

What it writes, `sledge journal import` and `sledge send` read: each event goes by the id it has, so it counts once.
sledge must not run meanwhile. The file is new, and for its owner alone: it holds customers' data.
Exit codes: 0 ok, 1 there is no such event or not everything is intact, 74 a file can't be read or written, \
75 sledge runs, 78 there is no such folder.")]
pub(super) struct ExportArgs {
    /// Only this lane: grants or usage
    #[arg(long, value_name = "LANE", value_parser = read_lane)]
    lane: Option<Lane>,
    /// What Polar confirmed and is still kept, instead of what is pending
    #[arg(long)]
    delivered: bool,
    /// Where to; it must not exist yet [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print what was exported as JSON
    #[arg(long, requires = "output")]
    json: bool,
    #[command(flatten)]
    place: JournalPlaceArgs,
}

/// What became of it.
#[derive(Debug, Default, Serialize)]
struct Tally {
    exported: u64,
    lost_events: u64,
    unreadable_bytes: u64,
}

pub(super) fn export(args: &ExportArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let folder = args.place.folder()?;
    let wanted = if args.delivered { Wanted::Delivered } else { Wanted::Pending };
    let output = args.output.as_deref();
    let mut tally = Tally::default();
    let extracted = write_lines(&folder, wanted, output, voice, &mut |extract| match *extract {
        Extract::Event { lane, text, .. } if args.lane.is_none_or(|only| only == lane) => {
            tally.exported += 1;
            Some(text)
        }
        Extract::Event { .. } | Extract::Letter(_) => None,
    })?;
    tally.lost_events = extracted.lost_events;
    tally.unreadable_bytes = extracted.unreadable_bytes;
    if args.json {
        voice.say_json(&tally)?;
    } else {
        let place = file_made(output, tally.exported, " to");
        voice.note(&format!("exported {}{place}", events(tally.exported)));
    }
    let is_whole = note_damage(&extracted, voice);
    Ok(if is_whole && tally.exported > 0 { Exit::Ok } else { Exit::Finding })
}

/// The file that so many lines went to, behind `word`; where there were none, that it was not made.
pub(super) fn file_made(output: Option<&Path>, lines: u64, word: &str) -> String {
    match output.map(Path::display) {
        Some(path) if lines == 0 => format!(": {path} was not made"),
        Some(path) => format!("{word} {path}"),
        None => String::new(),
    }
}

/// Writes out, line by line, what is chosen of what lies in `place`. Where there is nothing, no file is made.
pub(super) fn write_lines(
    place: &Path,
    wanted: Wanted,
    output: Option<&Path>,
    voice: &mut Voice,
    choose: &mut dyn for<'a> FnMut(&Extract<'a>) -> Option<&'a [u8]>,
) -> Result<Extracted, Failure> {
    let (mut file, mut failure) = (None, None);
    let mut lines = 0_u64;
    let extracted = extract(place, wanted, &mut |extract| {
        let Some(text) = choose(&extract) else { return Ok(()) };
        lines += 1;
        if lines.is_multiple_of(PROGRESS_EVENTS) {
            voice.progress(&counted(lines, "line"));
        }
        write_line(&mut file, output, &one_line(text)).map_err(|error| {
            failure = Some(error);
            std::io::Error::other("the output failed")
        })
    });
    match (failure, extracted) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) => Err(not_extracted(&error)),
        (None, Ok(extracted)) => file.map_or(Ok(()), ExportFile::finish).map(|()| extracted),
    }
}

fn write_line(file: &mut Option<ExportFile>, output: Option<&Path>, line: &[u8]) -> Result<(), Failure> {
    match file {
        Some(file) => file.write(line),
        none => none.insert(ExportFile::new(output)?).write(line),
    }
}

/// Says what was not intact. `true` when everything was.
pub(super) fn note_damage(extracted: &Extracted, voice: &mut Voice) -> bool {
    if extracted.lost_events > 0 {
        voice.note(&format!("{} that lay among these are damaged", events(extracted.lost_events)));
    }
    if extracted.unreadable_bytes > 0 {
        let size = bytes(extracted.unreadable_bytes);
        voice.note(&format!("{size} can't be read: the disk has bad sectors"));
    }
    extracted.lost_events == 0 && extracted.unreadable_bytes == 0
}
