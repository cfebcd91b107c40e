//! Tracing set-up: logs go to standard error, as text for people or as JSON lines for collectors.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One readable line for each event; coloured on a terminal only.
    #[default]
    Text,
    /// One JSON object for each event, its fields at the top level.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a line is written.
    pub format: Format,
    /// A level (`info`), or filter directives (`info,sledge::delivery=debug`).
    pub filter: String,
    /// Whether text may be coloured.
    pub colour: bool,
}

impl Settings {
    /// Text at `info`, coloured when standard error is a terminal and `no_color` (the variable `NO_COLOR`) is not
    /// set to anything.
    #[must_use]
    pub fn for_stderr(no_color: bool) -> Self {
        let colour = !no_color && std::io::stderr().is_terminal();
        Self { format: Format::Text, filter: "info".to_owned(), colour }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter can't be read.
    #[error(
        "{filter:?} is not a log filter; give a level (error, warn, info, debug, trace) or directives such as info,sledge::delivery=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// It was set up before in this process.
    #[error("logging was set up twice")]
    Twice(#[from] TryInitError),
}

/// Sends everything traced from now on to standard error.
///
/// # Errors
/// When the filter can't be read, or logging was set up before.
pub fn init(settings: &Settings) -> Result<(), TelemetryError> {
    subscriber(settings, std::io::stderr)?.try_init()?;
    Ok(())
}

fn subscriber<W>(
    settings: &Settings,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|source| TelemetryError::Filter { filter: settings.filter.clone(), source })?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(settings.colour);
    Ok(match settings.format {
        Format::Text => Box::new(registry.with(layer.with_target(false))),
        Format::Json => Box::new(registry.with(layer.json().flatten_event(true).with_ansi(false))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(settings: &Settings, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(settings, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn settings(format: Format, filter: &str) -> Settings {
        Settings { format, filter: filter.to_owned(), colour: false }
    }

    #[test]
    fn text_without_colour_has_no_escape_codes() {
        let text = logged(&settings(Format::Text, "info"), || tracing::info!(lane = "usage", "started"));
        assert!(text.contains("started") && text.contains("lane=\"usage\""), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn json_lines_have_their_fields_at_the_top_level() {
        let text = logged(&settings(Format::Json, "info"), || tracing::warn!(events = 3, "refused"));
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "refused");
        assert_eq!(line["events"], 3);
        assert_eq!(line["level"], "WARN");
    }

    #[test]
    fn the_filter_keeps_quiet_levels_out() {
        let text = logged(&settings(Format::Text, "warn"), || tracing::info!("chatter"));
        assert_eq!(text, "");
    }

    #[test]
    fn a_filter_that_cannot_be_read_says_what_can() {
        let fault = subscriber(&settings(Format::Text, "sledge=loud"), std::io::sink).err().unwrap();
        assert!(fault.to_string().contains("debug"), "{fault}");
    }
}
