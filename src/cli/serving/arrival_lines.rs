//! What arrives at `sledge simulate`: lines for people, or one JSON object a line for programs.

use super::dev_feed;
use crate::cli::voice::{Failure, Tone, Voice, figures};
use crate::simulator::{Arrival, Arrivals, BalanceView, Seen, Simulator};

/// Tells of every request that arrives. Ends only when standard output fails.
pub(super) async fn tell(
    simulator: &Simulator,
    arrivals: &mut Arrivals,
    json: bool,
    voice: &mut Voice,
) -> Result<(), Failure> {
    while let Some(seen) = arrivals.next().await {
        say(simulator, &seen, json, voice)?;
    }
    Ok(())
}

/// Tells of what arrived since, and waits for nothing.
pub(super) fn tell_the_rest(
    simulator: &Simulator,
    arrivals: &mut Arrivals,
    json: bool,
    voice: &mut Voice,
) -> Result<(), Failure> {
    while let Some(seen) = arrivals.already() {
        say(simulator, &seen, json, voice)?;
    }
    Ok(())
}

fn say(simulator: &Simulator, seen: &Seen, json: bool, voice: &mut Voice) -> Result<(), Failure> {
    match seen {
        Seen::Arrival(arrival) if json => voice.say(&as_json(arrival)),
        Seen::Arrival(arrival) => {
            let tone = if matches!(arrival.request.status, 200..=299) { Tone::Good } else { Tone::Bad };
            voice.say(&voice.toned(tone, &headline(arrival)))?;
            let balances = if arrival.request.inserted > 0 { simulator.state().balances } else { Vec::new() };
            for line in events(arrival, &balances) {
                voice.say(&line)?;
            }
            Ok(())
        }
        Seen::Missed(requests) if json => voice.say(&serde_json::json!({"missed": requests}).to_string()),
        Seen::Missed(requests) => {
            let line = format!("{} came too quickly to be shown", figures::counted(*requests, "request"));
            voice.say(&voice.toned(Tone::Quiet, &line))
        }
    }
}

fn as_json(arrival: &Arrival) -> String {
    serde_json::to_string(arrival).unwrap_or_default()
}

/// `POST /v1/events/ingest 200  3 events: 2 new, 1 known`.
fn headline(arrival: &Arrival) -> String {
    let request = &arrival.request;
    let answer = if request.status == 0 { "cut".to_owned() } else { request.status.to_string() };
    let mut line = format!("{} {} {answer}", request.method, request.path);
    if request.scripted {
        line.push_str(" (scripted)");
    }
    if request.events > 0 {
        line.push_str(&format!("  {}", figures::events(request.events)));
        let (inserted, duplicates) = (figures::count(request.inserted), figures::count(request.duplicates));
        line.push_str(&match (request.inserted, request.duplicates) {
            (0, 0) => ": none counted".to_owned(),
            (_, 0) => format!(": {inserted} new"),
            (0, _) => format!(": {duplicates} known already"),
            _ => format!(": {inserted} new, {duplicates} known already"),
        });
    }
    if let Some(why) = &arrival.refusal {
        line.push_str(&format!("  {why}"));
    }
    line
}

fn events(arrival: &Arrival, balances: &[BalanceView]) -> Vec<String> {
    let mut lines: Vec<String> =
        arrival.first_events.iter().map(|event| dev_feed::line(event.get(), balances)).collect();
    let shown = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    let more = arrival.request.events.saturating_sub(shown);
    if more > 0 && shown > 0 {
        lines.push(format!("  {} more", figures::events(more)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::simulator::RequestRecord;

    fn arrival(status: u16, events: u64, inserted: u64, duplicates: u64) -> Arrival {
        let request = RequestRecord {
            at_ms: 1,
            method: "POST".to_owned(),
            path: "/v1/events/ingest".to_owned(),
            status,
            events,
            inserted,
            duplicates,
            scripted: status == 503,
        };
        let event = r#"{"name":"n","external_customer_id":"u","metadata":{"units":0.12345678901234568}}"#;
        let event = RawValue::from_string(event.to_owned()).unwrap();
        Arrival { request, refusal: None, first_events: vec![event] }
    }

    #[test]
    fn a_headline_says_what_was_answered_and_what_counted() {
        for (arrival, expected) in [
            (arrival(200, 3, 2, 1), "POST /v1/events/ingest 200  3 events: 2 new, 1 known already"),
            (arrival(200, 1, 1, 0), "POST /v1/events/ingest 200  1 event: 1 new"),
            (arrival(200, 1, 0, 1), "POST /v1/events/ingest 200  1 event: 1 known already"),
            (arrival(503, 1, 0, 0), "POST /v1/events/ingest 503 (scripted)  1 event: none counted"),
            (arrival(0, 2, 2, 0), "POST /v1/events/ingest cut  2 events: 2 new"),
        ] {
            assert_eq!(headline(&arrival), expected);
        }
        let refusal = Some("body.events.0.name: Field required".to_owned());
        let refused = headline(&Arrival { refusal, ..arrival(422, 1, 0, 0) });
        assert!(refused.ends_with("422  1 event: none counted  body.events.0.name: Field required"));
    }

    #[test]
    fn events_follow_and_the_rest_is_counted() {
        let lines = events(&arrival(200, 1_001, 1_001, 0), &[]);
        assert_eq!(lines, ["  n u units=0.12345678901234568", "  1,000 events more"]);
    }

    #[test]
    fn an_arrival_is_one_line_of_json_with_every_number_as_it_came() {
        let line = as_json(&arrival(200, 1, 1, 0));
        assert!(!line.contains('\n') && line.contains(r#""units":0.12345678901234568"#), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["status"], &read["events"]), (&200.into(), &1.into()));
        assert_eq!(read["first_events"][0]["name"], "n");
    }
}
