//! Standard output and standard error, spoken to in one place.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;

/// Where a command speaks: results to standard output, everything else to standard error.
#[derive(Debug)]
pub(in crate::cli) struct Voice {
    colour: bool,
    progress_shown: bool,
    progress_wanted: bool,
}

/// How a piece of output is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Tone {
    /// All is well.
    Good,
    /// A person should look.
    Bad,
    /// Beside the point.
    Quiet,
}

impl Voice {
    /// Colour only where a terminal shows the output and `NO_COLOR` is not set; progress only on a terminal.
    pub(in crate::cli) fn new(no_color: bool) -> Self {
        Self {
            colour: !no_color && io::stdout().is_terminal(),
            progress_shown: false,
            progress_wanted: io::stderr().is_terminal(),
        }
    }

    /// A line of the result. Whoever stopped reading it (`| head`) has heard enough: that is no failure.
    pub(in crate::cli) fn say(&mut self, line: &str) -> Result<(), Failure> {
        self.clear_progress();
        let mut out = io::stdout().lock();
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A line of the result that is JSON.
    pub(in crate::cli) fn say_json(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(object).map_err(|error| Failure::of(Exit::Io, &error))?;
        self.say(&line)
    }

    /// A line beside the result. There is nobody to tell when it can't be written.
    pub(in crate::cli) fn note(&mut self, line: &str) {
        self.clear_progress();
        drop(writeln!(io::stderr().lock(), "{line}"));
    }

    /// What went wrong.
    pub(in crate::cli) fn complain(&mut self, message: &str) {
        self.note(&format!("sledge: {message}"));
    }

    /// Replaces the progress line; silent where nobody watches.
    pub(in crate::cli) fn progress(&mut self, line: &str) {
        if self.progress_wanted {
            self.progress_shown = true;
            let mut err = io::stderr().lock();
            drop(write!(err, "\r{line}\u{1b}[K").and_then(|()| err.flush()));
        }
    }

    fn clear_progress(&mut self) {
        if std::mem::take(&mut self.progress_shown) {
            drop(write!(io::stderr().lock(), "\r\u{1b}[K"));
        }
    }

    /// The text in the colour of its tone, where there is colour.
    pub(in crate::cli) fn toned(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Quiet => "2",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_a_text_stays_as_it_is() {
        let mut voice = Voice { colour: false, progress_shown: false, progress_wanted: false };
        assert_eq!(voice.toned(Tone::Bad, "held"), "held");
        voice.colour = true;
        assert_eq!(voice.toned(Tone::Bad, "held"), "\u{1b}[1;31mheld\u{1b}[0m");
    }
}
