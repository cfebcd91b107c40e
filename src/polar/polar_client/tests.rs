//! The client against real sockets that answer word for word.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::PolarClient;
use crate::polar::{
    Answer, BaseUrl, Ingest, IngestReply, Reply, Settings, TlsFault, Token, TokenSource, Unreachable,
};

const BODY: &[u8] = br#"{"events":[{"name":"a","external_customer_id":"c"}]}"#;

fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(
        BaseUrl::parse(url).unwrap(),
        TokenSource::Fixed(Token::parse("polar_oat_test").unwrap()),
    );
    settings.request_timeout = Duration::from_millis(500);
    settings
}

/// Serves `answers` one after the other on one connection each, and hands back what the client made of them and the
/// requests as they arrived.
async fn exchange(answers: &[&[u8]]) -> (Vec<Answer>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let owned: Vec<Vec<u8>> = answers.iter().map(|answer| answer.to_vec()).collect();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut requests = Vec::new();
        for answer in owned {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(BODY) {
                assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0, "the request ended early");
            }
            socket.write_all(&answer).await.unwrap();
            requests.push(String::from_utf8(request).unwrap());
        }
        requests
    });
    let client = PolarClient::new(&settings(&url)).unwrap();
    let mut got = Vec::new();
    for _ in answers {
        got.push(client.ingest(Bytes::from_static(BODY)).await);
    }
    (got, server.join_next().await.unwrap().unwrap())
}

#[tokio::test]
async fn a_request_carries_what_polar_asks_for_and_nothing_else() {
    let answer = b"HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nconnection: close\r\n\
        content-length: 29\r\n\r\n{\"inserted\":1,\"duplicates\":0}";
    let (answers, requests) = exchange(&[answer]).await;
    assert_eq!(answers[0].reply, Reply::Accepted(IngestReply { inserted: 1, duplicates: 0 }));
    assert_eq!(answers[0].date, Some(784_111_777_000));
    let request = requests[0].to_ascii_lowercase();
    assert!(request.starts_with("post /v1/events/ingest http/1.1\r\n"), "{request}");
    for header in [
        "authorization: bearer polar_oat_test\r\n",
        "content-type: application/json\r\n",
        "polar-version: 2026-04\r\n",
        concat!("user-agent: sledge/", env!("CARGO_PKG_VERSION"), "\r\n"),
        &format!("content-length: {}\r\n", BODY.len()),
    ] {
        assert!(request.contains(header), "{header} is missing in {request}");
    }
    for header in ["transfer-encoding", "accept-encoding", "content-encoding", "cookie", "referer"] {
        assert!(!request.contains(header), "{header} is in {request}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_token() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        elsewhere.local_addr().unwrap()
    );
    let (answers, _) = exchange(&[answer.as_bytes()]).await;
    assert_eq!(answers[0].reply, Reply::Redirect { status: 307 });
    assert!(tokio::time::timeout(Duration::from_millis(50), elsewhere.accept()).await.is_err());
}

#[tokio::test]
async fn an_empty_429_and_an_html_503_are_told_with_their_waits() {
    let (answers, _) = exchange(&[
        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
          retry-after: Sun, 06 Nov 1994 08:49:47 GMT\r\nconnection: close\r\n\r\n<html>busy</html>",
    ])
    .await;
    let wait = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(answers[0].reply, Reply::RateLimited { retry_after: wait(60) });
    assert_eq!(answers[1].reply, Reply::ServerError { status: 503, retry_after: wait(10) });
}

#[tokio::test]
async fn a_connection_that_breaks_proves_nothing_and_says_how_it_broke() {
    let (answers, _) = exchange(&[
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n{\"inserted\":1,",
        b"220 mail.example.org ESMTP\r\n",
    ])
    .await;
    assert_eq!(answers[0].reply, Reply::Unreachable(Unreachable::Reset));
    assert_eq!(answers[1].reply, Reply::Unreachable(Unreachable::CutOff));
    assert_eq!(answers[2].reply, Reply::Unreachable(Unreachable::Garbage));
}

/// A server that takes one request, writes this and then says nothing more for as long as it lives.
async fn stuck_after(answer: &'static [u8]) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(BODY) {
            assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0, "the request ended early");
        }
        socket.write_all(answer).await.unwrap();
        std::future::pending::<()>().await;
    });
    (url, server)
}

#[tokio::test]
async fn a_body_that_never_ends_delays_no_answer_that_does_without_it() {
    let (url, _server) = stuck_after(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 4000\r\n\r\n{").await;
    let mut settings = settings(&url);
    settings.request_timeout = Duration::from_secs(60);
    let client = PolarClient::new(&settings).unwrap();
    let answer = client.ingest(Bytes::from_static(BODY)).await;
    assert_eq!(answer.reply, Reply::Unauthorized { in_polars_words: false });
    assert!(answer.took < settings.request_timeout / 2, "{:?}", answer.took);
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_when_the_request_has_taken_its_time() {
    let (url, _server) = stuck_after(b"HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n{\"inserted\":1").await;
    let client = PolarClient::new(&settings(&url)).unwrap();
    let reply = client.ingest(Bytes::from_static(BODY)).await.reply;
    assert_eq!(reply, Reply::Unreachable(Unreachable::Timeout));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let mut answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    answer.resize(answer.len() + super::ANSWER_BYTES_MAX + 1, b' ');
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&format!("http://{}", listener.local_addr().unwrap()));
    settings.request_timeout = Duration::from_secs(30);
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(BODY) {
            assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
        }
        // The client hangs up before the end, so this write may fail.
        drop(socket.write_all(&answer).await);
    });
    let client = PolarClient::new(&settings).unwrap();
    let answer = client.ingest(Bytes::from_static(BODY)).await;
    assert_eq!(answer.reply, Reply::Unreachable(Unreachable::Garbage));
}

#[tokio::test]
async fn what_stands_in_the_way_of_an_answer_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let silent = PolarClient::new(&settings(&format!("http://{address}"))).unwrap();
    assert_eq!(silent.ingest(Bytes::from_static(BODY)).await.reply, Reply::Unreachable(Unreachable::Timeout));
    drop(listener);
    assert_eq!(silent.ingest(Bytes::from_static(BODY)).await.reply, Reply::Unreachable(Unreachable::Refused));

    let nameless = PolarClient::new(&settings("https://polar.invalid")).unwrap();
    let reply = nameless.ingest(Bytes::from_static(BODY)).await.reply;
    // Without a resolver at hand the attempt runs into its time limit instead.
    assert!(
        matches!(reply, Reply::Unreachable(Unreachable::Dns | Unreachable::NoRoute | Unreachable::Timeout)),
        "{reply:?}"
    );
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_a_fault_of_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut hello = [0; 1_024];
        assert_ne!(socket.read(&mut hello).await.unwrap(), 0);
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let client = PolarClient::new(&settings(&url)).unwrap();
    let reply = client.ingest(Bytes::from_static(BODY)).await.reply;
    assert_eq!(reply, Reply::Unreachable(Unreachable::Tls(TlsFault::Handshake)));
}

#[test]
fn only_a_stand_in_for_polar_may_do_without_a_token() {
    let client = |url, token| PolarClient::new(&Settings::new(BaseUrl::parse(url).unwrap(), token)).unwrap();
    assert!(client(BaseUrl::PRODUCTION, TokenSource::None).lacks_token());
    assert!(!client("http://127.0.0.1:1", TokenSource::None).lacks_token());
    let missing = TokenSource::File("/nonexistent/token".into());
    let waiting = client("http://127.0.0.1:1", missing);
    assert!(waiting.lacks_token());
    assert!(waiting.token_fix().contains("/nonexistent/token"));
}
