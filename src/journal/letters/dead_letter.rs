//! An event that will not reach Polar by itself, with everything a person needs to decide what becomes of it.

use serde::{Deserialize, Serialize};

use crate::event::{Lane, UnixMillis};
use crate::journal::source::Source;

/// Which side of the journal gave the event up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Accepted here, refused by Polar.
    Delivery,
    /// Refused here, from a sender who gets no answers.
    Intake,
}

impl Origin {
    /// Both origins, in the order of their indices.
    pub const ALL: [Self; 2] = [Self::Delivery, Self::Intake];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Intake => "intake",
        }
    }
}

/// Why an event is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// Polar named it in a 422.
    RefusedByPolar,
    /// Alone in its request it still met 413.
    TooLarge,
    /// Alone in its request it failed again and again while other events were delivered.
    Poison,
    /// Refused at intake, without an ack to say so.
    RefusedAtIntake,
    /// The disk lost its block. Only counted: nothing of it is left that could be kept.
    Lost,
}

impl DeadReason {
    /// The reasons why accepted events are given up, in the order of their indices.
    pub const DELIVERY: [Self; 4] = [Self::RefusedByPolar, Self::TooLarge, Self::Poison, Self::Lost];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RefusedByPolar => "refused_by_polar",
            Self::TooLarge => "too_large",
            Self::Poison => "poison",
            Self::RefusedAtIntake => "refused_at_intake",
            Self::Lost => "lost",
        }
    }
}

/// A dead letter, as the `dead` row keeps it (one JSON object each).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Which side gave it up.
    pub origin: Origin,
    /// Why.
    pub reason: DeadReason,
    /// The stable code of the refusal: ours at intake, Polar's `type` at delivery.
    pub code: String,
    /// The path of the field at fault, when one is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The words of the refusal.
    pub message: String,
    /// When it was given up.
    pub at: UnixMillis,
    /// Its lane; `None` when it was never understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    /// Its own seq in its lane, for an event that had been accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it was accepted, for an event that had been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<UnixMillis>,
    /// How many requests carried it.
    pub attempts: u32,
    /// Whether `event` is not what came, byte for byte: it was cut at a limit, or was not UTF-8.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub altered: bool,
    /// The `external_id` it is retried under if its text has none. The journal fixes it when the letter is kept, so
    /// that a letter counts once however often it is retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spare_id: Option<String>,
    /// By which road it came; `None` where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The text as it came (at intake) or as it was sent (at delivery). Bytes that are not UTF-8 are replaced.
    pub event: String,
}
