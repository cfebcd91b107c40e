//! Tracing set-up: logs go to standard error, as text for people or as JSON lines for collectors.

use std::io::IsTerminal;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry};

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One readable line for each event; coloured on a terminal only.
    #[default]
    Text,
    /// One JSON object for each event, its fields at the top level.
    Json,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// Its name as flags and configuration spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
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

/// The filter in use, which can be changed while the process runs.
#[derive(Clone, Debug)]
pub struct FilterHandle(reload::Handle<EnvFilter, Registry>);

impl FilterHandle {
    /// Logs what passes this filter from now on.
    ///
    /// # Errors
    /// When the filter can't be read; the one in use stays.
    pub fn change(&self, filter: &str) -> Result<(), TelemetryError> {
        let filter = read_filter(filter)?;
        // It fails only once there is no logging any more, and then nobody could be told.
        drop(self.0.reload(filter));
        Ok(())
    }
}

/// Whether this is a filter.
///
/// # Errors
/// When it can't be read.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    read_filter(filter).map(drop)
}

fn read_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })
}

/// Sends everything traced from now on to standard error.
///
/// # Errors
/// When the filter can't be read, or logging was set up before.
pub fn init(settings: &Settings) -> Result<FilterHandle, TelemetryError> {
    let (subscriber, filter) = subscriber(settings, std::io::stderr)?;
    subscriber.try_init()?;
    Ok(filter)
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(settings: &Settings, writer: W) -> Result<(Subscriber, FilterHandle), TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(read_filter(&settings.filter)?);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(settings.colour);
    let subscriber: Subscriber = match settings.format {
        Format::Text => Box::new(registry.with(layer.with_target(false))),
        Format::Json => Box::new(registry.with(layer.json().flatten_event(true).with_ansi(false))),
    };
    Ok((subscriber, FilterHandle(handle)))
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
        let (subscriber, _) = subscriber(settings, move || writer.clone()).unwrap();
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
    fn the_filter_can_be_changed_while_it_is_in_use() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, filter) =
            subscriber(&settings(Format::Text, "warn"), move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            filter.change("info").unwrap();
            assert!(filter.change("sledge=loud").is_err());
            tracing::info!("after");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("before") && text.contains("after"), "{text}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_says_what_can() {
        let fault = subscriber(&settings(Format::Text, "sledge=loud"), std::io::sink).err().unwrap();
        assert!(fault.to_string().contains("debug"), "{fault}");
    }
}
