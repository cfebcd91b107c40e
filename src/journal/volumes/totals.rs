//! What pending blocks come to.

use crate::event::UnixMillis;
use crate::journal::format::BlockEntry;

/// Sums over pending blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::journal) struct Totals {
    pub(in crate::journal) events: u64,
    pub(in crate::journal) text_bytes: u64,
    pub(in crate::journal) from_intake: u64,
    pub(super) oldest_since: Option<UnixMillis>,
}

impl Totals {
    pub(super) fn of<'a>(entries: impl Iterator<Item = &'a BlockEntry>) -> Self {
        entries.fold(Self::default(), |mut totals, entry| {
            totals.events += u64::from(entry.events);
            totals.text_bytes += u64::from(entry.text_bytes);
            totals.from_intake += if entry.from_intake { u64::from(entry.events) } else { 0 };
            totals.oldest_since = totals.oldest_since.or(Some(entry.since));
            totals
        })
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            text_bytes: self.text_bytes + other.text_bytes,
            from_intake: self.from_intake + other.from_intake,
            oldest_since: self.oldest_since.or(other.oldest_since),
        }
    }

    /// What of these is not in `left` any more.
    pub(super) fn without(self, left: Self) -> Self {
        Self {
            events: self.events.saturating_sub(left.events),
            text_bytes: self.text_bytes.saturating_sub(left.text_bytes),
            from_intake: self.from_intake.saturating_sub(left.from_intake),
            oldest_since: None,
        }
    }
}
