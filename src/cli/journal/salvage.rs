//! `sledge journal salvage`: whatever is intact in a damaged or foreign journal.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tokio::sync::mpsc;

use super::export::{file_made, note_damage, write_lines};
use super::journal::{not_extracted, not_opened, read_lane};
use crate::cli::dead_letters::letters;
use crate::cli::voice::{Exit, Failure, Voice, count, counted, events};
use crate::clock::Clock;
use crate::event::{EventBuf, Lane, PerLane};
use crate::journal::{
    DeadLetter, Extract, ExtractError, Extracted, Journal, Restored, Restorer, Settings, Wanted, extract,
};
use crate::metrics::Metrics;

/// Events, or bytes of them, or letters, that are put into the fresh journal at once.
const AT_ONCE: usize = 10_000;
const BYTES_AT_ONCE: usize = 1 << 20;
/// Portions that may wait to be written.
const PORTIONS_MAX: usize = 4;

/// Gets whatever is intact out of a damaged or foreign journal: as lines of JSON, or into a fresh journal.
///
/// The files are scanned for intact blocks, so it works where sledge itself could open nothing: on the folder of a journal, on
/// one volume of it (such as one in quarantine), on a folder of files saved from a broken disk, or on one file. What was
/// settled is left out. Nothing is changed there.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge journal salvage /mnt/old-disk/journal -o pending.ndjson
  sledge journal salvage ./data/journal/quarantine/usage-volume-00000003-0 -o pending.ndjson
  sledge journal salvage /mnt/old-disk/journal --letters -o letters.ndjson
  sledge journal salvage /mnt/old-disk/journal --into ./fresh --json

What -o writes, `sledge journal import` reads, and with --letters `sledge dead-letters import`. What --into makes, \
`sledge run --data-dir` runs on. Events that were delivered already may be among those of a volume in quarantine: they go \
by the ids they had, so Polar counts them once.
Exit codes: 0 ok, 1 nothing was found, or not everything is intact or could be taken along, 64 the new folder has a journal already, \
74 a file can't be read or written, 75 sledge runs on it.")]
pub(super) struct SalvageArgs {
    /// A journal's folder, one of its volumes, any folder with such files, or one file
    #[arg(value_name = "PLACE")]
    place: PathBuf,
    /// Make a fresh journal in this data folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "lane", "letters"])]
    into: Option<PathBuf>,
    /// Where to; it must not exist yet [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only this lane: grants or usage
    #[arg(long, value_name = "LANE", value_parser = read_lane, conflicts_with = "letters")]
    lane: Option<Lane>,
    /// The dead letters instead of the events
    #[arg(long)]
    letters: bool,
    /// Print what was found as JSON; it needs --output or --into
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Tally {
    events: u64,
    letters: u64,
    /// Dead letters that this version does not understand, and so can't put into a journal of its own.
    letters_left: u64,
    lost_events: u64,
    unreadable_bytes: u64,
}

pub(super) async fn salvage(args: &SalvageArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    if args.json && args.output.is_none() && args.into.is_none() {
        return Err(Failure::new(Exit::Usage, "--json goes with --output FILE or --into DIR"));
    }
    let mut tally = Tally::default();
    let (extracted, place) = match &args.into {
        Some(into) => {
            let (Portions { extracted, letters_left }, restored) =
                salvage_into(&args.place, into, voice).await?;
            tally.events = restored;
            (tally.letters, tally.letters_left) = (extracted.letters - letters_left, letters_left);
            (extracted, format!(" into {}", into.display()))
        }
        None => {
            let extracted = salvage_lines(args, &mut tally, voice)?;
            (extracted, file_made(args.output.as_deref(), tally.events + tally.letters, " into"))
        }
    };
    tally.lost_events = extracted.lost_events;
    tally.unreadable_bytes = extracted.unreadable_bytes;
    if args.json {
        voice.say_json(&tally)?;
    } else {
        let found = match (args.into.is_some(), args.letters) {
            (true, _) => format!("{} and {}", events(tally.events), letters(tally.letters)),
            (false, true) => letters(tally.letters),
            (false, false) => events(tally.events),
        };
        voice.note(&format!("salvaged {found}{place}, from {}", counted(extracted.files, "file")));
    }
    if tally.letters_left > 0 {
        voice.note(&format!(
            "{} of a newer sledge can't be understood, and were left where they are: get them with --letters, for that version to import",
            letters(tally.letters_left)
        ));
    }
    let is_whole = note_damage(&extracted, voice) && tally.letters_left == 0;
    Ok(if is_whole && tally.events + tally.letters > 0 { Exit::Ok } else { Exit::Finding })
}

fn salvage_lines(args: &SalvageArgs, tally: &mut Tally, voice: &mut Voice) -> Result<Extracted, Failure> {
    let output = args.output.as_deref();
    write_lines(&args.place, Wanted::Pending, output, voice, &mut |extract| match *extract {
        Extract::Event { lane, text, .. } if !args.letters && args.lane.is_none_or(|only| only == lane) => {
            tally.events += 1;
            Some(text)
        }
        Extract::Letter(text) if args.letters => {
            tally.letters += 1;
            Some(text)
        }
        Extract::Event { .. } | Extract::Letter(_) => None,
    })
}

/// What goes into the fresh journal at once.
#[derive(Debug, Default)]
struct Portion {
    events: PerLane<EventBuf>,
    letters: Vec<DeadLetter>,
}

impl Portion {
    fn is_full(&self) -> bool {
        let (grants, usage) = (&self.events.grants, &self.events.usage);
        grants.len() + usage.len() + self.letters.len() >= AT_ONCE
            || grants.text_bytes() + usage.text_bytes() >= BYTES_AT_ONCE
    }

    /// `false` for a letter that this version does not understand.
    fn take(&mut self, extract: &Extract<'_>) -> bool {
        match *extract {
            Extract::Event { lane, due, text } => self.events[lane].push(text, due),
            Extract::Letter(text) => match serde_json::from_slice(text) {
                Ok(letter) => self.letters.push(letter),
                Err(_) => return false,
            },
        }
        true
    }
}

/// What was read to fill a fresh journal with.
struct Portions {
    extracted: Extracted,
    letters_left: u64,
}

/// Fills a fresh journal. Says what was found, and how many events are pending there now.
async fn salvage_into(place: &Path, into: &Path, voice: &mut Voice) -> Result<(Portions, u64), Failure> {
    let folder = into.join("journal");
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        let message =
            format!("there is a journal in {} already; name a new folder with --into", into.display());
        return Err(Failure::new(Exit::Usage, message));
    }
    let settings = Settings {
        journal_bytes_max: u64::MAX,
        dead_bytes_max: u64::MAX,
        low_water_bytes: Some(0),
        ..Settings::in_folder(folder)
    };
    let metrics = Metrics::new().map_err(|error| Failure::of(Exit::Unavailable, &error))?;
    let opening =
        tokio::task::spawn_blocking(move || Journal::open(&settings, Clock::system(), metrics)).await;
    let opened = opening.map_err(|error| Failure::of(Exit::Io, &error))?;
    let journal = opened.map_err(|error| not_opened(&error))?;
    let restorer = journal.restorer();
    let (sender, waiting) = mpsc::channel(PORTIONS_MAX);
    let place = place.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_portions(&place, &sender));
    let filled = fill(&journal, &restorer, waiting, voice).await;
    let read = reading.await.map_err(|error| Failure::of(Exit::Io, &error))?;
    let accounts = journal.accounts();
    let closed = journal.close().await.map_err(|error| Failure::of(Exit::Io, &error));
    filled?;
    closed?;
    let portions = read.map_err(|error| not_extracted(&error))?;
    Ok((portions, accounts.read().pending_total()))
}

fn read_portions(place: &Path, portions: &mpsc::Sender<Portion>) -> Result<Portions, ExtractError> {
    let (mut portion, mut letters_left) = (Portion::default(), 0);
    let gone = |_| std::io::Error::other("the fresh journal takes no more");
    let extracted = extract(place, Wanted::Pending, &mut |extract| {
        letters_left += u64::from(!portion.take(&extract));
        if portion.is_full() {
            portions.blocking_send(std::mem::take(&mut portion)).map_err(gone)?;
        }
        Ok(())
    })?;
    portions.blocking_send(portion).map_err(gone)?;
    Ok(Portions { extracted, letters_left })
}

async fn fill(
    journal: &Journal,
    restorer: &Restorer,
    mut waiting: mpsc::Receiver<Portion>,
    voice: &mut Voice,
) -> Result<(), Failure> {
    let mut done = 0;
    while let Some(Portion { events, letters }) = waiting.recv().await {
        done += (events.grants.len() + events.usage.len() + letters.len()) as u64;
        let restored = restorer.restore(Restored::Salvage, events).await;
        restored.map_err(|error| Failure::of(Exit::Io, &error))?;
        let imported = journal.dead_letters().import(letters).await;
        imported.map_err(|error| Failure::of(Exit::Io, &error))?;
        voice.progress(&format!("{} so far", count(done)));
    }
    Ok(())
}
