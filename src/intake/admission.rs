//! The one road from every listener into the journal.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::time::Instant;

use super::alarm::Alarm;
use super::foreign_tokens::Carried;
use super::refusal::Refusal;
use super::settings::Settings;
use crate::clock::Clock;
use crate::event::{Code, Event, EventBuf, EventId, Form, IdSource, PerLane, Rejection, Rules, UnixMillis};
use crate::journal::{
    Append, AppendError, Appender, DeadLetter, DeadReason, NotTaken, Origin, Receipt, Source,
};
use crate::metrics::{Listener, Metrics};
use crate::protocol::Fault;

/// Reads, checks, stamps and appends events, and counts the refused. Clone it for every listener.
#[derive(Clone, Debug)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    appender: Appender,
    metrics: Metrics,
    clock: Clock,
    terms: RwLock<Terms>,
    refused_unanswered: Alarm,
    not_taken: Alarm,
    tls: Alarm,
}

/// What senders are held to now. It is replaced as a whole.
#[derive(Clone, Debug)]
struct Terms {
    rules: Arc<Rules>,
    settings: Arc<Settings>,
}

/// What one read (or one HTTP body) brings: it is appended together and answered together.
#[derive(Debug)]
pub(super) struct Turn {
    listener: Listener,
    now: UnixMillis,
    /// The time by Polar's clock, which is what missing timestamps become: ours may be set wrong.
    stamp: UnixMillis,
    terms: Terms,
    events: PerLane<EventBuf>,
    letters: Vec<DeadLetter>,
    kept_bytes: usize,
}

impl Turn {
    /// Events that passed so far, in bytes of text.
    pub(super) fn text_bytes(&self) -> usize {
        self.events.grants.text_bytes() + self.events.usage.text_bytes()
    }

    /// Everything the turn holds, in bytes of text: events that passed, and refused ones that are kept.
    pub(super) fn held_bytes(&self) -> usize {
        self.text_bytes() + self.kept_bytes
    }

    /// Keeps a refused event, or the head of it, for a person to look at.
    pub(super) fn keep(&mut self, text: &[u8], text_bytes_max: usize, fault: &Fault<'_>) {
        let head = text.get(..text_bytes_max).unwrap_or(text);
        self.kept_bytes += head.len();
        let is_too_large = fault.code == Code::EventTooLarge.as_str();
        self.letters.push(DeadLetter {
            origin: Origin::Intake,
            reason: DeadReason::RefusedAtIntake,
            code: fault.code.to_owned(),
            field: (!fault.field.is_empty()).then(|| fault.field.to_owned()),
            message: fault.message.clone().into_owned(),
            at: self.now,
            lane: None,
            seq: None,
            accepted: None,
            attempts: 0,
            // Of a text that is too large only the head may have come here.
            altered: is_too_large || head.len() < text.len() || str::from_utf8(head).is_err(),
            spare_id: None,
            source: Some(Source::Listener(self.listener)),
            event: String::from_utf8_lossy(head).into_owned(),
        });
    }
}

/// Events on their way to the disk, or turned away from it already.
#[derive(Debug)]
pub(super) struct Pledge {
    listener: Listener,
    events: u64,
    receipt: Result<Option<Receipt>, AppendError>,
}

impl Admission {
    /// A road into this journal, under these rules.
    #[must_use]
    pub fn new(
        appender: Appender,
        metrics: Metrics,
        clock: Clock,
        rules: Rules,
        settings: &Settings,
    ) -> Self {
        let shared = Shared {
            appender,
            metrics,
            clock,
            terms: RwLock::new(Terms { rules: Arc::new(rules), settings: Arc::new(settings.clone()) }),
            refused_unanswered: Alarm::default(),
            not_taken: Alarm::default(),
            tls: Alarm::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Holds senders to these from now on: events with their next turn, connections that are made later. What memory
    /// all bodies may take stays as it was at the start.
    pub fn change_terms(&self, rules: Rules, settings: Settings) {
        let terms = Terms { rules: Arc::new(rules), settings: Arc::new(settings) };
        *self.shared.terms.write().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    /// The limits for a connection that is made now.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.terms().settings
    }

    fn terms(&self) -> Terms {
        self.shared.terms.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a turn: its events are stamped with one time, and held to the same rules.
    pub(super) fn turn(&self, listener: Listener) -> Turn {
        let (now, stamp, terms) = (self.shared.clock.now(), self.shared.clock.polars_now(), self.terms());
        Turn { listener, now, stamp, terms, events: PerLane::default(), letters: Vec::new(), kept_bytes: 0 }
    }

    /// Admits one event to the turn, or counts it as refused.
    pub(super) fn admit<'a>(
        &self,
        turn: &mut Turn,
        text: &'a [u8],
        form: Form,
        ids: &mut IdSource,
    ) -> Result<EventId<'a>, Vec<Rejection>> {
        // What is past by either clock is no future: ours may have been set back since the event happened.
        match Event::read(text, form, &turn.terms.rules, turn.now.max(turn.stamp)) {
            Ok(event) => {
                let lane = event.lane();
                Ok(event.write(turn.stamp, ids, &mut turn.events[lane]))
            }
            Err(rejections) => {
                if let Some(first) = rejections.first() {
                    self.count_refused(turn.listener, first.code().as_str(), 1);
                }
                Err(rejections)
            }
        }
    }

    /// Counts events that were refused for another reason than their own faults. `reason` is one of a closed set.
    pub(super) fn count_refused(&self, listener: Listener, reason: &'static str, events: u64) {
        if events > 0 {
            self.shared.metrics.refused(listener, reason, events);
        }
    }

    /// A connection spoke TLS. The log is told, for its other end sees only that no TLS came back.
    pub(super) fn tell_of_tls(&self, listener: Listener) {
        if let Some(connections) = self.shared.tls.ring(1, Instant::now()) {
            tracing::warn!(
                connections,
                listener = listener.as_str(),
                "TLS was spoken to a plain socket, and refused: give the app an address that begins with http://, not https://"
            );
        }
    }

    /// A request carried this token. The first of each foreign one is told to the log; no token is.
    pub(super) fn notice(&self, carried: Carried) {
        match carried {
            Carried::Unremarkable => return,
            Carried::KnownForeign => {}
            Carried::NewForeign => tracing::warn!(
                "an app sends with a token of Polar that is not this daemon's; its events are delivered with this \
                 daemon's token, so they count for the organization of that one. If the app's token is of another \
                 organization, give it a sledge of its own; else give the app this daemon's token, or none"
            ),
        }
        self.shared.metrics.foreign_token();
    }

    /// Keeps a refused event whose sender gets no answer: the turn's [`keep_letters`](Self::keep_letters) hands it over.
    pub(super) fn keep_unanswered(&self, turn: &mut Turn, text: &[u8], fault: &Fault<'_>) {
        turn.keep(text, turn.terms.settings.refused_text_bytes_max, fault);
    }

    /// Hands the turn's refused events to the journal. They were counted already; the log tells that they exist.
    pub(super) async fn keep_letters(&self, turn: &mut Turn) {
        let letters = std::mem::take(&mut turn.letters);
        let (Some(first), refused) = (letters.first(), letters.len() as u64) else {
            return;
        };
        if let Some(events) = self.shared.refused_unanswered.ring(refused, Instant::now()) {
            let (listener, code) = (turn.listener.as_str(), first.code.as_str());
            // Of `metadata.KEY`, the key is the app's own text, which no log holds; the dead letter has it all.
            let field = first.field.as_deref().and_then(|path| path.split('.').next()).unwrap_or_default();
            tracing::warn!(
                events,
                listener,
                code,
                field,
                "events were refused whose senders get no answers; they are kept as dead letters, see `sledge dead-letters list`"
            );
        }
        if let Err(error) = self.shared.appender.keep_refused(letters).await {
            tracing::error!(%error, events = refused, "failed to keep refused events as dead letters");
        }
    }

    /// Why the journal takes nothing now, before anything is read.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.shared.appender.refusal().map(|error| Refusal::from(&error))
    }

    /// Hands the turn to the journal if there is room for it now.
    pub(super) fn try_append(&self, turn: Turn) -> Pledge {
        let (listener, append) = Self::append_of(turn);
        let events = append.len() as u64;
        let receipt =
            if events == 0 { Ok(None) } else { Self::taken(self.shared.appender.try_append(append)) };
        Pledge { listener, events, receipt }
    }

    /// Hands the turn to the journal, waiting for room.
    pub(super) async fn append(&self, turn: Turn) -> Pledge {
        let (listener, append) = Self::append_of(turn);
        let events = append.len() as u64;
        let receipt =
            if events == 0 { Ok(None) } else { Self::taken(self.shared.appender.append(append).await) };
        Pledge { listener, events, receipt }
    }

    /// Waits until the events are on disk. When they will not be, counts them as refused and says so in the log.
    pub(super) async fn committed(&self, pledge: Pledge) -> Result<(), Refusal> {
        let error = match pledge.receipt {
            Ok(None) => return Ok(()),
            Ok(Some(receipt)) => match receipt.committed().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let refusal = Refusal::from(&error);
        self.count_refused(pledge.listener, refusal.fault.code, pledge.events);
        if let Some(events) = self.shared.not_taken.ring(pledge.events, Instant::now()) {
            let listener = pledge.listener.as_str();
            tracing::error!(%error, events, listener, "the journal did not take events");
        }
        Err(refusal)
    }

    fn append_of(turn: Turn) -> (Listener, Append) {
        (turn.listener, Append { listener: turn.listener, events: turn.events })
    }

    fn taken(receipt: Result<Receipt, Box<NotTaken>>) -> Result<Option<Receipt>, AppendError> {
        receipt.map(Some).map_err(|not_taken| not_taken.error)
    }
}
