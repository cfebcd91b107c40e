//! An event that passed every rule, and how its text becomes complete.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use super::UnixMillis;
use super::code::Code;
use super::event_buf::EventBuf;
use super::event_id::{EventId, STAMPED_BYTES};
use super::fields::Fields;
use super::grant::Grant;
use super::id_source::IdSource;
use super::lane::Lane;
use super::rejection::{FAULTS_MAX, Rejection};
use super::timestamp;

const ID_MEMBER_START: &str = r#""external_id":""#;
const TIMESTAMP_MEMBER_START: &str = r#""timestamp":""#;
const MEMBER_END: &str = r#"","#;

/// The limits an event is held to beside Polar's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The largest text of one event in bytes, counted as it will be sent: stamps included, space around it not.
    pub event_bytes_max: usize,
    /// How far ahead of our clock a timestamp may lie; the event is held until it is due.
    pub future_hold_max: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { event_bytes_max: 1 << 20, future_hold_max: Duration::from_secs(5 * 60) }
    }
}

/// What a text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Polar's event only (the list of an ingest request).
    Event,
    /// The grant shorthand only (the grants route).
    Grant,
    /// Either, told apart by the key `grant` (NDJSON lines and datagrams).
    EventOrGrant,
}

/// An event that passed every rule, still borrowed from the bytes it came in.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// A grant's text is its own; every other event's is the sender's.
    text: Cow<'a, str>,
    id: Id<'a>,
    is_stamped_with_time: bool,
    due: UnixMillis,
    lane: Lane,
}

/// The `external_id` as Polar would see it.
#[derive(Clone, Debug)]
enum Id<'a> {
    Given(Cow<'a, str>),
    Missing,
    /// Where in the text the `null` stands.
    Null(Range<usize>),
}

impl<'a> Event<'a> {
    /// Reads and checks one event (or grant). Every fault found is reported (of more than a hundred the
    /// first ones); the list is never empty.
    ///
    /// # Errors
    /// Everything Polar would refuse or fail on, and our own limits.
    pub fn read(text: &'a [u8], form: Form, rules: &Rules, now: UnixMillis) -> Result<Self, Vec<Rejection>> {
        let text = read_object(text, rules.event_bytes_max).map_err(|fault| vec![fault])?;
        let mut faults = Vec::new();
        let fields = Fields::read(text, &mut faults).map_err(|error| vec![malformed(text, &error)])?;
        if fields.are_a_request_body() {
            let message = "this is the body of an ingest request, not one event; send each element of `events` by \
                           itself (as its own line), or POST the whole to /v1/events/ingest";
            return Err(vec![Rejection::new(Code::EventsWrapper, &[], message)]);
        }
        let is_grant = match form {
            Form::Event => false,
            Form::Grant => true,
            Form::EventOrGrant => fields.grant.is_some(),
        };
        let grant = if is_grant {
            Grant::read(&fields, &mut faults)
        } else {
            fields.check_name(text, &mut faults);
            None
        };
        let checked = fields.check(text, rules, now, &mut faults);
        if !faults.is_empty() {
            faults.truncate(FAULTS_MAX);
            return Err(faults);
        }
        let id = match (checked.external_id, fields.external_id) {
            (Some(id), _) => Id::Given(id),
            // A grant's text is written without its null.
            (None, Some(null)) if grant.is_none() => Id::Null(place_of(null.json(), text)),
            (None, _) => Id::Missing,
        };
        let event = Self {
            text: grant.map_or(Cow::Borrowed(text), |grant| Cow::Owned(grant.event_text(&fields, text))),
            id,
            is_stamped_with_time: fields.timestamp.is_none(),
            due: checked.due,
            lane: if is_grant || checked.metadata.has_negative { Lane::Grants } else { Lane::Usage },
        };
        if event.written_bytes() > rules.event_bytes_max {
            return Err(vec![Rejection::event_too_large(rules.event_bytes_max)]);
        }
        Ok(event)
    }

    /// The lane it travels: [`Lane::Grants`] for a grant and for any event with a number below zero on the top level
    /// of its metadata. (A negative amount inside `_cost` corrects a cost; it gives no credits.)
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// The time before which Polar would refuse its timestamp as lying in the future; 0 when it may go at once.
    #[must_use]
    pub fn due(&self) -> UnixMillis {
        self.due
    }

    /// The sender's `external_id`, unescaped; `None` when one will be stamped.
    #[must_use]
    pub fn external_id(&self) -> Option<&str> {
        match &self.id {
            Id::Given(id) => Some(id),
            Id::Missing | Id::Null(_) => None,
        }
    }

    /// How many bytes [`write`](Self::write) will write.
    #[must_use]
    pub fn written_bytes(&self) -> usize {
        let id = match self.id {
            Id::Given(_) => 0,
            Id::Missing => ID_MEMBER_START.len() + STAMPED_BYTES + MEMBER_END.len(),
            Id::Null(_) => STAMPED_BYTES + 2 - "null".len(),
        };
        let time = TIMESTAMP_MEMBER_START.len() + timestamp::STAMP_BYTES + MEMBER_END.len();
        self.text.len() + id + usize::from(self.is_stamped_with_time) * time
    }

    /// Writes its complete text to `out`, stamping `external_id` and `timestamp` (`now`) where they were missing, and
    /// says the id it goes by. All else leaves with the very characters it came with, except that a grant becomes the
    /// event it stands for. A text written this way and read again is written unchanged.
    ///
    /// # Panics
    /// Where [`EventBuf::close_event`] does, and when the operating system has no randomness for an id.
    pub fn write(self, now: UnixMillis, ids: &mut IdSource, out: &mut EventBuf) -> EventId<'a> {
        self.write_with(now, || ids.next(now), out)
    }

    /// As [`write`](Self::write), but where an id is missing it becomes `id`, which was fixed before: however often
    /// the text is written, it goes by the same id.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    pub fn write_as(self, now: UnixMillis, id: EventId<'static>, out: &mut EventBuf) -> EventId<'a> {
        self.write_with(now, || id, out)
    }

    fn write_with(
        self,
        now: UnixMillis,
        id: impl FnOnce() -> EventId<'static>,
        out: &mut EventBuf,
    ) -> EventId<'a> {
        let bytes = self.written_bytes();
        let text = out.text_mut();
        text.reserve(bytes);
        text.push(b'{');
        // Everything after the brace; an event is never an empty object, so a comma may end each stamp.
        let rest = self.text.get(1..).unwrap_or_default();
        let stamped = match self.id {
            Id::Given(_) => None,
            Id::Missing | Id::Null(_) => Some(id()),
        };
        if let (Id::Missing, Some(id)) = (&self.id, &stamped) {
            push_all(text, &[ID_MEMBER_START, id.as_str(), MEMBER_END]);
        }
        if self.is_stamped_with_time {
            text.extend_from_slice(TIMESTAMP_MEMBER_START.as_bytes());
            text.extend_from_slice(&timestamp::stamp(now));
            text.extend_from_slice(MEMBER_END.as_bytes());
        }
        match (&self.id, &stamped) {
            (Id::Null(null), Some(id)) => {
                let before = self.text.get(1..null.start).unwrap_or_default();
                let after = self.text.get(null.end..).unwrap_or_default();
                push_all(text, &[before, "\"", id.as_str(), "\"", after]);
            }
            _ => text.extend_from_slice(rest.as_bytes()),
        }
        out.close_event(self.due);
        match (self.id, stamped) {
            (_, Some(id)) => id,
            (Id::Given(id), None) => EventId::given(id),
            (Id::Missing | Id::Null(_), None) => EventId::given(Cow::Borrowed("")),
        }
    }
}

fn push_all(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Where `part`, a slice of `whole`, lies in it.
fn place_of(part: &str, whole: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// The text between JSON's white space, known to be UTF-8, no larger than it may be, and an object if it is JSON.
fn read_object(text: &[u8], event_bytes_max: usize) -> Result<&str, Rejection> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    let text = text.get(start..end).unwrap_or_default();
    if text.len() > event_bytes_max {
        return Err(Rejection::event_too_large(event_bytes_max));
    }
    let text = str::from_utf8(text).map_err(|error| {
        let message = format!("is not UTF-8 (at byte {}); send the text in UTF-8", error.valid_up_to());
        Rejection::new(Code::MalformedJson, &[], message)
    })?;
    if text.starts_with('{') {
        return Ok(text);
    }
    if text.is_empty() {
        return Err(Rejection::new(Code::MalformedJson, &[], "is empty; send one JSON object"));
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) if text.starts_with('[') => {
            let message = "is a list; send each of its events by itself (as its own line)";
            Err(Rejection::new(Code::WrongType, &[], message))
        }
        Ok(_) => {
            Err(Rejection::new(Code::WrongType, &[], "must be a JSON object with the fields of an event"))
        }
        Err(error) => Err(malformed(text, &error)),
    }
}

/// The refusal of a text that is no JSON. Serde's own words are left out where they could echo the text.
fn malformed(text: &str, error: &serde_json::Error) -> Rejection {
    let (line, column) = (error.line(), error.column());
    // An event on one line is counted by whoever reads lines: a line of ours beside theirs would be another number.
    let place = if text.contains('\n') {
        format!("line {line}, column {column}")
    } else {
        format!("column {column}")
    };
    if error.is_eof() {
        let message =
            "ends in the middle of the JSON text; send the whole object, on one line where lines are sent";
        return Rejection::new(Code::MalformedJson, &[], message);
    }
    // A half at the end of a text is told by what does not follow it.
    if ["surrogate", "hex escape"].iter().any(|words| error.to_string().contains(words)) {
        let message = format!(
            "has a key with half of a surrogate pair in it ({place}); it was probably cut in the middle of a character"
        );
        return Rejection::new(Code::TextInvalid, &[], message);
    }
    let offset = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    let at = offset + column.saturating_sub(1);
    // Serde stops at or shortly after the first letter.
    let around = text.as_bytes().get(at.saturating_sub(1)..).unwrap_or_default();
    let is_non_number = [&b"NaN"[..], b"Infinity"].iter().any(|name| {
        around.starts_with(name) || around.get(1..).is_some_and(|around| around.starts_with(name))
    });
    if is_non_number {
        let message = format!(
            "holds NaN or an infinity ({place}), which is no JSON and fails at Polar; leave the value out or send a number"
        );
        return Rejection::new(Code::NumberNotFinite, &[], message);
    }
    let message = format!("is not valid JSON ({place}); send one JSON object per event");
    Rejection::new(Code::MalformedJson, &[], message)
}
