//! Which road an event came into its lane by.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::accounts::Restored;
use crate::metrics::Listener;

/// Where the codes of restored events begin; those below are listeners'.
const RESTORED: usize = 8;
/// A code has four bits.
const CODES: u8 = 16;

/// The road an event came into its lane by: a listener, or back from where it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An application sent it.
    Listener(Listener),
    /// It had been here before.
    Restored(Restored),
}

impl Source {
    /// Its label, as the metrics spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listener(listener) => listener.as_str(),
            Self::Restored(restored) => restored.as_str(),
        }
    }

    /// The four bits that stand for it on disk; 0 stands for a road that is not known.
    pub(super) fn code(source: Option<Self>) -> u8 {
        (0..CODES).find(|code| Self::from_code(*code) == source).unwrap_or_default()
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        let code = usize::from(code);
        match code.checked_sub(RESTORED) {
            Some(place) => Restored::ALL.get(place).copied().map(Self::Restored),
            None => Listener::ALL.get(code.checked_sub(1)?).copied().map(Self::Listener),
        }
    }

    fn from_label(label: &str) -> Option<Self> {
        (0..CODES).filter_map(Self::from_code).find(|source| source.as_str() == label)
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let label = String::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom("no such road into the journal");
        Self::from_label(&label).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_road_has_a_code_of_its_own_that_never_changes() {
        let listeners = Listener::ALL.map(Source::Listener).map(|source| Source::code(Some(source)));
        assert_eq!(listeners, [1, 2, 3, 4]);
        let restored = Restored::ALL.map(Source::Restored).map(|source| Source::code(Some(source)));
        assert_eq!(restored, [8, 9, 10, 11]);
        assert_eq!(Source::code(None), 0);
        for code in 0..16 {
            let source = Source::from_code(code);
            assert!(source.is_none() || Source::code(source) == code);
        }
    }

    #[test]
    fn a_road_is_written_as_the_metrics_spell_it() {
        let source = Source::Restored(Restored::Requeue);
        assert_eq!(serde_json::to_string(&source).unwrap(), "\"requeue\"");
        assert_eq!(serde_json::from_str::<Source>("\"requeue\"").unwrap(), source);
        assert_eq!(serde_json::from_str::<Source>("\"tcp\"").unwrap(), Source::Listener(Listener::Tcp));
        assert!(serde_json::from_str::<Source>("\"pigeon\"").is_err());
    }
}
