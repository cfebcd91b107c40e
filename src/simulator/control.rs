//! The control surface over HTTP: everything the handle can do, under `/simulator`.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::page;
use super::query::Query;
use super::reply::Reply;
use super::script::Scripted;
use super::simulator::{Change, Simulator, SnapshotId};

/// Ids in one page of the listing.
const IDS_MAX: usize = 100_000;
/// The longest a request may wait for events, in milliseconds.
const WAIT_MS_MAX: usize = 600_000;

/// One scripted reply or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Script {
    Several(Vec<Scripted>),
    One(Scripted),
}

pub(super) async fn answer(simulator: &Simulator, head: &Parts, path: &str, body: &Bytes) -> Reply {
    let query = Query::of(head.uri.query());
    let inner = path.trim_start_matches("/simulator").trim_matches('/');
    let steps: Vec<&str> = inner.split('/').collect();
    match (&head.method, steps.as_slice()) {
        (&Method::GET, [""]) => page::page(&simulator.state()),
        (&Method::GET, ["state"]) => shown(&simulator.state()),
        (&Method::GET, ["requests"]) => shown(&simulator.requests()),
        (&Method::GET, ["events"]) => Reply::json(200, simulator.events_page(query.number("limit", 100))),
        (&Method::GET, ["external-ids"]) => {
            let limit = query.number("limit", 1000).min(IDS_MAX);
            shown(&simulator.external_ids(query.number("offset", 0), limit))
        }
        (&Method::GET, ["wait"]) => wait(simulator, &query).await,
        (&Method::POST, ["replies"]) => with(body, |script| match script {
            Script::Several(replies) => simulator.script(replies),
            Script::One(reply) => simulator.script([reply]),
        }),
        (&Method::DELETE, ["replies"]) => {
            simulator.clear_script();
            Reply::empty(204)
        }
        (&Method::PATCH, ["settings"]) => with(body, |change: Change| simulator.change(change)),
        (&Method::POST, ["snapshots"]) => {
            Reply::json(201, json!({"snapshot": simulator.snapshot().number()}).to_string())
        }
        (&Method::POST, ["snapshots", number, "restore"]) => restore(simulator, number),
        (&Method::POST, ["reset"]) => {
            simulator.reset();
            Reply::empty(204)
        }
        _ => refused(404, "there is no such control, docs/simulator.md lists them"),
    }
}

fn shown(object: &impl Serialize) -> Reply {
    Reply::json(200, serde_json::to_vec(object).unwrap_or_default())
}

fn refused(status: u16, why: &str) -> Reply {
    Reply::json(status, json!({"error": why}).to_string())
}

fn with<T: for<'b> Deserialize<'b>>(body: &Bytes, act: impl FnOnce(T)) -> Reply {
    match serde_json::from_slice(body) {
        Ok(read) => {
            act(read);
            Reply::empty(204)
        }
        Err(error) => refused(400, &format!("the body could not be read, see docs/simulator.md: {error}")),
    }
}

async fn wait(simulator: &Simulator, query: &Query) -> Reply {
    let events = u64::try_from(query.number("events", 1)).unwrap_or(u64::MAX);
    let timeout_ms = u64::try_from(query.number("timeout_ms", 10_000).min(WAIT_MS_MAX)).unwrap_or(0);
    if simulator.wait_for_events(events, Duration::from_millis(timeout_ms)).await {
        return shown(&simulator.state());
    }
    let inserted = simulator.state().events_inserted;
    refused(408, &format!("{inserted} of {events} events arrived within {timeout_ms} ms"))
}

fn restore(simulator: &Simulator, number: &str) -> Reply {
    let restored = number.parse().ok().map(|number| simulator.restore(SnapshotId::from_number(number)));
    match restored {
        Some(Ok(())) => Reply::empty(204),
        Some(Err(error)) => refused(404, &error.to_string()),
        None => refused(404, "a snapshot has a number, which taking one answers"),
    }
}
