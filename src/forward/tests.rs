//! Forwarding to real sockets that answer word for word.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use prometheus::TextEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Forward, Settings};
use crate::metrics::Metrics;
use crate::polar::{self, BaseUrl, Relay, RelayedBody, Token, TokenSource};
use crate::protocol::HttpReply;

/// What takes longer would take for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// Forwarding to an address, and how many requests it counted.
struct Desk {
    forward: Forward,
    counted: Arc<AtomicU32>,
    metrics: Metrics,
}

impl Desk {
    fn to(url: &str, settings: Settings) -> Self {
        // The daemon's own token is there, as in life.
        let token = TokenSource::Fixed(Token::parse("polar_oat_daemons_own").unwrap());
        let mut polar = polar::Settings::new(BaseUrl::parse(url).unwrap(), token);
        polar.request_timeout = Duration::from_secs(5);
        let relay = Relay::new(&polar, settings.answer_timeout).unwrap();
        let (metrics, counted) = (Metrics::new().unwrap(), Arc::new(AtomicU32::new(0)));
        let count = counted.clone();
        let forward = Forward::new(settings, relay, metrics.clone(), move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        Self { forward, counted, metrics }
    }

    /// The status and the body of an answer, whoever gave it.
    async fn ask(&self, request: Request<RelayedBody>) -> (u16, String) {
        let answered = tokio::time::timeout(PATIENCE, self.forward.answer(request)).await;
        match answered.expect("no answer in time") {
            Ok(response) => {
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.unwrap().to_bytes();
                (status, String::from_utf8(body.to_vec()).unwrap())
            }
            Err(HttpReply { status, body, .. }) => (status, String::from_utf8(body).unwrap()),
        }
    }

    fn outcome(&self, outcome: &str) -> u64 {
        let start = format!("sledge_forwarded_requests_total{{outcome=\"{outcome}\"}} ");
        let scrape = TextEncoder::new().encode_to_string(&self.metrics.registry().gather()).unwrap();
        scrape.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
    }
}

fn body(text: &'static str) -> RelayedBody {
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}

fn get(path: &str) -> Request<RelayedBody> {
    Request::get(path).header("host", "sledge").body(body("")).unwrap()
}

/// One connection that is answered with these words; hands back what was asked.
async fn polar(answer: &'static [u8]) -> (String, JoinSet<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        let is_whole = |asked: &[u8]| {
            let text = String::from_utf8_lossy(asked).to_ascii_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
            let length = head.split_once("content-length: ").map_or("0", |(_, rest)| rest);
            body.len() >= length.lines().next().unwrap().parse::<usize>().unwrap()
        };
        while !is_whole(&asked) {
            assert_ne!(socket.read_buf(&mut asked).await.unwrap(), 0, "the request ended early");
        }
        socket.write_all(answer).await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    (url, server)
}

#[tokio::test]
async fn a_request_goes_with_the_callers_own_credentials_and_a_length() {
    let (url, mut server) =
        polar(b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").await;
    let desk = Desk::to(&url, Settings::default());
    let pieces =
        ["{\"name\"", ":\"API Calls\"}"].map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
    let chunked = StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync();
    let request = Request::post("//v1/meters/?page=1")
        .header("host", "evil.example")
        .header("authorization", "Bearer polar_oat_callers")
        .header("transfer-encoding", "chunked")
        .header("content-type", "application/json")
        .body(chunked)
        .unwrap();
    assert_eq!(desk.ask(request).await, (201, "{}".to_owned()));
    let asked = server.join_next().await.unwrap().unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("post /v1/meters/?page=1 http/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: bearer polar_oat_callers\r\n"), "{asked}");
    assert!(
        asked.contains("content-length: 20\r\n") && asked.ends_with("{\"name\":\"api calls\"}"),
        "{asked}"
    );
    assert!(asked.contains(&format!("host: {}\r\n", url.trim_start_matches("http://"))), "{asked}");
    for absent in ["transfer-encoding", "evil.example", "daemons_own", "polar-version", "user-agent"] {
        assert!(!asked.contains(absent), "{absent} is in {asked}");
    }
    assert_eq!((desk.counted.load(Ordering::Relaxed), desk.outcome("success")), (1, 1));
}

#[tokio::test]
async fn answers_are_handed_back_as_they_are_redirects_and_compressed_ones_too() {
    let (url, _server) = polar(
        b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://evil.example/v1/meters/\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let redirect = Desk::to(&url, Settings::default()).forward.answer(get("/v1/meters")).await.unwrap();
    assert_eq!(redirect.status(), 307);
    assert_eq!(redirect.headers()["location"], "http://evil.example/v1/meters/");

    let (url, _server) = polar(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\nx-odd: 1\r\nconnection: close\r\n\r\n\x1f\x8b\x08\x00",
    )
    .await;
    let answer = Desk::to(&url, Settings::default()).forward.answer(get("/v1/meters/")).await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert_eq!(answer.headers()["x-odd"], "1");
    assert!(!answer.headers().contains_key("connection"));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), &b"\x1f\x8b\x08\x00"[..]);
}

#[tokio::test]
async fn without_an_answer_the_caller_is_told_in_polars_shape() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let desk = Desk::to(&url, Settings::default());
    let (status, text) = desk.ask(get("/v1/meters/")).await;
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, told["error"].as_str()), (502, Some("polar_unreachable")));
    assert!(told["detail"].as_str().unwrap().contains("the connection was refused"), "{text}");
    assert_eq!(desk.outcome("unreachable"), 1);

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let settings = Settings { answer_timeout: Duration::from_millis(100), ..Settings::default() };
    let desk = Desk::to(&url, settings);
    let (status, text) = desk.ask(get("/v1/meters/")).await;
    assert_eq!(status, 504);
    assert!(text.contains("polar_timeout"), "{text}");
    assert_eq!(desk.outcome("timeout"), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let (url, _server) = polar(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"items\":[").await;
    let answer = Desk::to(&url, Settings::default()).forward.answer(get("/v1/meters/")).await.unwrap();
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn what_is_under_way_is_bounded_until_its_answer_is_handed_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            assert_ne!(socket.read_buf(&mut asked).await.unwrap(), 0, "the request ended early");
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{").await.unwrap();
        may_go_on.await.unwrap();
        socket.write_all(b"}").await.unwrap();
        (listener, socket)
    });
    let desk = Desk::to(&url, Settings { in_flight_max: 1, ..Settings::default() });
    let answer = desk.forward.answer(get("/v1/meters/")).await.unwrap();
    let refused = desk.forward.answer(get("/v1/meters/")).await.unwrap_err();
    assert_eq!((refused.status, refused.retry_after_seconds), (503, Some(1)));
    assert_eq!(desk.counted.load(Ordering::Relaxed), 1, "what does not leave is not counted");
    go_on.send(()).unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{}");
    // The place is free again: the next request is tried.
    drop(server.join_next().await);
    let (status, _) = desk.ask(get("/v1/meters/")).await;
    assert_ne!(status, 503);
}

#[tokio::test]
async fn a_body_over_the_limit_or_without_end_is_refused_before_anything_leaves() {
    let settings =
        Settings { body_bytes_max: 8, body_timeout: Duration::from_millis(50), ..Settings::default() };
    let desk = Desk::to("http://127.0.0.1:9", settings);
    let post = |body| Request::post("/v1/meters/").body(body).unwrap();
    let (status, text) = desk.ask(post(body("123456789"))).await;
    assert_eq!(status, 413);
    assert!(text.contains("RequestBodyTooLarge"), "{text}");
    let endless = StreamBody::new(futures_util::stream::pending()).boxed_unsync();
    assert_eq!(desk.ask(post(endless)).await.0, 408);
    let broken = StreamBody::new(futures_util::stream::iter([Err(io::Error::other("gone"))])).boxed_unsync();
    assert_eq!(desk.ask(post(broken)).await.0, 400);
    assert_eq!(desk.counted.load(Ordering::Relaxed), 0);
    assert_eq!(desk.outcome("bad_body"), 3);
}

#[tokio::test]
async fn what_may_be_meant_for_another_place_goes_nowhere() {
    let desk = Desk::to("http://127.0.0.1:9", Settings::default());
    for (path, status) in [
        ("/v1/../x", 404),
        ("/v1/events/ingest", 404),
        ("http://evil.example/v1/meters/", 404),
        ("/v1/%7B", 502),
    ] {
        assert_eq!(desk.ask(get(path)).await.0, status, "{path}");
    }
    let upgrade = Request::get("/v1/meters/").header("upgrade", "h2c").body(body("")).unwrap();
    assert_eq!(desk.ask(upgrade).await.0, 400);
    let trace = Request::builder().method("TRACE").uri("/v1/meters/").body(body("")).unwrap();
    assert_eq!(desk.ask(trace).await.0, 405);
    assert_eq!(desk.counted.load(Ordering::Relaxed), 1, "only the one that left");
}

#[test]
fn credentials_never_leave_over_plain_http_to_another_machine() {
    let settings = polar::Settings::new(BaseUrl::parse("http://polar.internal").unwrap(), TokenSource::None);
    let refused = Relay::new(&settings, Duration::from_secs(1)).unwrap_err();
    assert!(matches!(refused, polar::SetupError::ClearTextToken { .. }), "{refused}");
}
