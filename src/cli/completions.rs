//! `sledge completions` and `sledge man-pages`: what shells and `man` know, from the one definition of the command line.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::cli::Cli;
use super::voice::{Exit, Failure, Voice};

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
    let mut sledge = Cli::command().disable_help_subcommand(true);
    sledge.build();
    write_pages(&sledge, &args.folder).map_err(at)?;
    voice.say(&format!("man pages are in {}", args.folder.display()))?;
    Ok(Exit::Ok)
}

/// The page of this command and of those below it. Each says of what program and version it is.
fn write_pages(command: &clap::Command, folder: &Path) -> io::Result<()> {
    let program = concat!("sledge ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command.clone()).source(program).manual("sledge").generate_to(folder)?;
    command.get_subcommands().try_for_each(|below| write_pages(below, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_that_says_of_what_program_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("man");
        man_pages(&ManPagesArgs { folder: pages.clone() }, &mut Voice::new(true)).unwrap();
        for name in ["sledge", "sledge-run", "sledge-dead-letters-list", "sledge-polar-meter-create"] {
            let page = std::fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
            let title = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
            assert!(title.starts_with(&format!(".TH {name} 1 ")), "{title}");
            assert!(title.contains(concat!("sledge ", env!("CARGO_PKG_VERSION"))), "{title}");
            assert!(page.contains("Examples:") && page.contains("Exit codes: "), "{page}");
        }
        assert!(!pages.join("sledge-help.1").exists(), "help has no page of its own");
    }

    #[test]
    fn every_shell_is_told_of_the_commands() {
        for shell in <Shell as clap::ValueEnum>::value_variants() {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "sledge", &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("dead-letters") && text.contains("data-dir"), "{shell}");
        }
    }
}
