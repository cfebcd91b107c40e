//! How delivery ended.

/// What delivery had done when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Events that Polar confirmed after the drain had begun.
    pub delivered: u64,
    /// Events given up after the drain had begun.
    pub dead_lettered: u64,
    /// Events that were read from the journal and are still owed; the journal may hold more that were never read.
    pub left: u64,
    /// Why it ended.
    pub end: DrainEnd,
}

/// Why delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEnd {
    /// Nothing was owed any more.
    Empty,
    /// The deadline came, or what is left has to wait for longer than that.
    Deadline,
    /// Polar does not take events now; waiting for it would hold up the stop for nothing.
    PolarUnavailable,
}
