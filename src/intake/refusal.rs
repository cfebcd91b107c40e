//! Why the journal did not take events, as senders are told.

use crate::journal::{AppendError, JournalError};
use crate::protocol::{Fault, FaultCode};

/// Seconds after which a sender may find room again when the disk is behind: it is a matter of moments.
const RETRY_BUSY_SECONDS: u32 = 1;
/// Seconds after which it is worth asking again when Polar, a person or a restart must help first.
const RETRY_LATER_SECONDS: u32 = 30;

/// The journal's no to events that are right in themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Code and words.
    pub(super) fault: Fault<'static>,
    /// For `Retry-After`.
    pub(super) retry_after_seconds: u32,
    /// Whether this process will take nothing more.
    pub(super) is_final: bool,
}

impl From<&AppendError> for Refusal {
    fn from(error: &AppendError) -> Self {
        let (code, retry_after_seconds, is_final) = match error {
            AppendError::Busy => (FaultCode::Busy, RETRY_BUSY_SECONDS, false),
            AppendError::Full { .. } => (FaultCode::JournalFull, RETRY_LATER_SECONDS, false),
            AppendError::Journal(JournalError::Closed | JournalError::NoThread { .. }) => {
                (FaultCode::JournalClosed, RETRY_BUSY_SECONDS, true)
            }
            AppendError::Journal(JournalError::Poisoned { .. }) => {
                (FaultCode::JournalFailed, RETRY_LATER_SECONDS, true)
            }
        };
        Self {
            fault: Fault { code: code.as_str(), field: "", message: error.to_string().into() },
            retry_after_seconds,
            is_final,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_no_of_the_journal_has_a_stable_code() {
        let code = |error: AppendError| {
            let refusal = Refusal::from(&error);
            (refusal.fault.code, refusal.is_final)
        };
        assert_eq!(code(AppendError::Busy), ("busy", false));
        assert_eq!(code(AppendError::Full { detail: String::new() }), ("journal_full", false));
        assert_eq!(code(JournalError::Closed.into()), ("journal_closed", true));
        assert_eq!(code(JournalError::Poisoned { detail: String::new() }.into()), ("journal_failed", true));
    }
}
