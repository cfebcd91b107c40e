//! What became of an event: everything the journal knows of an `external_id`. A scan, so that taking events in costs
//! nothing for it.

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use super::looker::{Fate, Looker, Searched, Seen};
use crate::event::{Lane, UnixMillis, external_id};
use crate::journal::attempts::{Attempt, Attempts};
use crate::journal::error::JournalError;
use crate::journal::format::RowName;
use crate::journal::letters::{DeadLetter, DeadReason, LetterNumber, Origin, letter_in};
use crate::journal::source::Source;

/// Everything that is known of an `external_id`; times in Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The id.
    pub external_id: String,
    /// Every time an event of this id came into a lane, the oldest first of each lane.
    pub events: Vec<ExplainedEvent>,
    /// The dead letters of this id that are kept.
    pub letters: Vec<ExplainedLetter>,
    /// What was looked at: the lane of grants.
    pub grants: Searched,
    /// The lane of usage.
    pub usage: Searched,
    /// The dead letters.
    pub dead: Searched,
}

/// One event that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedEvent {
    /// Its lane.
    pub lane: Lane,
    /// Its own seq there.
    pub seq: u64,
    /// The seq of the first event of its block.
    pub block: u64,
    /// How many events its block holds.
    pub block_events: u32,
    /// When it was accepted, or came back.
    pub accepted: UnixMillis,
    /// By which road; `None` where that is not known.
    pub source: Option<Source>,
    /// What became of it.
    pub state: EventState,
    /// When Polar confirmed it, or it was given up; `None` where that is not known to the moment.
    pub at: Option<UnixMillis>,
    /// When the last event of its block had its outcome.
    pub settled_at: Option<UnixMillis>,
    /// How many requests carried events of its block.
    pub attempts: u32,
    /// Those that carried this event, as far as they are remembered.
    pub answers: Vec<Answer>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// It is owed to Polar.
    Pending,
    /// Polar has confirmed it.
    Delivered,
    /// Delivery gave it up.
    Dead,
    /// It has an outcome, but damage hides which.
    Unknown,
}

/// A request that carried the event, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// When it was answered, or given up.
    pub at: UnixMillis,
    /// The HTTP status; 0 where no answer came.
    pub status: u16,
    /// How many events the request carried.
    pub events: u32,
}

/// A dead letter of this id, without the event's own text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedLetter {
    /// Its number.
    pub number: LetterNumber,
    /// Which side gave it up.
    pub origin: Origin,
    /// Why.
    pub reason: DeadReason,
    /// The stable code of the refusal.
    pub code: String,
    /// The field at fault, when one is named.
    pub field: Option<String>,
    /// The words of the refusal.
    pub message: String,
    /// When it was given up.
    pub at: UnixMillis,
    /// By which road it had come, where that is known.
    pub source: Option<Source>,
    /// Its seq in its lane, for an event that had been accepted.
    pub seq: Option<u64>,
    /// When it was accepted, for an event that had been.
    pub accepted: Option<UnixMillis>,
    /// How many requests carried it.
    pub attempts: u32,
}

/// Looks everywhere for events of this id.
///
/// # Errors
/// When the journal is closed or poisoned.
pub(super) fn explain(looker: &Looker<'_>, id: &str) -> Result<Explanation, JournalError> {
    let needle = Needle::new(id);
    let mut explanation = Explanation { external_id: id.to_owned(), ..Explanation::default() };
    let events = &mut explanation.events;
    for (lane, searched) in [(Lane::Grants, &mut explanation.grants), (Lane::Usage, &mut explanation.usage)] {
        *searched = looker.walk(RowName::from(lane), &mut |seen| {
            let found = needle.positions_in(&seen);
            events.extend(found.into_iter().map(|position| ExplainedEvent::of(lane, &seen, position)));
            true
        })?;
    }
    let letters = &mut explanation.letters;
    explanation.dead = looker.walk(RowName::Dead, &mut |seen| {
        if matches!(seen.fate, Fate::Pending)
            && let Some(letter) = letter_in(&seen.block).filter(|letter| needle.is_of(letter))
        {
            letters.push(ExplainedLetter::of(seen.header.seq, letter));
        }
        true
    })?;
    Ok(explanation)
}

impl ExplainedEvent {
    fn of(lane: Lane, seen: &Seen, position: u32) -> Self {
        let Seen { header, block, fate } = seen;
        let mut event = Self {
            lane,
            seq: header.seq + u64::from(position),
            block: header.seq,
            block_events: header.events,
            accepted: block.accepted_at(position as usize),
            source: block.source(position as usize),
            state: EventState::Pending,
            at: None,
            settled_at: None,
            attempts: 0,
            answers: Vec::new(),
        };
        match fate {
            Fate::Pending => {}
            Fate::Unknown => event.state = EventState::Unknown,
            Fate::Settled(record) => {
                event.state = if record.is_dead(position) { EventState::Dead } else { EventState::Delivered };
                event.settled_at = Some(record.settled_at);
                event.tell(&record.attempts, position);
            }
        }
        event
    }

    /// What was tried so far with its block, which owes an outcome still: only delivery knows.
    pub fn tell_attempts(&mut self, attempts: &Attempts) {
        self.tell(attempts, u32::try_from(self.seq - self.block).unwrap_or(u32::MAX));
    }

    fn tell(&mut self, attempts: &Attempts, position: u32) {
        let carried = attempts.noted.iter().filter(|attempt| attempt.carried.holds(position));
        let answer =
            |attempt: &Attempt| Answer { at: attempt.at, status: attempt.status, events: attempt.events };
        self.attempts = attempts.made;
        self.answers = carried.map(answer).collect();
        let took_it = |answer: &&Answer| answer.status == 200;
        let last = self.answers.last();
        self.at = match self.state {
            EventState::Delivered => last.filter(took_it).map(|answer| answer.at),
            EventState::Dead => last.map(|answer| answer.at),
            EventState::Pending | EventState::Unknown => None,
        };
    }
}

impl ExplainedLetter {
    fn of(number: LetterNumber, letter: DeadLetter) -> Self {
        Self {
            number,
            origin: letter.origin,
            reason: letter.reason,
            code: letter.code,
            field: letter.field,
            message: letter.message,
            at: letter.at,
            source: letter.source,
            seq: letter.seq,
            accepted: letter.accepted,
            attempts: letter.attempts,
        }
    }
}

/// An id that is looked for in texts.
struct Needle<'a> {
    id: &'a str,
    finder: Finder<'a>,
}

impl<'a> Needle<'a> {
    fn new(id: &'a str) -> Self {
        Self { id, finder: Finder::new(id) }
    }

    /// Whether events of this id may be in the text: JSON can write any character with a backslash.
    fn may_be_in(&self, text: &[u8]) -> bool {
        self.finder.find(text).is_some() || memchr::memchr(b'\\', text).is_some()
    }

    fn positions_in(&self, seen: &Seen) -> Vec<u32> {
        if !self.may_be_in(seen.block.text()) {
            return Vec::new();
        }
        let is_it = |position: &u32| {
            let text = seen.block.event(*position as usize).unwrap_or_default();
            self.may_be_in(text) && external_id(text).is_some_and(|id| id == self.id)
        };
        (0..seen.header.events).filter(is_it).collect()
    }

    /// Whether this is a letter of an event of this id. In a text that can't be read, the id as a whole string will do.
    fn is_of(&self, letter: &DeadLetter) -> bool {
        if letter.spare_id.as_deref() == Some(self.id) {
            return true;
        }
        match external_id(letter.event.as_bytes()) {
            Some(id) => id == self.id,
            None => !is_json(&letter.event) && letter.event.contains(&format!("\"{}\"", self.id)),
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
