//! What an answer means for the batch it answers.

use super::findings::{Finding, Findings};
use super::hold::HoldReason;
use super::patience::Patience;
use super::sign::is_of_a_gateway;
use crate::journal::DeadReason;
use crate::polar::{Reply, Unreachable, ValidationReply};

/// What is known of a batch when its answer comes, this answer not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Events in the request.
    pub sent: usize,
    /// Requests with this batch that failed without saying which event is at fault.
    pub failures: u32,
    /// Those of them that count as trials: Polar confirmed other events between any two.
    pub trials: u32,
    /// Those of the trials that point at its events rather than at the way to Polar.
    pub blamed: u32,
    /// Whether a failure now is one more trial.
    pub is_trial: bool,
    /// How many are enough.
    pub patience: Patience,
    /// Whether Polar confirmed events of other batches since the first of those failures (or since this batch was cut).
    pub others_confirmed: bool,
    /// Whether it was cut from a batch that kept failing, or is larger than what is known to pass.
    pub is_piece: bool,
    /// 200s to it whose sums were wrong.
    pub mismatches: u32,
    /// Whether nothing else is left to tell an outage from a poison by, so that it may be split without proof.
    pub may_split_blindly: bool,
}

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Polar has every event of it.
    Delivered {
        /// Events that were new to Polar.
        inserted: u64,
        /// Events it had already.
        duplicates: u64,
    },
    /// It is sent again as it is.
    Retry(Retry),
    /// It is sent again in two halves.
    Split,
    /// Polar named the events it won't take; the rest goes again at once.
    Isolate(Findings),
    /// It stays until a person has mended something, or Polar's answer changes.
    Hold(HoldReason),
    /// The event, alone in its request, is given up.
    DeadLetter(Cause),
}

/// How a batch is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// At once, the same ids: Polar will say what it has.
    AtOnce,
    /// As soon as anything may be sent.
    WithTheOthers,
    /// After a wait of its own, because it may be at fault itself. `blamed`: the answer points at its events.
    Suspected {
        /// Whether the answer points at its events rather than at the way to Polar.
        blamed: bool,
    },
}

/// Why an event alone is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The reason of the dead letter.
    pub reason: DeadReason,
    /// Its code.
    pub code: String,
    /// The field at fault, when Polar names one.
    pub field: Option<String>,
    /// Its words.
    pub message: String,
}

impl Outcome {
    /// Judges a batch by its answer.
    #[must_use]
    pub fn of(reply: &Reply, facts: &Facts) -> Self {
        match reply {
            Reply::Accepted(reply) => {
                if reply.inserted.checked_add(reply.duplicates) == Some(facts.sent as u64) {
                    Self::Delivered { inserted: reply.inserted, duplicates: reply.duplicates }
                } else if facts.mismatches == 0 {
                    Self::Retry(Retry::AtOnce)
                } else if facts.sent > 1 && facts.others_confirmed {
                    // Polar counts others right, so the halves tell which events it does not.
                    Self::Split
                } else {
                    Self::Hold(HoldReason::AnswerMismatch)
                }
            }
            Reply::Invalid(reply) => match Findings::read(reply, facts.sent) {
                Some(findings) => Self::Isolate(findings),
                None => refused_without_a_name(reply, facts),
            },
            Reply::Unauthorized { in_polars_words: true } => Self::Hold(HoldReason::Unauthorized),
            Reply::Forbidden => Self::Hold(HoldReason::Forbidden),
            Reply::RateLimited { .. } => Self::Retry(Retry::WithTheOthers),
            Reply::TooLarge if facts.sent > 1 => Self::Split,
            Reply::TooLarge => tried_alone(facts, true, || Cause {
                reason: DeadReason::TooLarge,
                code: "413".to_owned(),
                field: None,
                message:
                    "Polar answered 413 to this event alone, while it took other events: it is too large"
                        .to_owned(),
            }),
            Reply::ProxyLogin => Self::Hold(HoldReason::ProxyLogin),
            Reply::Unauthorized { in_polars_words: false } => failed(401, false, facts),
            Reply::NotFound => failed(404, false, facts),
            Reply::Unproven { status } | Reply::Redirect { status } => failed(*status, false, facts),
            // Every request has its length when it leaves. What takes it off may do so with some of them.
            Reply::LengthRequired => failed(411, false, facts),
            Reply::Refused { status } => failed(*status, true, facts),
            Reply::ServerError { status, .. } => failed(*status, !is_of_a_gateway(*status), facts),
            Reply::Unreachable(
                Unreachable::Refused
                | Unreachable::NoRoute
                | Unreachable::Dns
                | Unreachable::Tls(_)
                | Unreachable::Proxy,
            ) => Self::Retry(Retry::WithTheOthers),
            Reply::Unreachable(
                Unreachable::Timeout | Unreachable::Reset | Unreachable::CutOff | Unreachable::Garbage,
            ) => failed(0, false, facts),
        }
    }

    /// Whether the answer may be the fault of the events that got it, so that others may get another one.
    pub(super) fn may_be_the_events_fault(&self) -> bool {
        match self {
            Self::Retry(Retry::Suspected { .. }) | Self::Split | Self::DeadLetter(_) => true,
            Self::Delivered { .. }
            | Self::Retry(Retry::AtOnce | Retry::WithTheOthers)
            | Self::Isolate(_)
            | Self::Hold(_) => false,
        }
    }
}

/// A failure that may be the events' fault. `status` is 0 when there was no answer.
fn failed(status: u16, blamed: bool, facts: &Facts) -> Outcome {
    if facts.sent > 1 {
        let enough = if facts.is_piece { facts.patience.piece } else { facts.patience.whole };
        let proven = facts.others_confirmed && facts.failures.saturating_add(1) >= enough;
        return if proven || facts.may_split_blindly {
            Outcome::Split
        } else {
            Outcome::Retry(Retry::Suspected { blamed })
        };
    }
    tried_alone(facts, blamed, || {
        let (code, what) = match status {
            0 => ("no_answer".to_owned(), "did not answer".to_owned()),
            _ => (status.to_string(), format!("answered {status}")),
        };
        let failures = facts.failures.saturating_add(1);
        let hint = match status {
            200..=499 => "; something on the way to it, such as a firewall, may refuse what the event says",
            _ => "",
        };
        Cause {
            reason: DeadReason::Poison,
            code,
            field: None,
            message: format!(
                "Polar {what} to the last of the {failures} requests with this event alone, all of which failed, and took other events between them{hint}"
            ),
        }
    })
}

/// An event that failed alone is given up once it was tried often enough, with other events delivered between any two
/// of the trials: only that tells it from an outage.
fn tried_alone(facts: &Facts, blamed: bool, cause: impl FnOnce() -> Cause) -> Outcome {
    let trials = facts.trials + u32::from(facts.is_trial);
    let blames = facts.blamed + u32::from(facts.is_trial && blamed);
    if facts.is_trial && (blames >= facts.patience.blames || trials >= facts.patience.trials) {
        return Outcome::DeadLetter(cause());
    }
    Outcome::Retry(Retry::Suspected { blamed })
}

/// A 422 that does not say which event it means. Halves will tell; but as long as Polar takes nothing else either, the
/// fault may lie in every request, and then no event is to be given up for it.
fn refused_without_a_name(reply: &ValidationReply, facts: &Facts) -> Outcome {
    if facts.sent > 1 {
        return if !facts.is_piece || facts.others_confirmed || facts.may_split_blindly {
            Outcome::Split
        } else {
            Outcome::Retry(Retry::Suspected { blamed: true })
        };
    }
    match reply.detail.first() {
        Some(fault) => tried_alone(facts, true, || {
            let finding = Finding::new(0, fault);
            Cause {
                reason: DeadReason::RefusedByPolar,
                code: finding.code,
                field: finding.field,
                message: finding.message,
            }
        }),
        None => failed(422, true, facts),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::delivery::sign::Sign;
    use crate::polar::{Fault, IngestReply, LocPart, TlsFault};

    const FRESH: Facts = Facts {
        sent: 10,
        failures: 0,
        trials: 0,
        blamed: 0,
        is_trial: true,
        patience: Patience::LEAST,
        others_confirmed: false,
        is_piece: false,
        mismatches: 0,
        may_split_blindly: false,
    };

    fn accepted(inserted: u64, duplicates: u64) -> Reply {
        Reply::Accepted(IngestReply { inserted, duplicates })
    }

    fn invalid(index: Option<u64>) -> Reply {
        let mut loc = vec![LocPart::Key("body".to_owned()), LocPart::Key("events".to_owned())];
        loc.extend(index.map(LocPart::Index));
        let fault = Fault { kind: "missing".to_owned(), loc, msg: "Field required".to_owned() };
        Reply::Invalid(ValidationReply { error: "RequestValidationError".to_owned(), detail: vec![fault] })
    }

    fn error(status: u16) -> Reply {
        Reply::ServerError { status, retry_after: None }
    }

    #[test]
    fn every_reply_to_a_fresh_batch_has_its_outcome_and_its_sign() {
        use Outcome::{Delivered, Hold, Isolate, Retry, Split};
        let down = Sign::Down { retry_after: None };
        let wait = Some(Duration::from_secs(60));
        let blamed = super::Retry::Suspected { blamed: true };
        let suspected = super::Retry::Suspected { blamed: false };
        let others = super::Retry::WithTheOthers;
        let named = Findings {
            refused: vec![Finding {
                index: 9,
                code: "missing".to_owned(),
                field: None,
                message: "Field required".to_owned(),
            }],
            early: vec![],
        };
        let barred = |reason| (Hold(reason), Sign::Barred(reason));
        let perhaps = |reason| (Retry(suspected), Sign::PerhapsBarred(reason));
        let unreachable = |why| Reply::Unreachable(why);
        for (reply, (outcome, sign)) in [
            (accepted(10, 0), (Delivered { inserted: 10, duplicates: 0 }, Sign::Alive)),
            (accepted(3, 7), (Delivered { inserted: 3, duplicates: 7 }, Sign::Alive)),
            (accepted(3, 6), (Retry(super::Retry::AtOnce), Sign::Alive)),
            (accepted(u64::MAX, 11), (Retry(super::Retry::AtOnce), Sign::Alive)),
            (Reply::Unproven { status: 200 }, perhaps(HoldReason::AnswerMismatch)),
            (Reply::Unproven { status: 204 }, perhaps(HoldReason::AnswerMismatch)),
            (invalid(Some(9)), (Isolate(named), Sign::Alive)),
            (invalid(Some(10)), (Split, Sign::Alive)),
            (invalid(None), (Split, down)),
            (Reply::Unauthorized { in_polars_words: true }, barred(HoldReason::Unauthorized)),
            (Reply::Unauthorized { in_polars_words: false }, perhaps(HoldReason::Unauthorized)),
            (Reply::Forbidden, barred(HoldReason::Forbidden)),
            (Reply::NotFound, perhaps(HoldReason::NotFound)),
            (Reply::Redirect { status: 307 }, perhaps(HoldReason::Redirected)),
            (Reply::RateLimited { retry_after: wait }, (Retry(others), Sign::Limited { retry_after: wait })),
            (Reply::ProxyLogin, barred(HoldReason::ProxyLogin)),
            (Reply::LengthRequired, (Retry(suspected), down)),
            (Reply::TooLarge, (Split, down)),
            (Reply::Refused { status: 400 }, (Retry(blamed), down)),
            (Reply::Refused { status: 422 }, (Retry(blamed), down)),
            (error(500), (Retry(blamed), down)),
            (error(502), (Retry(suspected), down)),
            (
                Reply::ServerError { status: 503, retry_after: wait },
                (Retry(suspected), Sign::Down { retry_after: wait }),
            ),
            (unreachable(Unreachable::Refused), (Retry(others), down)),
            (unreachable(Unreachable::NoRoute), (Retry(others), down)),
            (unreachable(Unreachable::Dns), (Retry(others), down)),
            (unreachable(Unreachable::Tls(TlsFault::Untrusted)), (Retry(others), down)),
            (unreachable(Unreachable::Proxy), (Retry(others), down)),
            (unreachable(Unreachable::Timeout), (Retry(suspected), down)),
            (unreachable(Unreachable::Reset), (Retry(suspected), down)),
            (unreachable(Unreachable::CutOff), (Retry(suspected), down)),
            (unreachable(Unreachable::Garbage), (Retry(suspected), down)),
        ] {
            assert_eq!(Outcome::of(&reply, &FRESH), outcome, "{reply:?}");
            assert_eq!(Sign::of(&reply), sign, "{reply:?}");
        }
    }

    #[test]
    fn sums_that_stay_wrong_hold_the_batch_and_never_settle_it() {
        let again = Facts { mismatches: 1, ..FRESH };
        assert_eq!(Outcome::of(&accepted(9, 0), &again), Outcome::Hold(HoldReason::AnswerMismatch));
        let others = Facts { others_confirmed: true, ..again };
        assert_eq!(Outcome::of(&accepted(9, 0), &others), Outcome::Split);
        let alone = Facts { sent: 1, mismatches: 99, ..others };
        assert_eq!(Outcome::of(&accepted(0, 0), &alone), Outcome::Hold(HoldReason::AnswerMismatch));
        let delivered = Outcome::Delivered { inserted: 0, duplicates: 10 };
        assert_eq!(Outcome::of(&accepted(0, 10), &again), delivered);
    }

    #[test]
    fn while_nothing_succeeds_nothing_is_split_and_nothing_given_up() {
        for failures in [0, 2, 100, u32::MAX] {
            let many = Facts { failures, trials: 1, blamed: 1, is_trial: false, ..FRESH };
            let alone = Facts { sent: 1, ..many };
            for reply in [error(500), error(503), Reply::Unreachable(Unreachable::Timeout), Reply::TooLarge] {
                assert!(reply == Reply::TooLarge || matches!(Outcome::of(&reply, &many), Outcome::Retry(_)));
                assert!(matches!(Outcome::of(&reply, &alone), Outcome::Retry(_)));
            }
            assert!(matches!(Outcome::of(&invalid(None), &alone), Outcome::Retry(_)));
        }
    }

    #[test]
    fn a_batch_that_fails_while_others_succeed_is_split_its_pieces_sooner() {
        let facts = |failures, is_piece| Facts { failures, is_piece, others_confirmed: true, ..FRESH };
        assert!(matches!(Outcome::of(&error(500), &facts(1, false)), Outcome::Retry(_)));
        assert_eq!(Outcome::of(&error(500), &facts(2, false)), Outcome::Split);
        assert_eq!(Outcome::of(&error(500), &facts(0, true)), Outcome::Split);
        assert_eq!(Outcome::of(&Reply::Unreachable(Unreachable::Reset), &facts(2, false)), Outcome::Split);
        assert!(matches!(
            Outcome::of(&Reply::Unreachable(Unreachable::Refused), &facts(9, true)),
            Outcome::Retry(Retry::WithTheOthers)
        ));
    }

    #[test]
    fn an_event_alone_is_given_up_only_when_the_blame_is_its_own() {
        let alone = |trials, blamed| Facts { sent: 1, failures: 40, trials, blamed, ..FRESH };
        let reason = |reply: Reply, facts| match Outcome::of(&reply, &facts) {
            Outcome::DeadLetter(cause) => Some(cause.reason),
            _ => None,
        };
        assert_eq!(reason(error(500), alone(3, 3)), None);
        assert_eq!(reason(error(500), alone(4, 4)), Some(DeadReason::Poison));
        let no_trial = Facts { is_trial: false, ..alone(4, 4) };
        assert_eq!(reason(error(500), no_trial), None, "nothing was delivered since the last one");
        let storm = Patience { blames: 20, trials: 20, ..Patience::LEAST };
        assert_eq!(reason(error(500), Facts { patience: storm, ..alone(18, 18) }), None);
        assert_eq!(reason(error(503), alone(4, 0)), None, "a gateway's answer says little of the event");
        assert_eq!(reason(error(503), alone(11, 0)), Some(DeadReason::Poison));
        assert_eq!(reason(Reply::TooLarge, alone(3, 3)), None);
        assert_eq!(reason(Reply::TooLarge, alone(4, 4)), Some(DeadReason::TooLarge));
        assert_eq!(reason(invalid(None), alone(3, 3)), None);
        assert_eq!(reason(invalid(None), alone(4, 4)), Some(DeadReason::RefusedByPolar));
        assert_eq!(reason(Reply::Unauthorized { in_polars_words: true }, alone(99, 99)), None);
        for of_a_gateway in [
            Reply::NotFound,
            Reply::Redirect { status: 302 },
            Reply::Unproven { status: 200 },
            Reply::Unauthorized { in_polars_words: false },
            Reply::LengthRequired,
        ] {
            assert_eq!(reason(of_a_gateway.clone(), alone(10, 0)), None);
            assert_eq!(reason(of_a_gateway.clone(), Facts { is_trial: false, ..alone(99, 99) }), None);
            assert_eq!(reason(of_a_gateway, alone(11, 0)), Some(DeadReason::Poison));
        }
    }
}
