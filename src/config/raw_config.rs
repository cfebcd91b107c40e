//! What was given, before anything is believed of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::did_you_mean::did_you_mean;
use super::fault::Fault;
use super::origin::{Given, Origin};
use super::setting::Setting;
use super::surroundings::Surroundings;
use super::table::{setting, settings};

/// The variable that names the file.
pub(super) const CONFIG_VARIABLE: &str = "SLEDGE_CONFIG";
/// How our variables begin.
const PREFIX: &str = "SLEDGE_";
/// Variables of ours that are not settings of the daemon's configuration.
const OTHER_VARIABLES: [&str; 1] = [CONFIG_VARIABLE];

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawValue {
    /// By a flag or a variable: text, whatever it stands for.
    Word(OsString),
    /// In the file: a number, as its digits in a radix.
    Number(String, u32),
    /// In the file: a string.
    Quoted(String),
    /// In the file: a list of strings.
    List(Vec<String>),
    /// In the file: what no setting is, by the name of its type.
    Other(&'static str),
}

/// Every setting as it was given, by its key; stronger sources hide weaker ones.
#[derive(Clone, Debug, Default)]
pub struct RawConfig {
    given: BTreeMap<&'static str, Given<RawValue>>,
    /// What is wrong with names, and with what could not be read at all.
    pub(super) faults: Vec<Fault>,
    /// Whether parts of the file could not be read, so that what seems not to be given may have been.
    pub(super) is_torn: bool,
    /// Whether nothing is going to be sent, so that no token is looked for.
    pub(super) without_token: bool,
}

impl RawConfig {
    /// What a flag says; there is nothing stronger. Keys that are no setting's are ignored.
    #[must_use]
    pub fn with_flag(mut self, key: &str, value: impl Into<OsString>) -> Self {
        if let Some(setting) = setting(key) {
            self.given.insert(setting.key, Given::by_flag(RawValue::Word(value.into())));
        }
        self
    }

    /// Adds what the file says where nothing stronger spoke.
    pub(super) fn give(&mut self, setting: &'static Setting, given: Given<RawValue>) {
        self.given.entry(setting.key).or_insert(given);
    }

    /// Adds what the variables say where no flag spoke, and finds those that were probably meant to say something.
    pub(super) fn add_variables(&mut self, surroundings: &Surroundings) {
        for setting in settings() {
            if let Some(value) = surroundings.variable(setting.variable) {
                self.give(setting, Given::by_variable(setting.variable, RawValue::Word(value)));
            }
        }
        let known = || settings().map(|setting| setting.variable).chain(OTHER_VARIABLES);
        let bare = |name: &'static str| name.strip_prefix(PREFIX).unwrap_or(name);
        for name in surroundings.names_beginning(PREFIX) {
            // Kubernetes sets SLEDGE_PORT and the like where a service is called sledge: only a near miss is a fault.
            if known().all(|known| known != name)
                && let Some(meant) = did_you_mean(name.trim_start_matches(PREFIX), known().map(bare))
            {
                let problem = "there is no such variable";
                self.faults.push(Fault::new(
                    &name,
                    &Origin::Variable("the environment"),
                    problem,
                    &format!("did you mean {PREFIX}{meant}?"),
                ));
            }
        }
    }

    /// What was given for a key.
    pub(super) fn get(&self, key: &str) -> Option<&Given<RawValue>> {
        self.given.get(key)
    }

    /// A text that was given for a key.
    pub(super) fn text(&self, key: &str) -> Result<Option<Given<String>>, Fault> {
        let Some(Given { value, origin }) = self.get(key) else { return Ok(None) };
        let text = match value {
            RawValue::Word(word) => {
                word.to_str().map(str::to_owned).ok_or(("it is not UTF-8", "write it in UTF-8"))
            }
            RawValue::Quoted(text) => Ok(text.clone()),
            RawValue::Number(..) | RawValue::List(_) | RawValue::Other(_) => {
                Err(("this is not text", "write it in quotes"))
            }
        };
        let text = text.map_err(|(problem, fix)| Fault::new(key, origin, problem, fix))?;
        Ok(Some(Given { value: text, origin: origin.clone() }))
    }

    /// A path that was given for a key.
    pub(super) fn path(&self, key: &str) -> Result<Option<Given<PathBuf>>, Fault> {
        match self.get(key) {
            Some(Given { value: RawValue::Word(word), origin }) => {
                Ok(Some(Given { value: PathBuf::from(word), origin: origin.clone() }))
            }
            _ => Ok(self.text(key)?.map(|Given { value, origin }| Given { value: value.into(), origin })),
        }
    }
}
