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
use super::same_origin;
use super::script::Scripted;
use super::simulator::{Change, Simulator, SnapshotId};

/// Requests shown on the page.
const PAGE_REQUESTS_MAX: usize = 10;
/// Scripted replies that may be waiting: a script that loops must not fill the memory.
const REPLIES_MAX: usize = 10_000;
/// Snapshots that may be kept, each a copy of the database.
const SNAPSHOTS_MAX: usize = 16;
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
    if let Some(why) = same_origin::refusal(&head.headers) {
        return refused(403, why);
    }
    let query = Query::of(head.uri.query());
    let inner = path.trim_start_matches("/simulator").trim_matches('/');
    let steps: Vec<&str> = inner.split('/').collect();
    match (&head.method, steps.as_slice()) {
        (&Method::GET, [""]) => page::page(&simulator.state(), &simulator.latest_requests(PAGE_REQUESTS_MAX)),
        (&Method::GET, ["state"]) => shown(&simulator.state()),
        (&Method::GET, ["requests"]) => shown(&simulator.requests()),
        (&Method::GET, ["events"]) => Reply::json(200, simulator.events_page(query.number("limit", 100))),
        (&Method::GET, ["external-ids"]) => {
            let limit = query.number("limit", 1000).min(IDS_MAX);
            let offset = query.number("offset", 0);
            match query.get("lost") {
                Some("true") => shown(&simulator.lost_ids(offset, limit)),
                _ => shown(&simulator.external_ids(offset, limit)),
            }
        }
        (&Method::GET, ["wait"]) => wait(simulator, &query).await,
        (&Method::POST, ["replies"]) => script(simulator, body),
        (&Method::DELETE, ["replies"]) => {
            simulator.clear_script();
            Reply::empty(204)
        }
        (&Method::PATCH, ["settings"]) => with(body, |change: Change| simulator.change(change)),
        (&Method::POST, ["snapshots"]) => snapshot(simulator),
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
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &serde_json::Error) -> Reply {
    refused(400, &format!("the body could not be read, see docs/simulator.md: {error}"))
}

fn script(simulator: &Simulator, body: &Bytes) -> Reply {
    let replies = match serde_json::from_slice(body) {
        Ok(Script::Several(replies)) => replies,
        Ok(Script::One(reply)) => vec![reply],
        Err(error) => return unreadable(&error),
    };
    if simulator.scripted_len().saturating_add(replies.len()) > REPLIES_MAX {
        let why =
            format!("at most {REPLIES_MAX} replies may be waiting: use `times`, or delete the old ones");
        return refused(409, &why);
    }
    simulator.script(replies);
    Reply::empty(204)
}

fn snapshot(simulator: &Simulator) -> Reply {
    if simulator.snapshots_len() >= SNAPSHOTS_MAX {
        let why = format!("{SNAPSHOTS_MAX} snapshots are kept: restore an earlier one, or reset");
        return refused(409, &why);
    }
    Reply::json(201, json!({"snapshot": simulator.snapshot().number()}).to_string())
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
