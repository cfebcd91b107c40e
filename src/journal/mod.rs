//! Where events are kept: blocks on sled, written by one thread, acknowledged only after a real sync.
//!
//! Others hold handles: an [`Appender`] puts events in, a [`Consumer`] takes blocks out and settles them, and
//! [`Accounts`] says at any moment what has become of everything.

mod accounts;
mod appender;
mod attempts;
mod bad_sectors;
mod ballast;
mod block_builder;
mod check;
#[cfg(test)]
mod check_tests;
mod committer;
mod consumer;
mod continuity;
#[cfg(test)]
mod continuity_tests;
mod copies;
#[cfg(test)]
mod damage_model_tests;
#[cfg(test)]
mod damage_tests;
mod dead_letter;
mod dead_letters;
mod dead_limit;
mod decimal;
mod deputy;
mod error;
mod explain;
mod extract;
#[cfg(test)]
mod extract_tests;
#[cfg(test)]
mod fixtures;
mod found;
mod frame;
#[cfg(test)]
mod frame_tests;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
#[cfg(test)]
mod golden_tests;
mod group;
mod high_water;
mod inbox;
mod janitor;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod journal;
mod ledger;
mod letter_order;
#[cfg(test)]
mod letters_model_tests;
#[cfg(test)]
mod letters_tests;
mod look;
mod looker;
mod loss_book;
mod loss_lines;
#[cfg(test)]
mod loss_tests;
mod measuring;
#[cfg(test)]
mod memory_disk;
#[cfg(test)]
mod memory_store;
#[cfg(test)]
mod model_tests;
mod open_volume;
mod opening;
mod pace;
mod pending_units;
mod promise;
#[cfg(test)]
mod reading_tests;
mod recall;
#[cfg(test)]
mod recall_tests;
mod repacking;
#[cfg(test)]
mod repacking_tests;
mod replay;
mod requeue;
mod restorer;
mod retiring;
mod rewriting;
mod row;
mod row_folder;
mod salvage;
mod sample;
mod scan;
mod settings;
mod settlement;
mod settlement_record;
mod shared;
mod sled_store;
mod sled_volume;
mod source;
mod space;
mod store;
mod survey;
mod system;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod told_once_tests;
mod totals;
mod units_watch;
mod visit;
mod volatile;
mod volume_file;
mod volume_index;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, reason = "the fuzzers need less of it than the tests"))]
mod writer_by_hand;

pub use accounts::{Accounts, AccountsReader, OnRecord, Restored};
pub use appender::{Append, Appender, NotTaken, Receipt};
pub use attempts::{Attempt, Attempts, Carried};
pub use check::{CheckReport, RowReport, VolumeReport, check};
pub use consumer::{Block, BlockId, Consumer};
pub use dead_letter::{DeadLetter, DeadReason, Origin};
pub use dead_letters::{DeadLetters, KeptLetter, LetterNumber, LetterPage, Retried};
pub use error::{AppendError, JournalError, OpenError};
pub use explain::{Answer, EventState, ExplainedEvent, ExplainedLetter, Explanation};
pub use extract::{Extract, ExtractError, Extracted, Wanted, extract};
pub use journal::Journal;
pub use looker::Searched;
pub use pending_units::{Pending, PendingEvents, PendingUnits};
pub use recall::Recall;
pub use replay::{ReplayProgress, Replayed, Span};
pub use requeue::RetryRefused;
pub use restorer::Restorer;
pub use sample::{quarantined, sample};
pub use settings::Settings;
pub use settlement::{Amount, SettledBlock, SettledRun, Settlement};
pub use source::Source;
#[cfg(any(test, fuzzing))]
pub(crate) use writer_by_hand::WriterByHand;
