//! Where events are kept: blocks on sled, written by one thread, acknowledged only after a real sync.
//!
//! Others hold handles: an [`Appender`] puts events in, a [`Consumer`] takes blocks out and settles them, and
//! [`Accounts`] says at any moment what has become of everything.

mod accounts;
mod appender;
mod consumer;
mod dead_letter;
mod error;
mod settings;
mod settlement;

pub use accounts::{Accounts, AccountsReader, Restored};
pub use appender::{Append, Appender, NotTaken, Receipt};
pub use consumer::{Block, BlockId, Consumer};
pub use dead_letter::{DeadLetter, DeadReason, Origin};
pub use error::{AppendError, JournalError};
pub use settings::Settings;
pub use settlement::{Amount, SettledBlock, Settlement};
