//! `sledge journal import`: exported events back into the journal, under the ids they have.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::admin::{EventsImported, ExportedEvents, ImportDesk};
use crate::cli::looking::{PATIENCE, Place, PlaceArgs, not_done, post};
use crate::cli::sending::EventLines;
use crate::cli::voice::{Exit, Failure, Voice, counted, events};
use crate::clock::Clock;
use crate::journal::Journal;

/// Events, and bytes of them, in one request.
const AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 1 << 20;

/// Brings exported events back: they are pending again, each under the id it has, so that it counts once.
///
/// Works whether sledge runs (through its admin socket) or not (by opening its journal). Run it as the user sledge runs as.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge journal import pending.ndjson
  sledge journal import - --data-dir ./data --json < pending.ndjson

An import that was cut short is simply repeated. Events without an id are refused: send those with `sledge send`.
Exit codes: 0 ok, 1 some lines were refused, 69 no sledge and no journal, 74 the file can't be read, \
75 the journal takes nothing now, 78 a setting can't be used.")]
pub(super) struct ImportArgs {
    /// An export; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print what became of the events as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where the events go: behind the socket of a sledge that runs, or into a journal that nobody has open.
enum EventBox {
    Online(PathBuf),
    Offline(Box<Journal>, ImportDesk),
}

impl EventBox {
    fn of(place: Place) -> Self {
        match place {
            Place::Online(socket) => Self::Online(socket),
            Place::Offline(journal, rules) => {
                let now = Arc::new(|| Clock::system().now());
                let desk = ImportDesk::new(journal.restorer(), watch::channel(rules).1, now);
                Self::Offline(journal, desk)
            }
        }
    }

    async fn import(&self, exported: &ExportedEvents) -> Result<EventsImported, Failure> {
        match self {
            Self::Online(socket) => post(socket, "/events/import", exported, PATIENCE).await,
            Self::Offline(_, desk) => desk.import(exported).await.map_err(|error| not_done(&error)),
        }
    }

    async fn close(self) -> Result<(), Failure> {
        match self {
            Self::Online(_) => Ok(()),
            Self::Offline(journal, _) => journal.close().await.map_err(|error| Failure::of(Exit::Io, &error)),
        }
    }
}

/// What became of the lines.
#[derive(Debug, Default, Serialize)]
struct Tally {
    imported: u64,
    refused_lines: Vec<u64>,
}

pub(super) async fn import(args: &ImportArgs, no_color: bool, voice: &mut Voice) -> Result<Exit, Failure> {
    let is_stdin = args.file.as_os_str() == "-";
    let mut lines = if is_stdin { EventLines::of_stdin()? } else { EventLines::of_file(&args.file).await? };
    let event_box = EventBox::of(Place::open(&args.place, no_color).await?);
    let mut tally = Tally::default();
    let done = import_lines(&mut lines, &event_box, &mut tally, voice).await;
    let closed = event_box.close().await;
    done.map_err(|mut failure| {
        let so_far = events(tally.imported);
        failure.message.push_str(&format!("\nimported {so_far} so far; to import all again is safe"));
        failure
    })?;
    closed?;
    if args.json {
        voice.say_json(&tally)?;
    } else {
        let mut line = format!("imported {}", events(tally.imported));
        if !tally.refused_lines.is_empty() {
            line.push_str(&format!(", {} refused", counted(tally.refused_lines.len() as u64, "line")));
        }
        voice.say(&line)?;
    }
    Ok(if tally.refused_lines.is_empty() { Exit::Ok } else { Exit::Finding })
}

async fn import_lines(
    lines: &mut EventLines<tokio::fs::File>,
    event_box: &EventBox,
    tally: &mut Tally,
    voice: &mut Voice,
) -> Result<(), Failure> {
    let (mut exported, mut numbers, mut bytes) = (ExportedEvents::default(), Vec::new(), 0);
    loop {
        let line = lines.next().await?;
        let is_last = line.is_none();
        if let Some(line) = line {
            match serde_json::from_slice::<Box<RawValue>>(&line.text) {
                Ok(event) => {
                    bytes += line.text.len();
                    exported.events.push(event);
                    numbers.push(line.number);
                }
                Err(error) => {
                    // Where it went wrong, without what stood there.
                    voice.note(&format!("line {}: not JSON (column {})", line.number, error.column()));
                    tally.refused_lines.push(line.number);
                }
            }
        }
        if exported.events.len() >= AT_ONCE || bytes >= BYTES_AT_ONCE || is_last {
            let imported = event_box.import(&exported).await?;
            tally.imported += imported.imported;
            for refused in imported.refused {
                let number = numbers.get(refused.position).copied().unwrap_or_default();
                let field = refused.field.map_or_else(String::new, |field| format!(" ({field})"));
                voice.note(&format!("line {number}: {}{field}: {}", refused.code, refused.message));
                tally.refused_lines.push(number);
            }
            voice.progress(&format!("imported {}", events(tally.imported)));
            (exported, numbers, bytes) = (ExportedEvents::default(), Vec::new(), 0);
        }
        if is_last {
            return Ok(());
        }
    }
}
