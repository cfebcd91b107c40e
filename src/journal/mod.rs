//! Where events are kept: blocks on sled, written by one thread, acknowledged only after a real sync.
//!
//! Others hold handles: an [`Appender`] puts events in, a [`Consumer`] takes blocks out and settles them, and
//! [`Accounts`] says at any moment what has become of everything.

mod accounts;
mod appender;
mod attempts;
mod consumer;
mod counted;
mod disk;
mod error;
mod files;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod journal;
mod letters;
mod past;
mod pending;
mod settings;
mod settlement;
mod source;
#[cfg(test)]
mod tests;
mod volumes;
mod writer;

pub use accounts::{Accounts, AccountsReader, OnRecord, Restored};
pub use appender::{Append, Appender, NotTaken, Receipt};
pub use attempts::{Attempt, Attempts, Carried};
pub use consumer::{Block, BlockId, Consumer};
pub(crate) use counted::counted;
pub use error::{AppendError, JournalError, OpenError};
pub use files::{
    CheckReport, Extract, ExtractError, Extracted, RowReport, VolumeReport, Wanted, check, extract,
    quarantined, sample,
};
pub use journal::Journal;
pub use letters::{
    DeadLetter, DeadLetters, DeadReason, KeptLetter, LetterNumber, LetterPage, Origin, Retried, RetryRefused,
};
pub use past::{
    Answer, EventState, ExplainedEvent, ExplainedLetter, Explanation, Recall, ReplayProgress, Replayed,
    Searched, Span,
};
pub use pending::{Pending, PendingEvents, PendingUnits};
pub use settings::Settings;
pub use settlement::{Amount, SettledBlock, SettledRun, Settlement};
pub use source::Source;
pub use writer::Restorer;
#[cfg(any(test, fuzzing))]
pub(crate) use writer::WriterByHand;
