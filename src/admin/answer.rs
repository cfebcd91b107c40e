//! The answer to one request.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use tracing::error;

use super::host;
use super::scrape;
use super::status::{PartState, Status};
use super::view::View;

pub(super) const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const INDEX: &str = "<!doctype html><title>sledge</title><h1>sledge</h1><ul>\
<li><a href=\"/status\">/status</a> what is owed, how old it is, and why\
<li><a href=\"/metrics\">/metrics</a> for Prometheus\
<li><a href=\"/readyz\">/readyz</a> whether every part can serve\
<li><a href=\"/livez\">/livez</a> whether the process lives</ul>\n";

/// Answers one request. Nothing it does can change anything.
pub(super) fn answer<B>(request: &Request<B>, view: &View, hosts: &[String]) -> Response<Full<Bytes>> {
    if let Some(refusal) = misdirected(request, hosts) {
        return refusal;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal =
            respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "this address is read-only: use GET\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/" => respond(StatusCode::OK, "text/html; charset=utf-8", INDEX),
        "/livez" => respond(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => readiness(view),
        "/metrics" => metrics(view),
        "/status" => status(view),
        _ => respond(StatusCode::NOT_FOUND, TEXT, "try /status, /metrics, /readyz or /livez\n"),
    }
}

/// The refusal of a request that was sent to a name not ours. Every name it carries must be.
fn misdirected<B>(request: &Request<B>, hosts: &[String]) -> Option<Response<Full<Bytes>>> {
    let mut names: Vec<&[u8]> = request.headers().get_all(HOST).iter().map(HeaderValue::as_bytes).collect();
    names.extend(request.uri().authority().map(|authority| authority.as_str().as_bytes()));
    if names.is_empty() {
        return Some(respond(StatusCode::BAD_REQUEST, TEXT, "the request has no Host header\n"));
    }
    let ours = |name: &&[u8]| std::str::from_utf8(name).is_ok_and(|name| host::is_ours(name, hosts));
    let refused = "this address answers to localhost, to IP addresses and to its configured name only\n";
    (!names.iter().all(ours)).then(|| respond(StatusCode::MISDIRECTED_REQUEST, TEXT, refused))
}

fn readiness(view: &View) -> Response<Full<Bytes>> {
    let status = Status::of(view);
    let mut lines = String::new();
    for part in &status.parts {
        let state = match part.state {
            PartState::Ready => "ready",
            PartState::Degraded => "degraded",
            PartState::NotReady => "not ready",
        };
        lines.push_str(&part.part);
        lines.push_str(": ");
        lines.push_str(state);
        if let Some(reason) = &part.reason {
            lines.push_str(", ");
            lines.push_str(reason);
        }
        lines.push('\n');
    }
    lines.push_str(if status.ready { "ready\n" } else { "not ready\n" });
    respond(if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, TEXT, lines)
}

fn metrics(view: &View) -> Response<Full<Bytes>> {
    let accounts = view.accounts.read();
    let estimate = view.outlook.look(Instant::now(), &accounts);
    match scrape::text(&accounts, estimate, &view.metrics) {
        Ok(text) => respond(StatusCode::OK, prometheus::TEXT_FORMAT, text),
        Err(error) => failed(&error),
    }
}

fn status(view: &View) -> Response<Full<Bytes>> {
    match serde_json::to_vec_pretty(&Status::of(view)) {
        Ok(mut json) => {
            json.push(b'\n');
            respond(StatusCode::OK, JSON, json)
        }
        Err(error) => failed(&error),
    }
}

pub(super) fn failed(error: &(dyn std::error::Error + 'static)) -> Response<Full<Bytes>> {
    error!(error, "the admin address could not write its answer");
    respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the answer could not be written; see the log\n")
}

pub(super) fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response
}
