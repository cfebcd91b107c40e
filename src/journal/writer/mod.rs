//! The one thread that writes: groups, their sync, and the accounts that follow from it.

mod committer;
mod group;
mod inbox;
mod ledger;
mod look;
mod measuring;
mod restorer;
mod shared;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, reason = "the fuzzers need less of it than the tests"))]
mod writer_by_hand;

pub(super) use committer::Committer;
pub(super) use group::push_letter;
pub(super) use inbox::Command;
pub(super) use ledger::Ledger;
pub(super) use look::{
    AWAY_LOOKS_MAX, AWAY_PAUSE, Content, FETCH_BLOCKS_MAX, KnownBlock, LookOrder, Shown, ShownBlock,
};
pub(super) use measuring::Measured;
pub use restorer::Restorer;
pub(super) use shared::Shared;
#[cfg(any(test, fuzzing))]
pub(crate) use writer_by_hand::WriterByHand;
