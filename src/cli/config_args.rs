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

fn flagged() -> impl Iterator<Item = (&'static Setting, Flag)> {
    settings().filter_map(|setting| Some((setting, setting.flag?)))
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

impl Args for ConfigArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .env("SLEDGE_CONFIG")
            .hide_env_values(true)
            .value_parser(ValueParser::os_string())
            .help(format!("The configuration file [default: {CONFIG_FILE}, if it is there]"));
        let defaults = Config::new(RawConfig::default(), &Surroundings::blank()).ok();
        flagged().fold(command.arg(config), |command, (setting, flag)| {
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

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let by_flag = |id: &str| {
            let is_flag = matches.value_source(id) == Some(ValueSource::CommandLine);
            matches.get_one::<OsString>(id).filter(|_| is_flag).cloned()
        };
        let flags = flagged().filter_map(|(setting, _)| Some((setting.key, by_flag(setting.key)?))).collect();
        let config = by_flag("config").map(PathBuf::from);
        Ok(Self { sources: Sources { config, flags, ..Sources::default() } })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

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
