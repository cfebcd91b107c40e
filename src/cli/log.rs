//! What the long-running commands write to standard error.

use clap::{Args, ValueEnum};

use super::failure::Failure;
use crate::telemetry;

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One readable line for each event
    Text,
    /// One JSON object for each event
    Json,
}

/// What is logged.
#[derive(Args, Debug)]
pub(super) struct LogArgs {
    /// How log lines on standard error are written [default: text, coloured on a terminal]
    #[arg(long, value_name = "FORMAT", env = "SLEDGE_LOG_FORMAT", hide_env_values = true)]
    log_format: Option<Format>,
    /// What is logged: error, warn, info, debug, trace, or directives such as info,sledge::delivery=debug
    #[arg(long, value_name = "FILTER", env = "SLEDGE_LOG", hide_env_values = true)]
    log_level: Option<String>,
}

impl LogArgs {
    /// Starts logging; `quietest` is the level when nobody chose one.
    pub(super) fn start(self, no_color: bool, quietest: &str) -> Result<(), Failure> {
        let mut settings = telemetry::Settings::for_stderr(no_color);
        settings.filter =
            self.log_level.filter(|given| !given.is_empty()).unwrap_or_else(|| quietest.to_owned());
        if self.log_format == Some(Format::Json) {
            settings.format = telemetry::Format::Json;
        }
        Ok(telemetry::init(&settings)?)
    }
}
