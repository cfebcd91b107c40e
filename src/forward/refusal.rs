//! What the caller is told when there is no answer of Polar's to hand back.

use crate::polar::{RelayFault, Unreachable};
use crate::protocol::{Fault, FaultCode, HttpReply};

/// Why a request was not forwarded, or not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its path may be read in two ways, or is not Polar's.
    AmbiguousPath,
    /// It wants to speak something else than HTTP/1.1.
    Upgrade,
    /// Its method is meant for proxies.
    Method,
    /// As many as allowed are being forwarded.
    Busy,
    /// Its body is over the limit.
    BodyTooLarge {
        /// The limit.
        body_bytes_max: usize,
    },
    /// Its body broke off.
    IncompleteBody,
    /// Its body took too long.
    LateBody,
    /// No answer came.
    Unreachable(Unreachable),
}

impl Refusal {
    /// The answer.
    pub(super) fn reply(self) -> HttpReply {
        match self {
            Self::AmbiguousPath => HttpReply::error(
                FaultCode::AmbiguousPath,
                "this path may be read in more than one way, so it is not handed on to Polar: send it as Polar's \
                 documentation has it, beginning with /v1/, with every odd character percent-encoded once",
            ),
            Self::Upgrade => HttpReply::error(
                FaultCode::UpgradeRefused,
                "only HTTP/1.1 is handed on to Polar: send the request without an Upgrade header",
            ),
            Self::Method => HttpReply::error(
                FaultCode::MethodNotAllowed,
                "this method is not handed on to Polar: use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
            ),
            Self::Busy => {
                let message = "as many requests as allowed are on their way to Polar; send this one again in a moment, \
                               or raise forwarding.in_flight_max";
                let fault =
                    Fault { code: FaultCode::ForwardingBusy.as_str(), field: "", message: message.into() };
                HttpReply::unavailable(&fault, 1)
            }
            Self::BodyTooLarge { body_bytes_max } => {
                let detail = format!(
                    "the body is larger than the {body_bytes_max} bytes that are handed on to Polar; call Polar's own \
                     address, or raise forwarding.body_bytes_max"
                );
                HttpReply::error(FaultCode::BodyTooLarge, &detail)
            }
            Self::IncompleteBody => {
                HttpReply::error(FaultCode::IncompleteBody, "the body broke off; send it again")
            }
            Self::LateBody => HttpReply::error(
                FaultCode::RequestTimeout,
                "the body did not arrive in time; send it without pauses",
            ),
            Self::Unreachable(why) => unanswered(why),
        }
    }
}

/// Some may have done their work before the answer got lost, and the caller decides whether to ask again.
fn unanswered(why: Unreachable) -> HttpReply {
    let may_be_done = "Polar may have done what was asked all the same. Events are taken here meanwhile";
    let was_not_asked =
        "it was not asked for anything. Events are taken here meanwhile; try this again later";
    let (code, then) = match why {
        Unreachable::Timeout => (FaultCode::PolarTimeout, may_be_done),
        Unreachable::Reset | Unreachable::CutOff | Unreachable::Garbage => {
            (FaultCode::PolarUnreachable, may_be_done)
        }
        Unreachable::Refused
        | Unreachable::NoRoute
        | Unreachable::Dns
        | Unreachable::Tls(_)
        | Unreachable::Proxy => (FaultCode::PolarUnreachable, was_not_asked),
    };
    HttpReply::error(code, &format!("Polar gave no answer: {}; {then}", why.describe()))
}

impl From<RelayFault> for Refusal {
    fn from(fault: RelayFault) -> Self {
        match fault {
            RelayFault::PathNotPlain => Self::AmbiguousPath,
            RelayFault::Unreachable(why) => Self::Unreachable(why),
        }
    }
}
