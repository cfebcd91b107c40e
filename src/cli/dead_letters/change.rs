//! `sledge dead-letters retry` and `drop`.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;

use super::dead_letters::{letters, none_is_meant};
use super::filter::FilterArgs;
use super::letter_box::LetterBox;
use crate::admin::Dropped;
use crate::cli::looking::PlaceArgs;
use crate::cli::voice::{Exit, Failure, Voice, count};
use crate::journal::{LetterNumber, Retried, RetryRefused};

/// Letters in one request.
const AT_ONCE: usize = 500;

/// Puts the events of dead letters back, to be sent to Polar again. Each keeps its external_id, so it counts once.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge dead-letters retry 7 8 9
  sledge dead-letters retry --all
  sledge dead-letters retry --all --reason refused_by_polar --since 24h

An event that was refused here is retried only if it passes now: where the text itself is wrong, export the \
letters, correct the texts, import them, drop the old ones, and retry.
Exit codes: 0 all are pending again, 1 there are none, none matches, or some could not be retried, 75 try again.")]
pub(super) struct RetryArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Print what became of them as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

/// Drops dead letters for good. What is not in an export then is nowhere.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge dead-letters drop 7
  sledge dead-letters drop --all --until 30d --yes

Asks before it does so; without a terminal to ask on, --yes must be given.
Exit codes: 0 all are gone, 1 there are none, none matches, some were not there, or the answer was no.")]
pub(super) struct DropArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    /// Print what became of them as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

#[derive(Args, Debug)]
struct WhichArgs {
    /// Their numbers
    #[arg(value_name = "N", required_unless_present = "all", conflicts_with = "all")]
    numbers: Vec<LetterNumber>,
    /// All of them, or with filters all that match
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

impl WhichArgs {
    /// The numbers that are meant, as of now: a letter that dies again meanwhile is a new one, and not meant.
    async fn numbers(&self, letter_box: &mut LetterBox) -> Result<Vec<LetterNumber>, Failure> {
        if !self.all {
            if !self.filter.is_empty() {
                let message = "filters go with --all; give numbers or --all, not both";
                return Err(Failure::new(Exit::Usage, message));
            }
            let mut numbers = self.numbers.clone();
            numbers.sort_unstable();
            numbers.dedup();
            return Ok(numbers);
        }
        let (mut numbers, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let page = letter_box.page(from).await?;
            let meant = page.letters.iter().filter(|kept| self.filter.matches(&kept.letter));
            numbers.extend(meant.map(|kept| kept.number));
            next = page.next;
        }
        Ok(numbers)
    }
}

pub(super) async fn retry(
    args: &RetryArgs,
    letter_box: &mut LetterBox,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let numbers = args.which.numbers(letter_box).await?;
    if numbers.is_empty() {
        return Ok(none_is_meant(&args.which.filter, voice));
    }
    let mut done = Retried::default();
    let mut left = numbers.as_slice();
    while !left.is_empty() {
        let asked = left.get(..AT_ONCE).unwrap_or(left);
        let answer = letter_box.retry(asked).await.map_err(|mut failure| {
            failure.message.push_str(&format!(
                "\n{} pending again so far; the rest is as it was",
                are(done.retried.len() as u64)
            ));
            failure
        })?;
        // The journal may come to some of them only; those it did come to are the first.
        let come_to = answer.retried.len() + answer.refused.len() + answer.missing.len();
        left = left.get(come_to.max(1)..).unwrap_or_default();
        if !args.json {
            answer.refused.iter().for_each(|refused| voice.note(&refusal(refused)));
            voice.progress(&format!("{} of {}", done.retried.len(), numbers.len()));
        }
        done.retried.extend(answer.retried);
        done.refused.extend(answer.refused);
        done.missing.extend(answer.missing);
    }
    let all_done = done.refused.is_empty() && done.missing.is_empty();
    if args.json {
        voice.say_json(&done)?;
    } else {
        let mut line = format!("{} pending again", are(done.retried.len() as u64));
        if !done.refused.is_empty() {
            line.push_str(&format!(", {} could not be retried", count(done.refused.len() as u64)));
        }
        line.push_str(&not_there(done.missing.len() as u64));
        voice.say(&line)?;
    }
    Ok(if all_done { Exit::Ok } else { Exit::Finding })
}

pub(super) async fn drop_letters(
    args: &DropArgs,
    letter_box: &mut LetterBox,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !args.yes && !can_ask {
        let message = "dropping is for good, and there is no terminal to ask on; give --yes";
        return Err(Failure::new(Exit::Usage, message));
    }
    let numbers = args.which.numbers(letter_box).await?;
    if numbers.is_empty() {
        return Ok(none_is_meant(&args.which.filter, voice));
    }
    if !args.yes && !says_yes(&format!("Drop {} for good?", letters(numbers.len() as u64)))? {
        voice.note("nothing was dropped");
        return Ok(Exit::Finding);
    }
    let mut done = Dropped::default();
    for asked in numbers.chunks(AT_ONCE) {
        let answer = letter_box.discard(asked).await.map_err(|mut failure| {
            let so_far = letters(done.dropped.len() as u64);
            failure.message.push_str(&format!("\ndropped {so_far} so far; the rest is as it was"));
            failure
        })?;
        done.dropped.extend(answer.dropped);
        done.missing.extend(answer.missing);
    }
    if args.json {
        voice.say_json(&done)?;
    } else {
        let missing = not_there(done.missing.len() as u64);
        voice.say(&format!("dropped {}{missing}", letters(done.dropped.len() as u64)))?;
    }
    Ok(if done.missing.is_empty() { Exit::Ok } else { Exit::Finding })
}

/// `1 event is`, `2 events are`.
fn are(number: u64) -> String {
    format!("{} {}", crate::cli::voice::events(number), if number == 1 { "is" } else { "are" })
}

fn not_there(missing: u64) -> String {
    if missing == 0 { String::new() } else { format!(", {} not there", count(missing)) }
}

fn refusal(refused: &RetryRefused) -> String {
    let RetryRefused { number, code, field, message } = refused;
    match field {
        Some(field) => format!("letter {number}: {code} ({field}): {message}"),
        None => format!("letter {number}: {code}: {message}"),
    }
}

/// Asks on the terminal; only a yes is one.
fn says_yes(question: &str) -> Result<bool, Failure> {
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
