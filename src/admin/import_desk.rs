//! Where exported events come back into the journal: the same desk for a daemon's own socket and for a journal opened by
//! hand.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::json_answer::{done, problem_of, read};
use super::view::Now;
use crate::event::{Event, EventBuf, Form, IdSource, PerLane, Rejection, Rules, UnixMillis};
use crate::journal::{AppendError, Restored, Restorer};

/// Where events are brought in.
pub(super) const PATH: &str = "/events/import";

/// Takes events that come from an export.
#[derive(Clone)]
pub struct ImportDesk {
    restorer: Restorer,
    rules: watch::Receiver<Rules>,
    now: Now,
}

impl std::fmt::Debug for ImportDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportDesk").field("restorer", &self.restorer).finish_non_exhaustive()
    }
}

/// Events that come from an export, each in the very characters it has there.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ExportedEvents {
    /// The events.
    pub events: Vec<Box<RawValue>>,
}

/// What became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsImported {
    /// How many are pending again, under the ids they have.
    pub imported: u64,
    /// Those that are not, and why.
    pub refused: Vec<EventRefused>,
}

/// An event that was not brought in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRefused {
    /// Which of those that were sent, from 0.
    pub position: usize,
    /// The stable code of the refusal.
    pub code: String,
    /// The field at fault, where one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl ImportDesk {
    /// A desk that puts events back through `restorer`, checked under `rules` as they are then.
    #[must_use]
    pub fn new(restorer: Restorer, rules: watch::Receiver<Rules>, now: Now) -> Self {
        Self { restorer, rules, now }
    }

    /// Brings events in. Those that pass every rule are on disk together when this returns.
    ///
    /// # Errors
    /// When the journal takes nothing now: then none of them was brought in.
    pub async fn import(&self, exported: &ExportedEvents) -> Result<EventsImported, AppendError> {
        let (rules, now) = (self.rules.borrow().clone(), (self.now)());
        let mut events = PerLane::<EventBuf>::default();
        let mut imported = EventsImported::default();
        for (position, event) in exported.events.iter().enumerate() {
            match take(event.get(), &rules, now, &mut events) {
                Ok(()) => imported.imported += 1,
                Err((code, field, message)) => {
                    imported.refused.push(EventRefused { position, code, field, message });
                }
            }
        }
        self.restorer.restore(Restored::Import, events).await?;
        Ok(imported)
    }
}

type Refusal = (String, Option<String>, String);

fn take(text: &str, rules: &Rules, now: UnixMillis, events: &mut PerLane<EventBuf>) -> Result<(), Refusal> {
    let event = Event::read(text.as_bytes(), Form::Event, rules, now).map_err(|rejections| {
        let first = rejections.first();
        let field = first.map(Rejection::field).filter(|field| !field.is_empty()).map(str::to_owned);
        let code = first.map_or("refused", |first| first.code().as_str());
        let message = first.map_or("sledge would refuse it again", Rejection::message);
        (code.to_owned(), field, message.to_owned())
    })?;
    if event.external_id().is_none() {
        // A new id for each try would make an event that is brought in twice count twice.
        let message =
            "an exported event has the id it was accepted under; send events without one with `sledge send`";
        return Err(("no_external_id".to_owned(), Some("external_id".to_owned()), message.to_owned()));
    }
    let lane = event.lane();
    drop(event.write(now, &mut IdSource::new(), &mut events[lane]));
    Ok(())
}

/// Answers a request for [`PATH`].
pub(super) async fn answer<B>(request: Request<B>, desk: &ImportDesk) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        let message = "POST /events/import";
        return problem_of(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &message);
    }
    match read::<ExportedEvents, B>(body).await {
        Ok(exported) => done(desk.import(&exported).await),
        Err(refusal) => refusal,
    }
}
