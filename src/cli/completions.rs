//! `sledge completions` and `sledge man-pages`: what shells and `man` know, from the one definition of the command line.

use std::io;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::cli::Cli;
use super::exit::Exit;
use super::failure::Failure;
use super::voice::Voice;

/// Prints the completions of a shell.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge completions bash > /etc/bash_completion.d/sledge
  sledge completions zsh > ~/.zfunc/_sledge
  sledge completions fish > ~/.config/fish/completions/sledge.fish

Exit codes: 0 printed, 64 no such shell.")]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sledge", &mut text);
    voice.say(String::from_utf8_lossy(&text).trim_end())?;
    Ok(Exit::Ok)
}

/// Writes a man page for sledge and one for each of its commands.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge man-pages /usr/local/share/man/man1
  sledge man-pages ./man

Exit codes: 0 written, 74 the folder can't be written to.")]
pub(super) struct ManPagesArgs {
    /// The folder to write to; it is made when it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn man_pages(args: &ManPagesArgs, voice: &mut Voice) -> Result<Exit, Failure> {
    let at = |error: io::Error| {
        Failure::new(Exit::Io, format!("failed to write to {}: {error}", args.folder.display()))
    };
    std::fs::create_dir_all(&args.folder).map_err(at)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).map_err(at)?;
    voice.say(&format!("man pages are in {}", args.folder.display()))?;
    Ok(Exit::Ok)
}
