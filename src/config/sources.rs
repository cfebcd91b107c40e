//! Where a configuration is read from, at the start and again at every reload.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::config_file::CONFIG_FILE;
use super::fault::Faults;
use super::origin::Origin;
use super::raw_config::{CONFIG_VARIABLE, RawConfig};
use super::surroundings::Surroundings;
use super::table::settings;
use super::token;
use crate::polar;

/// Flags, the variables of the process, and the file.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// What `--config` names.
    pub config: Option<PathBuf>,
    /// What flags say, by the key of their setting.
    pub flags: Vec<(&'static str, OsString)>,
    /// Leaves out the variables and everything else that only this machine knows.
    pub without_environment: bool,
    /// Looks for no token: for commands that send nothing.
    pub without_token: bool,
}

impl Sources {
    /// Reads all of them, as they are now.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(&self) -> Result<Config, Faults> {
        let surroundings =
            if self.without_environment { Surroundings::blank() } else { Surroundings::of_process() };
        self.read_in(&surroundings)
    }

    /// Only how Polar is reached, for commands that speak to it themselves and need nothing else. A token is taken where
    /// there is one; whether it is missed is for Polar to say.
    ///
    /// # Errors
    /// Every fault of these settings at once.
    pub fn polar(&self) -> Result<polar::Settings, Faults> {
        let surroundings = Surroundings::of_process();
        Config::polar(self.raw(&surroundings), &surroundings)
    }

    /// Whether a flag or a variable says what `key` is to be.
    #[must_use]
    pub fn names(&self, key: &str) -> bool {
        let variable = settings().find(|setting| setting.key == key).map(|setting| setting.variable);
        self.flags.iter().any(|(flag, _)| *flag == key)
            || variable.is_some_and(|name| Surroundings::of_process().variable(name).is_some())
    }

    /// The token of whoever asks: their variable alone.
    #[must_use]
    pub fn own_token() -> polar::TokenSource {
        token::by_variable(&Surroundings::of_process()).unwrap_or_default()
    }

    fn read_in(&self, surroundings: &Surroundings) -> Result<Config, Faults> {
        Config::new(self.raw(surroundings), surroundings)
    }

    fn raw(&self, surroundings: &Surroundings) -> RawConfig {
        let flags = self.flags.iter();
        let mut raw = flags.fold(RawConfig::default(), |raw, (key, value)| raw.with_flag(key, value));
        raw.without_token = self.without_token;
        raw.add_variables(surroundings);
        if let Some((path, named)) = self.file(surroundings) {
            raw.add_file(&path, &named);
        }
        raw
    }

    /// The file and who named it. The usual one is read only if it is there.
    fn file(&self, surroundings: &Surroundings) -> Option<(PathBuf, Origin)> {
        let by_flag = self.config.clone().map(|path| (path, Origin::Flag));
        let by_variable =
            || Some((surroundings.variable(CONFIG_VARIABLE)?.into(), Origin::Variable(CONFIG_VARIABLE)));
        let usual = || {
            let path = Path::new(CONFIG_FILE);
            // A folder that may not be entered is not taken for one without the file.
            path.try_exists().unwrap_or(true).then(|| (path.to_owned(), Origin::Default))
        };
        by_flag.or_else(by_variable).or_else(usual)
    }
}
