use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Request, Response};

use super::desk::{Desk, event, ingest};
use crate::intake::{Onward, Streamed};
use crate::protocol::HttpReply;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// Answers with what was asked.
async fn echo(request: Request<Streamed>) -> Result<Response<Streamed>, HttpReply> {
    let line = format!("{} {}", request.method(), request.uri());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = [line.into_bytes(), body.to_vec()].concat();
    Ok(Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()))
}

#[tokio::test]
async fn what_is_polars_is_handed_on_and_what_is_intake_never_is() {
    let desk = Desk::handing(Onward::new(echo));
    let mut sender = desk.connect().await;
    sender.send(get("//v1/meters/?page=2")).await;
    assert_eq!(sender.response().await.2, "GET //v1/meters/?page=2");
    sender.send("PATCH /v1/meters/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n").await;
    assert_eq!(sender.response().await.2, "PATCH /v1/meters/1{}");
    for spelling in ["/v1/events/ingest", "//v1/events/%69ngest/", "/v1/./events/ingest"] {
        sender.send(ingest(&[event("a")]).replace("/v1/events/ingest", spelling)).await;
        desk.writer.append().await.commit();
        assert_eq!(sender.response().await.2, r#"{"inserted":1,"duplicates":0}"#, "{spelling}");
    }
    for (path, status) in [("/v1/%2e%2e/x", 404), ("/other", 404), ("/v1/events/ingest", 405)] {
        sender.send(get(path)).await;
        let (answered, _, body) = sender.response().await;
        assert_eq!(answered, status, "{path}: {body}");
    }
}

#[tokio::test]
async fn without_a_way_on_the_caller_is_told_to_ask_polar_himself() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(get("/v1/meters/")).await;
    let (status, _, body) = sender.response().await;
    assert_eq!(status, 501);
    assert!(body.contains("forwarding_off") && body.contains("--forward on"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_of_polars_holds_up_no_drain() {
    let desk = Desk::handing(Onward::new(|_| std::future::pending()));
    let mut sender = desk.connect().await;
    sender.send(get("/v1/meters/")).await;
    assert!(sender.hears_nothing().await);
    desk.drain();
    let (status, head, _) = sender.response().await;
    assert_eq!(status, 503);
    assert!(head.contains("retry-after: 1\r\n"), "{head}");
    desk.ended().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_ends_is_cut_by_the_drain_and_not_made_to_look_whole() {
    let endless = |_| async {
        let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"data: 1\n\n")))]);
        let stream = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        Ok(Response::new(StreamBody::new(stream).boxed_unsync()))
    };
    let desk = Desk::handing(Onward::new(endless));
    let mut sender = desk.connect().await;
    sender.send(get("/v1/stream")).await;
    while sender.line().await != "data: 1\n" {}
    desk.drain();
    desk.ended().await;
    let mut rest = String::new();
    loop {
        match sender.line().await {
            line if line.is_empty() => break,
            line => rest.push_str(&line),
        }
    }
    assert!(!rest.contains("0\r\n"), "no last chunk: {rest:?}");
}
