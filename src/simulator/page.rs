//! The page at `/simulator`: what arrived, for people.

use std::fmt::Write as _;

use super::reply::Reply;
use super::state::{RequestRecord, State};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1d2433;background:#fff}\
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .9rem .2rem 0;text-align:left;border-bottom:1px solid #dde2ec}\
td.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:13px;overflow-wrap:anywhere}h2{font-size:1.05rem;margin-bottom:0}\
@media(prefers-color-scheme:dark){body{color:#e3e7f0;background:#14171f}td,th{border-color:#2c3342}}";

/// The page, which loads itself again every two seconds and nothing else.
pub(super) fn page(state: &State, latest: &[RequestRecord]) -> Reply {
    let mut html = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.push_str("<meta http-equiv=\"refresh\" content=\"2\"><title>Polar, simulated</title><style>");
    html.push_str(STYLE);
    html.push_str("</style></head><body><h1>Polar, simulated</h1>");
    counts(&mut html, state);
    balances(&mut html, state);
    requests(&mut html, latest);
    html.push_str("<h2>Latest events</h2><table>");
    for event in &state.latest_events {
        row(&mut html, &[("", event)]);
    }
    html.push_str("</table></body></html>");
    Reply { status: 200, headers: Vec::new(), body: html.into() }
        .with_header("content-type", "text/html; charset=utf-8")
        .with_header(
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        )
}

fn counts(html: &mut String, state: &State) {
    html.push_str("<h2>Arrived</h2><table>");
    let counts = [
        ("requests to ingest", state.ingest_requests),
        ("events received", state.events_received),
        ("events inserted", state.events_inserted),
        ("events duplicate", state.events_duplicate),
        ("events Polar has now", state.events_present),
        ("ids a restore took back", state.external_ids_lost),
        ("orphans", state.orphans),
        ("replies still scripted", state.scripted_replies),
    ];
    for (name, count) in counts {
        row(html, &[("", name), ("n", &count.to_string())]);
    }
    html.push_str("</table><h2>Answers</h2><table>");
    for (status, count) in &state.requests_by_status {
        row(html, &[("", &answer_name(*status)), ("n", &count.to_string())]);
    }
    html.push_str("</table>");
}

fn balances(html: &mut String, state: &State) {
    html.push_str(
        "<h2>Balances</h2><table><tr><th>customer</th><th>meter</th><th>consumed</th><th>balance</th></tr>",
    );
    for view in &state.balances {
        let customer = if view.customer_known {
            view.customer.clone()
        } else {
            format!("{} (unknown yet)", view.customer)
        };
        let (consumed, balance) = (view.consumed_units.to_string(), view.balance.to_string());
        row(html, &[("", &customer), ("", &view.meter), ("n", &consumed), ("n", &balance)]);
    }
    html.push_str("</table>");
}

fn requests(html: &mut String, latest: &[RequestRecord]) {
    html.push_str("<h2>Latest requests</h2><table><tr><th>request</th><th>answer</th><th>events</th><th>inserted</th><th>duplicates</th></tr>");
    for request in latest {
        let name = format!("{} {}", request.method, request.path);
        let counts = [request.events, request.inserted, request.duplicates].map(|count| count.to_string());
        let [events, inserted, duplicates] = &counts;
        let answer = answer_name(request.status);
        row(html, &[("", &name), ("", &answer), ("n", events), ("n", inserted), ("n", duplicates)]);
    }
    html.push_str("</table>");
}

/// A status; nothing came back of a connection that was cut.
fn answer_name(status: u16) -> String {
    if status == 0 { "cut".to_owned() } else { status.to_string() }
}

fn row(html: &mut String, cells: &[(&str, &str)]) {
    html.push_str("<tr>");
    for (class, text) in cells {
        html.push_str(&format!("<td class=\"{class}\"><code>{}</code></td>", Escaped(text)));
    }
    html.push_str("</tr>");
}

struct Escaped<'t>(&'t str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
