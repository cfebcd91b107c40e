//! Which of the two roads through the journal an event takes.

use serde::{Deserialize, Serialize};

/// Grants overtake usage everywhere: a grant helps a customer who is waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Credit grants: the grant shorthand, and any event with a negative number in its metadata.
    Grants,
    /// Everything else.
    Usage,
}

impl Lane {
    /// Both lanes, in the order they are delivered.
    pub const ALL: [Self; 2] = [Self::Grants, Self::Usage];

    /// The lane's name as metrics, logs and folders spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grants => "grants",
            Self::Usage => "usage",
        }
    }
}

/// One value for each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerLane<T> {
    /// The value of [`Lane::Grants`].
    pub grants: T,
    /// The value of [`Lane::Usage`].
    pub usage: T,
}

impl<T> std::ops::Index<Lane> for PerLane<T> {
    type Output = T;
    fn index(&self, lane: Lane) -> &T {
        match lane {
            Lane::Grants => &self.grants,
            Lane::Usage => &self.usage,
        }
    }
}

impl<T> std::ops::IndexMut<Lane> for PerLane<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Grants => &mut self.grants,
            Lane::Usage => &mut self.usage,
        }
    }
}
