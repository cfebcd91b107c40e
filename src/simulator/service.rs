//! One request: its body, its fate, its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::{Method, Request};

use crate::polar::INGEST_PATH;

use super::arrival::{self, Arrival, FIRST_EVENTS_MAX};
use super::id_table::Place;
use super::ingest::{self, Judged};
use super::query::Query;
use super::reply::Reply;
use super::script::Cut;
use super::simulator::Simulator;
use super::state::RequestRecord;
use super::{control, gate, listing};

/// What goes back.
#[derive(Debug)]
pub(super) enum Answer {
    /// A whole answer.
    Whole { reply: Reply, date: String },
    /// Half of its body, then the end of the connection.
    Half { reply: Reply, date: String },
    /// The end of the connection.
    None,
}

/// A request being answered; counted until it is dropped.
struct InFlight<'s> {
    simulator: &'s Simulator,
    /// The ingest request's number, and the ids it carries.
    request: u64,
    places: Arc<[Place]>,
}

impl<'s> InFlight<'s> {
    fn enter(simulator: &'s Simulator) -> Self {
        let tallies = &mut simulator.world().tallies;
        tallies.concurrent += 1;
        tallies.concurrent_max = tallies.concurrent_max.max(tallies.concurrent);
        Self { simulator, request: 0, places: Arc::default() }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut world = self.simulator.world();
        world.tallies.concurrent = world.tallies.concurrent.saturating_sub(1);
        world.ids.answered(&self.places);
        world.open_transactions.close(self.request);
    }
}

pub(super) async fn answer(simulator: &Simulator, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    // An SDK whose base address ends in a slash sends two of them.
    let path = head.uri.path();
    let path = if path.starts_with("//") { path.get(1..).unwrap_or(path) } else { path }.to_owned();
    if path == "/simulator" || path.starts_with("/simulator/") {
        let reply = match collect(body, 0).await {
            Some(body) => control::answer(simulator, &head, &path, &body).await,
            None => return Answer::None,
        };
        let date = simulator.world().date_header();
        return Answer::Whole { reply, date };
    }
    let neighbour = gate::bearer(&head.headers).and_then(|token| simulator.neighbour_of(token));
    let simulator = neighbour.as_ref().unwrap_or(simulator);
    if simulator.world().refuse_connections {
        return Answer::None;
    }
    let mut in_flight = InFlight::enter(simulator);
    let outcome = match gate_body(&head, body).await {
        None => return Answer::None,
        Some(Err(reply)) => Outcome::of(reply),
        Some(Ok(body)) if head.method == Method::POST && path == INGEST_PATH => {
            ingest(&mut in_flight, &head, &body)
        }
        Some(Ok(body)) => Outcome::of(api(simulator, &head, &path, &body)),
    };
    let latency = latency(simulator, &outcome);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    finish(simulator, &head, outcome)
}

/// What became of a request under `/v1`; `reply: None` cuts the connection.
#[derive(Default)]
struct Outcome {
    reply: Option<Reply>,
    half: bool,
    latency_ms: u64,
    events: u64,
    inserted: u64,
    duplicates: u64,
    scripted: bool,
    first_events: Vec<String>,
}

impl Outcome {
    fn of(reply: Reply) -> Self {
        Self { reply: Some(reply), ..Self::default() }
    }
}

/// How long an answer is held back.
fn latency(simulator: &Simulator, outcome: &Outcome) -> Duration {
    let settings = &simulator.world().settings;
    let standing_us = settings.latency_ms.saturating_add(outcome.latency_ms).saturating_mul(1000);
    Duration::from_micros(
        standing_us.saturating_add(settings.latency_per_event_us.saturating_mul(outcome.events)),
    )
}

fn finish(simulator: &Simulator, head: &Parts, outcome: Outcome) -> Answer {
    let mut world = simulator.world();
    let cut = outcome.half || outcome.reply.is_none();
    let status = outcome.reply.as_ref().filter(|_| !cut).map_or(0, |reply| reply.status);
    let record = RequestRecord {
        at_ms: world.now_us() / 1000,
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        status,
        events: outcome.events,
        inserted: outcome.inserted,
        duplicates: outcome.duplicates,
        scripted: outcome.scripted,
    };
    if simulator.is_watched() {
        simulator.tell(Arrival {
            request: record.clone(),
            refusal: outcome.reply.as_ref().filter(|_| !cut).and_then(arrival::refusal),
            first_events: outcome
                .first_events
                .iter()
                .filter_map(|event| arrival::on_one_line(event))
                .collect(),
        });
    }
    world.note_request(record);
    if let Some(token) = gate::bearer(&head.headers)
        && world.settings.fresh_token_zone
    {
        let now_us = (world.settings.now)();
        world.windows.seen(now_us, token);
    }
    let date = world.date_header();
    match outcome.reply {
        None => Answer::None,
        Some(reply) if outcome.half => Answer::Half { reply, date },
        Some(reply) => Answer::Whole { reply, date },
    }
}

/// The body, or the refusal of its length; `None` when the peer went away before it was whole.
async fn gate_body(head: &Parts, body: Incoming) -> Option<Result<Bytes, Reply>> {
    if !matches!(head.method, Method::POST | Method::PATCH | Method::PUT) {
        return Some(Ok(Bytes::new()));
    }
    match gate::body_length(&head.headers) {
        Ok(length) => collect(body, length).await.map(Ok),
        Err(reply) => {
            // Read and dropped, so that the peer can finish sending and see the answer.
            discard(body).await;
            Some(Err(reply))
        }
    }
}

async fn collect(mut body: Incoming, length: usize) -> Option<Bytes> {
    let mut whole = Vec::with_capacity(length.min(crate::polar::REQUEST_BYTES_MAX));
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.ok()?.into_data() {
            whole.extend_from_slice(&bytes);
        }
        if whole.len() > crate::polar::REQUEST_BYTES_MAX {
            return None;
        }
    }
    Some(Bytes::from(whole))
}

async fn discard(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

fn ingest(in_flight: &mut InFlight<'_>, head: &Parts, body: &Bytes) -> Outcome {
    let simulator = in_flight.simulator;
    let (now_us, rules) = {
        let world = simulator.world();
        (i64::try_from(world.now_us()).unwrap_or(i64::MAX), world.also_refuse.clone())
    };
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let read = ingest::read(body, content_type, now_us, &rules);
    let judged = ingest::judge(&read, now_us, &rules);
    let first_events =
        if simulator.is_watched() { ingest::texts(&read, &judged, FIRST_EVENTS_MAX) } else { Vec::new() };

    let mut world = simulator.world();
    let places = world.arrived(&judged);
    in_flight.request = world.tallies.ingest_requests;
    in_flight.places = places.iter().copied().flatten().collect();
    let before = (world.tallies.inserted, world.tallies.duplicates);
    let scripted = world.next_scripted();
    let is_scripted = scripted.is_some();
    let scripted = scripted.unwrap_or_default();
    let polar = scripted.commits().then(|| {
        let refused = world.refuse_head(&head.headers);
        refused.unwrap_or_else(|| match (&read, &judged) {
            // FastAPI parses the body before it asks who is calling, and applies the schema after.
            (ingest::Body::Unreadable(reply), _) => reply.clone(),
            (_, judged) => {
                world.refuse_caller(&head.headers, &["events:write"]).unwrap_or_else(|| match judged {
                    Judged::Refused { reply, .. } => reply.clone(),
                    Judged::Readings(readings) => world.ingest(readings, &places),
                })
            }
        })
    });
    if world.settings.deadlocks && polar.as_ref().is_some_and(|reply| reply.status == 200) {
        world.open_transactions.open(in_flight.request, in_flight.places.clone());
    }
    let (inserted, duplicates) = (world.tallies.inserted, world.tallies.duplicates);
    // Published before the next request comes to the world: out of order, a smaller number would stand at last.
    simulator.publish_inserted(inserted);
    drop(world);
    let reply = match scripted.cut {
        Some(Cut::BeforeCommit | Cut::AfterCommit) => None,
        Some(Cut::MidAnswer) | None => scripted.reply().or(polar),
    };
    Outcome {
        reply,
        half: scripted.cut == Some(Cut::MidAnswer),
        latency_ms: scripted.latency_ms,
        events: u64::try_from(places.len()).unwrap_or(u64::MAX),
        inserted: inserted.saturating_sub(before.0),
        duplicates: duplicates.saturating_sub(before.1),
        scripted: is_scripted,
        first_events,
    }
}

fn api(simulator: &Simulator, head: &Parts, path: &str, body: &Bytes) -> Reply {
    let mut world = simulator.world();
    if !path.starts_with("/v1/") {
        return Reply::not_found();
    }
    if let Some(reply) = world.refuse_head(&head.headers) {
        return reply;
    }
    listing::answer(&mut world, head, path, &Query::of(head.uri.query()), body)
}
