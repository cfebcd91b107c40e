//! Requests as the official clients send them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{Polar, batch, request};

/// A client's name, the path it posts to, and the headers that tell it apart, as they were captured.
type Client = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const CLIENTS: [Client; 4] = [
    (
        "npm @polar-sh/sdk 1.x",
        "//v1/events/ingest",
        &[("polar-version", "2026-04"), ("sec-fetch-mode", "cors")],
    ),
    ("npm @polar-sh/sdk 0.x", "/v1/events/ingest", &[("cookie", ""), ("accept", "application/json")]),
    (
        "PyPI polar-sdk 1.x",
        "/v1/events/ingest",
        &[("polar-version", "2026-10"), ("accept-encoding", "gzip, deflate")],
    ),
    ("PyPI polar-sdk 0.x", "/v1/events/ingest", &[("accept", "application/json")]),
];

#[tokio::test]
async fn every_client_gets_the_one_answer_they_all_can_read() {
    for (client, path, headers) in CLIENTS {
        let polar = Polar::start().await;
        let headers =
            [&[("authorization", "Bearer polar_oat_x"), ("content-type", "application/json")], headers]
                .concat();
        let answer = polar.send("POST", path, &headers, batch("a", 2).as_bytes()).await.unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str(), answer.header("content-type")),
            (200, r#"{"inserted":2,"duplicates":0}"#, Some("application/json")),
            "{client}"
        );
    }
}

#[tokio::test]
async fn one_request_an_event_without_an_id_or_a_time_counts_every_time() {
    let polar = Polar::start().await;
    let body = r#"{"events":[{"name":"n","external_customer_id":"u","metadata":{"units":1}}]}"#;
    for _ in 0..3 {
        assert_eq!(polar.ingest(body).await.body, r#"{"inserted":1,"duplicates":0}"#);
    }
    assert_eq!((polar.simulator.state().events_present, polar.simulator.state().external_ids), (3, 0));
}

#[tokio::test]
async fn numbers_are_kept_in_the_very_characters_they_came_in() {
    let polar = Polar::start().await;
    for number in ["0.12345678901234568", "1e-12", "12345678901234567890", "-0.0"] {
        let body = format!(
            r#"{{"events":[{{"name":"n","external_customer_id":"u","metadata":{{"units":{number}}}}}]}}"#
        );
        assert_eq!(polar.ingest(&body).await.status, 200);
        let kept = polar.simulator.events().pop().unwrap();
        assert!(kept.contains(&format!(r#""units":{number}}}"#)), "{kept}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_between_requests() {
    let polar = Polar::start().await;
    let mut stream = TcpStream::connect(&polar.address).await.unwrap();
    for n in 0..2 {
        let headers = [("authorization", "Bearer polar_oat_x"), ("content-type", "application/json")];
        let bytes = request("POST", "/v1/events/ingest", &headers, batch(&n.to_string(), 1).as_bytes());
        let kept = String::from_utf8(bytes).unwrap().replace("Connection: close\r\n", "");
        stream.write_all(kept.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(br#"{"inserted":1,"duplicates":0}"#) {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection stays open");
        }
    }
}
