//! The flags of the configuration, as the table of settings has them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{
    CONFIG_FILE, Config, DefaultValue, Flag, RawConfig, Setting, Sources, Surroundings, Value, settings,
};

/// `--config` and one flag for each setting that has one. Variables are not read here but with the file: the
/// definitions name them for the help only.
#[derive(Clone, Debug)]
pub(super) struct ConfigArgs {
    pub(super) sources: Sources,
}

/// Those of them that say how Polar is reached, for commands that speak to it themselves.
#[derive(Clone, Debug)]
pub(super) struct PolarArgs {
    pub(super) sources: Sources,
}

type IsWanted = fn(&str) -> bool;

fn all(_key: &str) -> bool {
    true
}

fn about_polar(key: &str) -> bool {
    matches!(key, "environment" | "polar_url" | "token_file")
}

fn flagged(is_wanted: IsWanted) -> impl Iterator<Item = (&'static Setting, Flag)> {
    settings()
        .filter(move |setting| is_wanted(setting.key))
        .filter_map(|setting| Some((setting, setting.flag?)))
}

/// The meaning as help has it: sentences without the last stop, and the default.
fn help(setting: &Setting, defaults: Option<&Config>) -> String {
    let meaning = setting.meaning.trim_end_matches('.');
    let default = match setting.default {
        DefaultValue::Varies { words, .. } => words.to_owned(),
        DefaultValue::Fixed => match defaults.and_then(|defaults| setting.value(defaults)) {
            Some(Value::Text(text)) => text,
            Some(value @ (Value::Number(_) | Value::Texts(_))) => value.to_toml(),
            None => return meaning.to_owned(),
        },
    };
    format!("{meaning} [default: {default}]")
}

fn augmented(command: Command, is_wanted: IsWanted) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .env("SLEDGE_CONFIG")
        .hide_env_values(true)
        .value_parser(ValueParser::os_string())
        .help(format!("The configuration file [default: {CONFIG_FILE}, if it is there]"));
    let defaults = Config::new(RawConfig::default(), &Surroundings::blank()).ok();
    flagged(is_wanted).fold(command.arg(config), |command, (setting, flag)| {
        let arg = Arg::new(setting.key)
            .long(flag.name)
            .value_name(flag.value)
            .env(setting.variable)
            .hide_env_values(true)
            .value_parser(ValueParser::os_string())
            .help(help(setting, defaults.as_ref()));
        command.arg(arg)
    })
}

fn sources(matches: &ArgMatches, is_wanted: IsWanted) -> Sources {
    let by_flag = |id: &str| {
        let is_flag = matches.value_source(id) == Some(ValueSource::CommandLine);
        matches.get_one::<OsString>(id).filter(|_| is_flag).cloned()
    };
    let flags =
        flagged(is_wanted).filter_map(|(setting, _)| Some((setting.key, by_flag(setting.key)?))).collect();
    Sources { config: by_flag("config").map(PathBuf::from), flags, ..Sources::default() }
}

macro_rules! args {
    ($name:ident, $is_wanted:path) => {
        impl Args for $name {
            fn augment_args(command: Command) -> Command {
                augmented(command, $is_wanted)
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self { sources: sources(matches, $is_wanted) })
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

args!(ConfigArgs, all);
args!(PolarArgs, about_polar);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_kept_by_the_key_of_their_setting_even_when_empty() {
        let command = ConfigArgs::augment_args(Command::new("run"));
        let words = ["run", "--data-dir", "/d", "--environment", "", "--config", "/c"];
        let args = ConfigArgs::from_arg_matches(&command.get_matches_from(words)).unwrap();
        let flags: Vec<(&str, OsString)> = vec![("data_dir", "/d".into()), ("environment", "".into())];
        assert_eq!((args.sources.flags, args.sources.config), (flags, Some("/c".into())));
    }
}
