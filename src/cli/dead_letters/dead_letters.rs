//! `sledge dead-letters`: events that will not reach Polar by themselves, and what a person can do about them.

use clap::{Args, Subcommand};

use super::change::{DropArgs, RetryArgs, drop_letters, retry};
use super::filter::FilterArgs;
use super::letter_box::LetterBox;
use super::look::{ListArgs, ShowArgs, list, show};
use super::transfer::{ExportArgs, ImportArgs, export, import};
use crate::cli::looking::Place;
use crate::cli::voice::{Exit, Failure, Voice};

/// Looks after dead letters: events that Polar refused, or that were refused here without an ack to say so.
///
/// Works whether sledge runs (through its admin socket) or not (by opening its journal). Run it as the user sledge runs
/// as.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge dead-letters list
  sledge dead-letters show 7
  sledge dead-letters retry --all --reason refused_by_polar
  sledge dead-letters export -o letters.ndjson && sledge dead-letters drop --all --until 1h --yes

A retry keeps each event's external_id, so it counts once however often it is retried.
Exit codes: 0 ok, 1 there are none, none matches, or not everything could be done, 64 usage, 69 no sledge and no journal, \
74 the disk failed, 75 try again, 78 a setting can't be used.")]
pub(in crate::cli) struct DeadLettersArgs {
    #[command(subcommand)]
    command: LettersCommand,
}

#[derive(Debug, Subcommand)]
enum LettersCommand {
    List(ListArgs),
    Show(ShowArgs),
    Retry(RetryArgs),
    Drop(DropArgs),
    Export(ExportArgs),
    Import(ImportArgs),
}

pub(in crate::cli) async fn dead_letters(
    args: DeadLettersArgs,
    no_color: bool,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let place = match &args.command {
        LettersCommand::List(args) => &args.place,
        LettersCommand::Show(args) => &args.place,
        LettersCommand::Retry(args) => &args.place,
        LettersCommand::Drop(args) => &args.place,
        LettersCommand::Export(args) => &args.place,
        LettersCommand::Import(args) => &args.place,
    };
    let mut letters = LetterBox::of(Place::open(place, no_color).await?);
    let done = match args.command {
        LettersCommand::List(args) => list(&args, &mut letters, voice).await,
        LettersCommand::Show(args) => show(&args, &mut letters, voice).await,
        LettersCommand::Retry(args) => retry(&args, &mut letters, voice).await,
        LettersCommand::Drop(args) => drop_letters(&args, &mut letters, voice).await,
        LettersCommand::Export(args) => export(&args, &mut letters, voice).await,
        LettersCommand::Import(args) => import(&args, &mut letters, voice).await,
    };
    let closed = letters.close().await;
    let exit = done?;
    closed.map(|()| exit)
}

/// Tells that no letter is meant.
pub(super) fn none_is_meant(filter: &FilterArgs, voice: &mut Voice) -> Exit {
    voice.note(if filter.is_empty() {
        "there are no dead letters"
    } else {
        "no dead letter matches these filters"
    });
    Exit::Finding
}

/// `1 dead letter`, `2 dead letters`.
pub(in crate::cli) fn letters(number: u64) -> String {
    crate::cli::voice::counted(number, "dead letter")
}
