//! `sledge dead-letters export` and `import`: whole letters as lines of JSON, out and in.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::dead_letters::{letters, none_is_meant};
use super::filter::FilterArgs;
use super::letter_box::LetterBox;
use super::look::whole_json;
use crate::cli::journal::ExportFile;
use crate::cli::looking::PlaceArgs;
use crate::cli::sending::EventLines;
use crate::cli::voice::{Exit, Failure, Voice, count, counted};
use crate::journal::{DeadLetter, KeptLetter};

/// Letters, and bytes of them, in one request.
const AT_ONCE: usize = 500;
const BYTES_AT_ONCE: usize = 1 << 20;

/// Writes whole dead letters as lines of JSON, the events' own text included. The letters stay where they are.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge dead-letters export -o letters.ndjson
  sledge dead-letters export --code missing_field --events > events.ndjson

What `export` writes, `import` reads. What `export --events` writes, `sledge send` reads, once it is corrected.
The file is new, and for its owner alone: it holds customers' data.
Exit codes: 0 ok, 1 there are none, or none matches, 74 the file can't be written.")]
pub(super) struct ExportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Where to; it must not exist yet [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only the events' own texts, one on each line
    #[arg(long)]
    events: bool,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

/// Brings exported letters back among the dead letters, under new numbers. Nothing is sent: `retry` does that.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge dead-letters import letters.ndjson
  sledge dead-letters import - < corrected.ndjson

A letter that is there already, the same in every field, is not brought in twice.
Exit codes: 0 ok, 1 some lines are no letters, 74 the file can't be read, 75 there is no room for them now.")]
pub(super) struct ImportArgs {
    /// An export; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print what became of them as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

pub(super) async fn export(
    args: &ExportArgs,
    letter_box: &mut LetterBox,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let mut file = None;
    let (mut exported, mut next) = (0, Some(0));
    while let Some(from) = next {
        let page = letter_box.page(from).await?;
        next = page.next;
        for kept in page.letters.iter().filter(|kept| args.filter.matches(&kept.letter)) {
            let line = if args.events { event_line(&kept.letter) } else { whole_json(kept)? };
            let file = match &mut file {
                Some(file) => file,
                // Where nothing matches, no file is made.
                none => none.insert(ExportFile::new(args.output.as_deref())?),
            };
            file.write(line.as_bytes())?;
            exported += 1;
        }
    }
    if let Some(file) = file {
        file.finish()?;
    }
    if exported == 0 {
        return Ok(none_is_meant(&args.filter, voice));
    }
    match &args.output {
        Some(path) => voice.note(&format!("exported {} to {}", letters(exported), path.display())),
        None => voice.note(&format!("exported {}", letters(exported))),
    }
    Ok(Exit::Ok)
}

/// The event on one line: in JSON a line's end can only stand between its parts, where a space is as good. One without an
/// id goes out with the id a retry would give it, so that whatever is sent, and however often, counts once.
fn event_line(letter: &DeadLetter) -> String {
    let line = letter.event.replace(['\n', '\r'], " ");
    let fields = line.trim_start().strip_prefix('{').map(str::trim_start);
    match (&letter.spare_id, fields) {
        (Some(id), Some(fields)) if !line.contains("external_id\"") && fields.starts_with('"') => {
            format!("{{\"external_id\":\"{id}\",{fields}")
        }
        _ => line,
    }
}

/// What became of an import.
#[derive(Debug, Default, Serialize)]
struct Tally {
    imported: u64,
    already_there: u64,
    refused_lines: Vec<u64>,
}

pub(super) async fn import(
    args: &ImportArgs,
    letter_box: &mut LetterBox,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let is_stdin = args.file.as_os_str() == "-";
    let mut lines = if is_stdin { EventLines::of_stdin()? } else { EventLines::of_file(&args.file).await? };
    let mut known = Known::of(letter_box).await?;
    let mut tally = Tally::default();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(line) = lines.next().await? {
        match serde_json::from_slice::<DeadLetter>(&line.text) {
            Ok(letter) if !known.insert(&letter)? => tally.already_there += 1,
            Ok(letter) => {
                bytes += line.text.len();
                batch.push(letter);
            }
            Err(error) => {
                // Where it went wrong, without what stood there.
                let at = error.column();
                voice.note(&format!(
                    "line {}: not a dead letter as `export` writes them (column {at})",
                    line.number
                ));
                tally.refused_lines.push(line.number);
            }
        }
        if batch.len() >= AT_ONCE || bytes >= BYTES_AT_ONCE {
            bytes = 0;
            bring_in(std::mem::take(&mut batch), letter_box, &mut tally).await?;
        }
    }
    bring_in(batch, letter_box, &mut tally).await?;
    if args.json {
        voice.say_json(&tally)?;
    } else {
        let mut line = format!("imported {}", letters(tally.imported));
        if tally.already_there > 0 {
            line.push_str(&format!(", {} there already", count(tally.already_there)));
        }
        if !tally.refused_lines.is_empty() {
            line.push_str(&format!(", {} refused", counted(tally.refused_lines.len() as u64, "line")));
        }
        voice.say(&line)?;
    }
    Ok(if tally.refused_lines.is_empty() { Exit::Ok } else { Exit::Finding })
}

async fn bring_in(
    batch: Vec<DeadLetter>,
    letter_box: &mut LetterBox,
    tally: &mut Tally,
) -> Result<(), Failure> {
    if batch.is_empty() {
        return Ok(());
    }
    let imported = letter_box.import(batch).await.map_err(|mut failure| {
        let so_far = letters(tally.imported);
        failure.message.push_str(&format!(
            "\nimported {so_far} so far; import the same file again later, and only the rest is brought in"
        ));
        failure
    })?;
    tally.imported += imported.imported;
    Ok(())
}

/// Which letters are there, by 128 bits of their hash: far too many for two that differ to meet.
struct Known {
    hashers: [RandomState; 2],
    letters: HashSet<[u64; 2]>,
}

impl Known {
    async fn of(letter_box: &mut LetterBox) -> Result<Self, Failure> {
        let mut known = Self { hashers: [RandomState::new(), RandomState::new()], letters: HashSet::new() };
        let mut next = Some(0);
        while let Some(from) = next {
            let page = letter_box.page(from).await?;
            for KeptLetter { letter, .. } in &page.letters {
                known.insert(letter)?;
            }
            next = page.next;
        }
        Ok(known)
    }

    /// Whether the letter was not there yet.
    fn insert(&mut self, letter: &DeadLetter) -> Result<bool, Failure> {
        let text = serde_json::to_vec(letter).map_err(|error| Failure::of(Exit::Io, &error))?;
        Ok(self.letters.insert(self.hashers.each_ref().map(|hasher| hasher.hash_one(&text))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{DeadReason, Origin};

    fn letter(event: &str, spare_id: Option<&str>) -> DeadLetter {
        DeadLetter {
            origin: Origin::Intake,
            reason: DeadReason::RefusedAtIntake,
            code: "missing_field".into(),
            field: None,
            message: "is missing".into(),
            at: 5,
            lane: None,
            seq: None,
            accepted: None,
            attempts: 0,
            altered: false,
            spare_id: spare_id.map(str::to_owned),
            source: None,
            event: event.into(),
        }
    }

    #[test]
    fn an_event_that_is_exported_to_be_sent_again_and_again_counts_once() {
        let line = |event, spare_id| event_line(&letter(event, spare_id));
        assert_eq!(line("{ \"name\":\"a\"}", Some("x")), "{\"external_id\":\"x\",\"name\":\"a\"}");
        assert_eq!(line("{\"name\":\n\"a\"}", Some("x")), "{\"external_id\":\"x\",\"name\": \"a\"}");
        for kept in ["{\"name\":\"a\",\"external_id\":null}", "{}", "not json", "[1]"] {
            assert_eq!(line(kept, Some("x")), kept);
        }
        assert_eq!(line("{\"external_id\":\"own\"}", None), "{\"external_id\":\"own\"}");
    }
}
