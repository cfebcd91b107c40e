//! The command line: what was asked for, and the exit code that came of it.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use super::completions::{CompletionsArgs, ManPagesArgs, completions, man_pages};
use super::config::{ConfigCommand, config};
use super::dead_letters::{DeadLettersArgs, dead_letters};
use super::journal::{JournalArgs, journal};
use super::looking::{
    BalanceArgs, DoctorArgs, ExplainArgs, ReplayArgs, StatusArgs, balance, doctor, explain, or_dev, replay,
    status,
};
use super::polar::{PolarCommand, polar};
use super::sending::{GrantArgs, SendArgs, grant, send};
use super::serving::{DevArgs, RunArgs, SimulateArgs, dev, run, simulate};
use super::voice::{Exit, Failure, Voice};

/// Keeps usage events and credit grants safe on the local disk until Polar has them.
#[derive(Debug, Parser)]
#[command(
    name = "sledge",
    version,
    after_help = "Examples:
  sledge dev                    tries it without an account
  sledge help grant             tells more of a command

Exit codes: 0 ok, 1 a finding, 64 usage, 69 unavailable, 74 input or output, 75 try again, 78 configuration."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(RunArgs),
    Dev(DevArgs),
    Simulate(SimulateArgs),
    Send(SendArgs),
    Grant(GrantArgs),
    Balance(BalanceArgs),
    Polar(PolarCommand),
    Status(StatusArgs),
    Doctor(DoctorArgs),
    DeadLetters(DeadLettersArgs),
    Replay(ReplayArgs),
    Explain(ExplainArgs),
    Config(ConfigCommand),
    Journal(JournalArgs),
    Completions(CompletionsArgs),
    ManPages(ManPagesArgs),
}

impl Command {
    /// Whether it is about a sledge that is there already, or about that one's Polar.
    fn looks_for_sledge(&self) -> bool {
        match self {
            Self::Run(_)
            | Self::Dev(_)
            | Self::Simulate(_)
            | Self::Config(_)
            | Self::Completions(_)
            | Self::ManPages(_) => false,
            Self::Send(_)
            | Self::Grant(_)
            | Self::Balance(_)
            | Self::Polar(_)
            | Self::Status(_)
            | Self::Doctor(_)
            | Self::DeadLetters(_)
            | Self::Replay(_)
            | Self::Explain(_)
            | Self::Journal(_) => true,
        }
    }
}

/// Does what the command line asks for.
pub fn main(words: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match parse(words) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output, the rest to standard error; nobody is left to tell when that fails.
            drop(error.print());
            return exit_of(&error);
        }
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut voice = Voice::new(no_color);
    let looks_for_sledge = cli.command.looks_for_sledge();
    let ended = runtime(&cli.command).and_then(|runtime| {
        let ended = runtime.block_on(perform(cli.command, no_color, &mut voice));
        // A read of standard input that waits for ever must not keep the process.
        runtime.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|failure| {
        let failure = if looks_for_sledge { or_dev(failure) } else { failure };
        voice.complain(&failure.message);
        failure.exit
    })
}

/// Whether a command line makes sense, without doing what it asks for. For the tests of examples in help and documents.
///
/// # Errors
/// What the user would be told.
pub fn check(words: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    parse(words).map(drop).map_err(|error| error.to_string())
}

fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(words)
}

fn exit_of(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
        _ => Exit::Usage,
    }
}

/// The daemon uses every core; a command that waits for an answer needs one thread.
fn runtime(command: &Command) -> Result<Runtime, Failure> {
    let mut builder = match command {
        Command::Run(_) | Command::Dev(_) | Command::Simulate(_) => Builder::new_multi_thread(),
        Command::Send(_)
        | Command::Grant(_)
        | Command::Balance(_)
        | Command::Polar(_)
        | Command::Status(_)
        | Command::Doctor(_)
        | Command::DeadLetters(_)
        | Command::Replay(_)
        | Command::Explain(_)
        | Command::Config(_)
        | Command::Journal(_)
        | Command::Completions(_)
        | Command::ManPages(_) => Builder::new_current_thread(),
    };
    Ok(builder.enable_all().build()?)
}

async fn perform(command: Command, no_color: bool, voice: &mut Voice) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => Box::pin(run(args, no_color, voice)).await,
        Command::Dev(args) => Box::pin(dev(args, no_color, voice)).await,
        Command::Simulate(args) => simulate(args, no_color, voice).await,
        Command::Send(args) => send(args, voice).await,
        Command::Grant(args) => Box::pin(grant(args, voice)).await,
        Command::Balance(args) => Box::pin(balance(args, voice)).await,
        Command::Polar(command) => Box::pin(polar(command, voice)).await,
        Command::Status(args) => status(args, voice).await,
        Command::Doctor(args) => Box::pin(doctor(args, voice)).await,
        Command::DeadLetters(args) => Box::pin(dead_letters(args, no_color, voice)).await,
        Command::Replay(args) => Box::pin(replay(args, no_color, voice)).await,
        Command::Explain(args) => Box::pin(explain(args, no_color, voice)).await,
        Command::Config(command) => config(command, voice),
        Command::Journal(args) => Box::pin(journal(args, no_color, voice)).await,
        Command::Completions(args) => completions(&args, voice),
        Command::ManPages(args) => man_pages(&args, voice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Code;
    use clap::CommandFactory;

    fn exit(words: &[&str]) -> Option<Exit> {
        let words = ["sledge"].iter().chain(words).map(OsString::from);
        parse(words).err().map(|error| exit_of(&error))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_line_that_makes_no_sense_exits_64_and_help_exits_0() {
        for wrong in [
            &["frobnicate"][..],
            &[],
            &["run", "--token", "polar_oat_x"],
            &["run", "polar_oat_x"],
            &["grant", "0", "--customer", "c", "--event", "e", "--property", "p"],
            &["grant", "-5", "--customer", "c", "--event", "e", "--property", "p"],
            &["grant", "10", "--event", "e", "--property", "p"],
            &["grant", "1", "--customer", "c", "--event", "e", "--property", "p", "--id", "i", "--once", "k"],
            &["balance"],
            &["doctor", "--event", "api_usage"],
            &["doctor", "--gid", "5"],
            &["balance", "--customer", "c", "--customer-id", "d"],
            &["polar", "customer", "show"],
            &["send", "api_usage"],
            &["send", "--meta", "units=3"],
            &["send", "api_usage", "--customer", "c", "--customer-id", "d"],
            &["send", "api_usage", "--customer", "c", "--meta", "units=.5"],
            &["simulate", "--listen", "8899"],
            &["dead-letters"],
            &["dead-letters", "retry"],
            &["dead-letters", "drop", "7", "--all"],
            &["dead-letters", "show", "first"],
            &["dead-letters", "list", "--reason", "bad_luck"],
            &["dead-letters", "list", "--since", "yesterday"],
            &["journal", "export", "--lane", "dead"],
            &["journal", "export", "--json"],
            &["journal", "salvage"],
            &["journal", "salvage", "./journal", "--into", "./fresh", "--letters"],
            &["journal", "import"],
            &["replay"],
            &["replay", "--since", "last week"],
            &["explain"],
        ] {
            assert_eq!(exit(wrong), Some(Exit::Usage), "{wrong:?}");
        }
        for help in [
            &["--help"][..],
            &["run", "--help"],
            &["--version"],
            &["help"],
            &["help", "grant"],
            &["help", "polar", "meter"],
            &["polar", "help", "meter"],
        ] {
            assert_eq!(exit(help), Some(Exit::Ok), "{help:?}");
        }
    }

    /// Every command and those below it, with the words that call it.
    fn all_commands(parent: &clap::Command, words: &str) -> Vec<(String, clap::Command)> {
        let mut all = vec![(words.to_owned(), parent.clone())];
        for command in parent.get_subcommands() {
            all.extend(all_commands(command, &format!("{words} {}", command.get_name())));
        }
        all
    }

    #[test]
    fn every_command_has_examples_and_no_sentence_below_them_is_cut_into_lines() {
        for (words, command) in all_commands(&Cli::command(), "sledge") {
            let footer = command.get_after_help().unwrap_or_default().to_string();
            assert!(footer.starts_with("Examples:\n  "), "{words} has no examples: {footer}");
            let does_something = command.get_subcommands().next().is_none();
            assert!(
                !does_something || footer.contains("Exit codes: 0 "),
                "{words} tells no exit codes: {footer}"
            );
            for line in footer.lines().filter(|line| !line.is_empty() && !line.starts_with("  ")) {
                assert!(line.ends_with(['.', ':']), "the help of {words} is cut here: {line}");
            }
        }
    }

    /// The words behind each `sledge` in a line of examples, without what the shell does with the rest. What follows three
    /// spaces tells what the command does.
    fn commands_of(example: &str) -> Vec<Vec<&str>> {
        let own = |words: &'_ str| words.find(['|', '<', '>']).unwrap_or(words.len());
        let commands = example.split("&&").filter_map(|part| part.split_once("sledge "));
        let words = commands.map(|(_, words)| words.split("   ").next().unwrap_or_default());
        words.map(|words| words[..own(words)].split_whitespace().collect()).collect()
    }

    #[test]
    fn the_examples_of_the_help_are_taken_and_the_codes_in_them_are_known() {
        let mut taken = 0;
        for (words, command) in all_commands(&Cli::command(), "sledge") {
            let footer = command.get_after_help().unwrap_or_default().to_string();
            for example in footer.lines().filter(|line| line.starts_with("  ")) {
                for command in commands_of(example) {
                    let is_help = command.first() == Some(&"help");
                    assert_eq!(exit(&command), is_help.then_some(Exit::Ok), "{words}: {example}");
                    let code = command.iter().skip_while(|word| **word != "--code").nth(1);
                    assert!(
                        code.is_none_or(|code| Code::ALL.iter().any(|it| it.as_str() == *code)),
                        "{example}"
                    );
                    taken += 1;
                }
            }
        }
        assert!(taken > 60, "only {taken} examples were found");
    }
}
