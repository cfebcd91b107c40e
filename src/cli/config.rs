//! `sledge config`: looking at the configuration without running anything.

use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};

use super::config_args::ConfigArgs;
use super::voice::{Exit, Failure, Voice};
use crate::config::{ANNOTATED_DEFAULTS, Config, Origin, Setting, Sources, settings};
use crate::polar::{Credentials, TokenSource};

/// Checks or shows the configuration; nothing is started or changed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge config default > sledge.toml
  sledge config check --config sledge.toml
  sledge config show --origin")]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(CheckArgs),
    Show(ShowArgs),
    Default(DefaultArgs),
}

/// Says whether `sledge run` would take this configuration, with every fault at once.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge config check
  sledge config check --config sledge.toml --no-environment

Exit codes: 0 ok, 78 a setting can't be used.")]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Leaves out the variables, and everything else that only the machine it runs on knows
    #[arg(long)]
    no_environment: bool,
}

/// Shows every value as it would hold, in the form of the file. The token is never shown.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge config show --origin
  sledge config show --json --config sledge.toml

Exit codes: 0 ok, 78 a setting can't be used.")]
struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Tells where each value came from
    #[arg(long)]
    origin: bool,
    /// Everything as JSON, origins included
    #[arg(long)]
    json: bool,
    /// Leaves out the variables, and everything else that only the machine it runs on knows
    #[arg(long)]
    no_environment: bool,
}

/// Prints a file with every setting, its default and its reason, to begin from.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge config default > sledge.toml

Exit codes: 0 printed.")]
struct DefaultArgs {}

pub(super) fn config(command: ConfigCommand, voice: &mut Voice) -> Result<Exit, Failure> {
    match command.verb {
        Verb::Check(CheckArgs { config, no_environment }) => {
            read(Sources { without_environment: no_environment, ..config.sources })?;
            voice.say("ok")?;
        }
        Verb::Show(ShowArgs { config, origin, json, no_environment }) => {
            // Whoever only looks may do so without the token.
            let sources = Sources { without_environment: no_environment, ..config.sources };
            let config = read(sources.clone())
                .or_else(|failure| read(Sources { without_token: true, ..sources }).map_err(|_| failure))?;
            let text = if json { as_json(&config).to_string() } else { as_toml(&config, origin) };
            voice.say(text.trim_end())?;
        }
        Verb::Default(DefaultArgs {}) => voice.say(ANNOTATED_DEFAULTS.trim_end())?,
    }
    Ok(Exit::Ok)
}

fn read(sources: Sources) -> Result<Config, Failure> {
    Ok(sources.read()?)
}

fn as_toml(config: &Config, with_origins: bool) -> String {
    let mut text = format!("# the token is {}\n", Token::of(config).in_words());
    let mut section = "";
    for setting in settings() {
        if std::mem::replace(&mut section, setting.section()) != setting.section() {
            text.push_str(&format!("\n[{section}]\n"));
        }
        let line = match setting.value(config) {
            Some(value) => format!("{} = {}", setting.name(), value.to_toml()),
            None => format!("# {} is not given", setting.name()),
        };
        text.push_str(&line);
        if with_origins {
            let origin = config.origins.of(setting.key);
            text.push_str(&format!("{:>1$}# {origin}", "", 48_usize.saturating_sub(line.len()).max(2)));
        }
        text.push('\n');
    }
    text
}

fn as_json(config: &Config) -> Json {
    let settings: Map<String, Json> =
        settings().map(|setting| (setting.key.to_owned(), entry(setting, config))).collect();
    let token = Token::of(config);
    json!({ "settings": settings, "token": { "set": token.is_set, "source": token.source } })
}

fn entry(setting: &Setting, config: &Config) -> Json {
    let origin = match config.origins.of(setting.key) {
        Origin::Default => json!({ "kind": "default" }),
        Origin::Flag => json!({ "kind": "flag" }),
        Origin::Variable(name) => json!({ "kind": "variable", "name": name }),
        Origin::File(place) => {
            let file = place.file.display().to_string();
            json!({ "kind": "file", "file": file, "line": place.line, "column": place.column })
        }
    };
    json!({ "value": setting.value(config), "origin": origin })
}

/// What may be told of the token.
struct Token {
    is_set: bool,
    source: Option<String>,
}

impl Token {
    fn of(config: &Config) -> Self {
        let source = &config.polar.token;
        let told = match source {
            TokenSource::None => None,
            TokenSource::Fixed(_) => Some("POLAR_ACCESS_TOKEN".to_owned()),
            TokenSource::File(path) => Some(path.display().to_string()),
        };
        Self { is_set: Credentials::new(source.clone()).token().is_some(), source: told }
    }

    fn in_words(&self) -> String {
        match (self.is_set, &self.source) {
            (true, Some(source)) => format!("set, by {source}"),
            (false, Some(source)) => format!("not set: {source} holds none that can be used"),
            (_, None) => "not set".to_owned(),
        }
    }
}
