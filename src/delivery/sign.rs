//! What an answer means for everybody: whether Polar takes requests.

use std::time::Duration;

use super::hold::HoldReason;
use crate::polar::Reply;

/// What an answer tells about the way to Polar, whatever the batch was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Polar works and takes our requests.
    Alive,
    /// Polar, or the way there, does not work now.
    Down {
        /// The least to wait, when the answer says.
        retry_after: Option<Duration>,
    },
    /// Too many requests.
    Limited {
        /// The least to wait, when Polar says.
        retry_after: Option<Duration>,
    },
    /// No request can succeed before a person has mended something.
    Barred(HoldReason),
    /// Either that, or something on the way means only the events of this request. The next ones tell.
    PerhapsBarred(HoldReason),
}

impl Sign {
    /// Reads the sign in an answer.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        match reply {
            Reply::Accepted(_) => Self::Alive,
            // A 422 that means no event may well be the answer to every request.
            Reply::Invalid(reply) if reply.detail.iter().all(|fault| fault.event_index().is_none()) => {
                Self::Down { retry_after: None }
            }
            Reply::Invalid(_) => Self::Alive,
            Reply::Unauthorized { in_polars_words: true } => Self::Barred(HoldReason::Unauthorized),
            Reply::Forbidden => Self::Barred(HoldReason::Forbidden),
            // Polar itself answers these whatever the events are. What stands before it may not.
            Reply::Unauthorized { in_polars_words: false } => Self::PerhapsBarred(HoldReason::Unauthorized),
            Reply::NotFound => Self::PerhapsBarred(HoldReason::NotFound),
            Reply::Redirect { .. } => Self::PerhapsBarred(HoldReason::Redirected),
            Reply::Unproven { .. } => Self::PerhapsBarred(HoldReason::AnswerMismatch),
            Reply::ProxyLogin => Self::Barred(HoldReason::ProxyLogin),
            Reply::RateLimited { retry_after } => Self::Limited { retry_after: *retry_after },
            Reply::ServerError { retry_after, .. } => Self::Down { retry_after: *retry_after },
            // A gateway may well say this of everything, too.
            Reply::TooLarge | Reply::LengthRequired | Reply::Refused { .. } | Reply::Unreachable(_) => {
                Self::Down { retry_after: None }
            }
        }
    }

    /// Whether the answer to a batch that is suspected already says nothing of the way to Polar. A gateway's own failures
    /// and no answer at all do.
    pub(super) fn is_of_the_batch(self, reply: &Reply) -> bool {
        match self {
            Self::Down { .. } | Self::PerhapsBarred(_) => {
                reply.status().is_some_and(|status| !is_of_a_gateway(status))
            }
            Self::Alive | Self::Limited { .. } | Self::Barred(_) => false,
        }
    }
}

/// Gateways answer these by themselves, about the server behind them and not about the request.
pub(super) fn is_of_a_gateway(status: u16) -> bool {
    matches!(status, 408 | 502 | 503 | 504 | 520..=530)
}
