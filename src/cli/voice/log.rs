//! What the long-running commands write to standard error.

use clap::Args;

use super::failure::Failure;
use crate::config::LogSettings;
use crate::telemetry::{self, FilterHandle};

/// What is logged.
#[derive(Args, Debug)]
pub(in crate::cli) struct LogArgs {
    /// How log lines on standard error are written: text or json [default: text, coloured on a terminal]
    #[arg(
        long,
        value_name = "FORMAT",
        env = "SLEDGE_LOG_FORMAT",
        hide_env_values = true,
        value_parser = read_format
    )]
    log_format: Option<telemetry::Format>,
    /// What is logged: error, warn, info, debug, trace, or directives such as info,sledge::delivery=debug
    #[arg(long, value_name = "FILTER", env = "SLEDGE_LOG", hide_env_values = true)]
    log_level: Option<String>,
}

impl LogArgs {
    /// Starts logging; `quietest` is the level when nobody chose one.
    pub(in crate::cli) fn start(self, no_color: bool, quietest: &str) -> Result<(), Failure> {
        let mut settings = telemetry::Settings::for_stderr(no_color);
        settings.filter =
            self.log_level.filter(|given| !given.is_empty()).unwrap_or_else(|| quietest.to_owned());
        settings.format = self.log_format.unwrap_or_default();
        telemetry::init(&settings)?;
        Ok(())
    }
}

/// Starts logging as the configuration has it.
pub(in crate::cli) fn start(log: &LogSettings, no_color: bool) -> Result<FilterHandle, Failure> {
    let mut settings = telemetry::Settings::for_stderr(no_color);
    settings.filter.clone_from(&log.filter);
    settings.format = log.format;
    Ok(telemetry::init(&settings)?)
}

/// An empty variable counts as not set.
fn read_format(text: &str) -> Result<telemetry::Format, &'static str> {
    match text {
        "" | "text" => Ok(telemetry::Format::Text),
        "json" => Ok(telemetry::Format::Json),
        _ => Err("write text or json"),
    }
}
