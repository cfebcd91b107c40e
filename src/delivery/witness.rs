//! Who met a fault. What one batch alone meets may be its own fault, and then another batch passes.

use crate::event::Lane;

/// Who bears witness that Polar does not take requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// Batches that are suspected of their failures: they say nothing of any other.
    Suspect,
    /// One batch, known by its first event.
    One(Lane, u64),
    /// Several batches, or a fault that no event brings about.
    Sound,
}

impl Witness {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Suspect, witness) | (witness, Self::Suspect) => witness,
            (Self::One(..), Self::One(..)) if self == other => self,
            (Self::One(..) | Self::Sound, Self::One(..) | Self::Sound) => Self::Sound,
        }
    }

    /// Whether another batch would meet the same.
    pub(super) fn is_sound(self) -> bool {
        self == Self::Sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_batches_are_sound_witnesses_and_one_that_fails_again_and_again_is_not() {
        let (one, other) = (Witness::One(Lane::Usage, 7), Witness::One(Lane::Grants, 7));
        assert_eq!(one.and(one), one);
        assert_eq!(one.and(other), Witness::Sound);
        assert_eq!(Witness::Suspect.and(Witness::Suspect), Witness::Suspect);
        for witness in [one, Witness::Sound] {
            assert_eq!((witness.and(Witness::Suspect), Witness::Suspect.and(witness)), (witness, witness));
            assert_eq!(
                (witness.and(Witness::Sound), Witness::Sound.and(witness)),
                (Witness::Sound, Witness::Sound)
            );
        }
        assert!(!Witness::Suspect.is_sound() && !one.is_sound());
    }
}
