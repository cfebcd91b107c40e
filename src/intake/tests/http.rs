use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::sync::watch;

use super::desk::{BAD, Desk, event, ids, ingest, post, settle_down};
use crate::clock::Clock;
use crate::event::Rules;
use crate::intake::drain::Drain;
use crate::intake::http_service::{HttpService, HttpSide};
use crate::intake::{Admission, Settings};
use crate::journal::{AppendError, JournalError, WriterByHand};
use crate::metrics::{Listener, Metrics};

#[tokio::test]
async fn success_is_answered_only_after_the_commit() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(ingest(&[event("a"), event("b")])).await;
    let held = desk.writer.append().await;
    assert_eq!(ids(&held.append), ["a", "b"]);
    assert!(sender.hears_nothing().await);
    held.commit();
    let (status, head, body) = sender.response().await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json\r\n"));
    assert_eq!(body, r#"{"inserted":2,"duplicates":0}"#);
}

#[tokio::test]
async fn pipelined_requests_on_one_connection_are_answered_in_order() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    let requests =
        [ingest(&[event("a")]), ingest(&[BAD.to_owned()]), ingest(&[]), ingest(&[event("b")])].concat();
    let (early, late) = requests.split_at(requests.len() - 30);
    sender.send(early).await;
    desk.writer.append().await.commit();
    assert_eq!(sender.response().await.0, 200);
    assert_eq!(sender.response().await.0, 422);
    assert_eq!(sender.response().await.2, r#"{"inserted":0,"duplicates":0}"#);
    sender.send(late).await;
    desk.writer.append().await.commit();
    assert_eq!(sender.response().await.2, r#"{"inserted":1,"duplicates":0}"#);
}

#[tokio::test]
async fn chunked_bodies_and_expect_continue_are_taken() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    let body = format!("{{\"events\":[{}]}}", event("a"));
    let (one, two) = body.split_at(20);
    let head = "POST //v1/events/ingest/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    sender.send(head).await;
    let (status, ..) = sender.response().await;
    assert_eq!(status, 100);
    sender.send(format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len())).await;
    let held = desk.writer.append().await;
    assert_eq!(ids(&held.append), ["a"]);
    held.commit();
    assert_eq!(sender.response().await.0, 200);
}

#[tokio::test]
async fn one_bad_event_refuses_the_request_and_all_bad_ones_are_named() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(ingest(&[event("a"), BAD.to_owned(), event("b"), "7".to_owned()])).await;
    let (status, _, body) = sender.response().await;
    assert_eq!(status, 422);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["error"], "RequestValidationError");
    let mut named: Vec<_> = body["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| {
            assert!(fault["type"].is_string() && fault["msg"].is_string());
            assert_eq!((&fault["loc"][0], &fault["loc"][1]), (&"body".into(), &"events".into()));
            fault["loc"][2].as_u64().unwrap()
        })
        .collect();
    named.dedup();
    assert_eq!(named, [1, 3]);
    assert!(desk.writer.waiting_append().is_none());
    assert_eq!(desk.refused("http", "batch"), 2);
}

#[tokio::test]
async fn a_grant_is_answered_with_its_id() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    let grant = r#"{"grant":{"event":"api_usage","property":"units","credits":10},"external_customer_id":"c","external_id":"g"}"#;
    sender.send(post("/sledge/v1/grants", grant)).await;
    let held = desk.writer.append().await;
    assert_eq!(held.append.events.grants.len(), 1);
    held.commit();
    let (status, _, body) = sender.response().await;
    assert_eq!((status, body.as_str()), (200, r#"{"inserted":1,"duplicates":0,"external_id":"g"}"#));
    sender.send(post("/sledge/v1/grants", &event("no grant"))).await;
    assert_eq!(sender.response().await.0, 422);
}

#[tokio::test]
async fn a_journal_that_takes_nothing_is_a_503_with_retry_after() {
    let desk = Desk::with(Settings::default(), 600);
    let (mut first, mut second) = (desk.connect().await, desk.connect().await);
    first.send(ingest(&[event("a")])).await;
    let held = desk.writer.append().await;
    let mut refused = async |expected_code: &str| {
        second.send(ingest(&[event("b")])).await;
        let (status, head, body) = second.response().await;
        assert_eq!(status, 503);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"], expected_code);
        assert!(body["detail"].is_string());
        head.split("retry-after: ").nth(1).unwrap().split("\r\n").next().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(refused("busy").await, 1);
    desk.writer.set_full(Some("1 GiB of 1 GiB"));
    assert!(refused("journal_full").await > 1);
    held.refuse(AppendError::Full { detail: "1 GiB of 1 GiB".to_owned() });
    assert_eq!(first.response().await.0, 503);
    desk.writer.fail(JournalError::Poisoned { detail: "EIO".to_owned() });
    assert!(refused("journal_failed").await > 1);
    assert_eq!(desk.refused("http", "busy"), 1);
    assert_eq!(desk.refused("http", "journal_full"), 2);
    assert_eq!(desk.refused("http", "journal_failed"), 1);
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413_announced_or_not() {
    let settings = Settings { body_bytes_max: 100, ..Settings::default() };
    let desk = Desk::with(settings, 16 << 20);
    let mut sender = desk.connect().await;
    sender.send("POST /v1/events/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n").await;
    let (status, _, body) = sender.response().await;
    assert_eq!(status, 413);
    assert!(body.contains(r#""error":"RequestBodyTooLarge""#));

    let mut sender = desk.connect().await;
    let chunk = format!("40\r\n{}\r\n", "x".repeat(64));
    sender
        .send(format!(
            "POST /v1/events/ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}"
        ))
        .await;
    assert_eq!(sender.response().await.0, 413);
}

#[tokio::test]
async fn bodies_over_the_limit_of_memory_are_told_to_come_back() {
    let settings = Settings { bodies_bytes_max: 100, ..Settings::default() };
    let desk = Desk::with(settings, 16 << 20);
    let mut slow = desk.connect().await;
    slow.send(format!(
        "POST /v1/events/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{}",
        " ".repeat(90)
    ))
    .await;
    settle_down().await;
    let mut sender = desk.connect().await;
    sender.send(ingest(&[event("a")])).await;
    let (status, head, body) = sender.response().await;
    assert_eq!(status, 503);
    assert!(head.contains("retry-after: 1"));
    assert!(body.contains("\"busy\""));
    drop(slow);
    settle_down().await;
    let mut sender = desk.connect().await;
    sender.send(post("/v1/events/ingest", r#"{"events":[]}"#)).await;
    assert_eq!(sender.response().await.0, 200);
}

#[tokio::test]
async fn whatever_is_no_intake_is_told_where_to_go() {
    let desk = Desk::open();
    let mut answers = Vec::new();
    for request in [
        "GET /v1/events/ingest HTTP/1.1\r\nHost: x\r\n\r\n",
        "OPTIONS /sledge/v1/grants HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/meters/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /V1/events/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "POST http://api.polar.sh/v1/events/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "POST /v1/events/ingest HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
        "POST /v1/events/ingest HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
        "POST /v1/events/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{",
    ] {
        let mut sender = desk.connect().await;
        sender.send(request).await;
        let (status, head, body) = sender.response().await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert!(body["error"].is_string() && !body["detail"].is_null(), "{body}");
        assert_eq!(head.contains("allow: post"), status == 405);
        answers.push((status, body["detail"][0]["loc"].to_string()));
    }
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [405, 405, 501, 404, 404, 400, 415, 422, 422]);
    assert_eq!(answers[7].1, r#"["body"]"#);
    assert_eq!(answers[8].1, r#"["body",1]"#);
    assert!(desk.writer.waiting_append().is_none());
}

#[tokio::test(start_paused = true)]
async fn half_a_header_is_closed_in_time_and_a_quiet_connection_is_not() {
    let desk = Desk::open();
    let (mut slow, mut quiet) = (desk.connect().await, desk.connect().await);
    quiet.send(ingest(&[])).await;
    assert_eq!(quiet.response().await.0, 200);
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    quiet.send(ingest(&[])).await;
    assert_eq!(quiet.response().await.0, 200);

    slow.send("POST /v1/events/ingest HT").await;
    tokio::time::sleep(Settings::default().header_timeout - Duration::from_secs(1)).await;
    assert!(slow.hears_nothing().await, "it is still open");
    slow.send("TP/1.1\r\nHost").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(slow.is_closed().await);

    quiet.send("POST /v1").await;
    tokio::time::sleep(Settings::default().header_timeout + Duration::from_secs(1)).await;
    assert!(quiet.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn half_a_body_is_a_408_in_time() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send("POST /v1/events/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").await;
    tokio::time::sleep(Settings::default().body_timeout + Duration::from_secs(1)).await;
    let (status, _, body) = sender.response().await;
    assert_eq!(status, 408);
    assert!(body.contains("request_timeout"));
    assert!(sender.is_closed().await);
}

#[tokio::test]
async fn a_drain_answers_the_request_under_way_and_closes_idle_connections() {
    let desk = Desk::open();
    let (mut working, mut idle) = (desk.connect().await, desk.connect().await);
    idle.send(ingest(&[])).await;
    assert_eq!(idle.response().await.0, 200);
    working.send(ingest(&[event("a")])).await;
    let held = desk.writer.append().await;
    desk.drain();
    assert!(idle.is_closed().await);
    assert!(working.hears_nothing().await);
    held.commit();
    assert_eq!(working.response().await.0, 200);
    assert!(working.is_closed().await);
    desk.ended().await;
}

#[tokio::test]
async fn a_sender_who_ends_his_writing_still_gets_his_answer() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(ingest(&[event("a")])).await;
    sender.end_writing().await;
    let held = desk.writer.append().await;
    settle_down().await;
    held.commit();
    assert_eq!(sender.response().await.0, 200);
}

#[tokio::test]
async fn the_same_service_serves_another_listener_under_its_own_name() {
    let writer = WriterByHand::new(16 << 20);
    let metrics = Metrics::new().unwrap();
    let settings = Settings::default();
    let admission = Admission::new(writer.appender(), metrics, Clock::system(), Rules::default(), &settings);
    let (_drain, drained) = watch::channel(false);
    let side = Arc::new(HttpSide::new(Listener::Tcp, admission));
    let service = HttpService::new(side, Drain::new(drained));
    let body = Full::new(Bytes::from(format!("{{\"events\":[{}]}}", event("a"))));
    let request = Request::post("/v1/events/ingest").body(body).unwrap();
    let answered = tokio::join!(service.answer(request), async {
        let held = writer.append().await;
        assert_eq!(held.append.listener, Listener::Tcp);
        held.commit();
    });
    assert_eq!(answered.0.status(), 200);
}
