//! Everything that can go wrong with the journal.

/// Why an append was not taken, or was not made durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The disk is behind: `intake_bytes_max` is waiting already. Passes by itself in moments.
    #[error("the disk is behind and the intake buffer is full; send again in a moment")]
    Busy,
    /// The journal reached `journal_bytes_max` or the disk's low-water mark. Passes when Polar takes events again or the disk is freed.
    #[error("the journal is full ({detail}); send again later, or raise the limit or free the disk")]
    Full {
        /// Which limit, with figures.
        detail: String,
    },
    /// The journal stopped after a failed write or sync, or is closing.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Why the journal does not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It is closing or closed: the process is about to end.
    #[error("the journal is closed because sledge is stopping; send again once it is back")]
    Closed,
    /// A write or sync failed. What was acknowledged is safe; nothing more is taken until a restart has verified the disk.
    #[error("the journal stopped after a failed write ({detail}); restart sledge once the disk is healthy")]
    Poisoned {
        /// What failed.
        detail: String,
    },
}
