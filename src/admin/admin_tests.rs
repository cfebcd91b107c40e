use super::*;
use crate::admin::{ListenerStatus, Outlook, PartState, Status};
use crate::health::{Health, State};
use crate::journal::AccountsReader;
use crate::metrics::Metrics;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

fn view(health: &Health) -> View {
    View {
        accounts: AccountsReader::default(),
        outlook: Outlook::default(),
        metrics: Metrics::new().unwrap(),
        health: health.clone(),
        listeners: vec![ListenerStatus::unix(Path::new("/run/sledge/sledge.sock"))],
        data_dir: "/var/lib/sledge".to_owned(),
        trial: false,
        polar: "https://sandbox-api.polar.sh".to_owned(),
        full: Arc::new(|_| None),
        started: Instant::now(),
        now: Arc::new(|| 1_700_000_000_000),
    }
}

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinSet<()>,
}

async fn serve(settings: Settings, view: View) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut server = JoinSet::new();
    server.spawn(Admin::new(settings, view).serve(listener, async { drop(stopped.await) }));
    Served { address, stop, server }
}

fn settings() -> Settings {
    Settings::at("127.0.0.1:0".to_owned())
}

async fn ask(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn readiness_names_every_part_and_its_reason() {
    let health = Health::new();
    let (journal, delivery) = (health.latch("journal"), health.latch("delivery"));
    journal.set(State::Ready);
    delivery.set(State::NotReady("the token was refused".to_owned()));
    let served = serve(settings(), view(&health)).await;
    let answer = get(served.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(body(&answer), "delivery: not ready, the token was refused\njournal: ready\nnot ready\n");

    delivery.set(State::Degraded("Polar answers slowly".to_owned()));
    let answer = get(served.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(body(&answer), "delivery: degraded, Polar answers slowly\njournal: ready\nready\n");
}

#[tokio::test]
async fn being_alive_does_not_depend_on_being_ready() {
    let health = Health::new();
    let _not_ready = health.latch("journal");
    let served = serve(settings(), view(&health)).await;
    assert!(get(served.address, "/livez").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn status_reads_back_as_the_documented_shape() {
    let health = Health::new();
    health.latch("journal").set(State::Ready);
    let view = view(&health);
    view.metrics.held("unauthorized", true);
    let served = serve(settings(), view).await;
    let answer = get(served.address, "/status").await;
    let status: Status = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(status.held, ["unauthorized"]);
    assert_eq!(status.polar, "https://sandbox-api.polar.sh");
    assert_eq!(status.parts[0].state, PartState::Ready);
    assert_eq!(status.listeners[0].address, "/run/sledge/sledge.sock");
    assert_eq!(status.lag_seconds, None);
    assert!(status.ready);
}

#[tokio::test]
async fn metrics_are_served_in_the_exposition_format() {
    let served = serve(settings(), view(&Health::new())).await;
    let answer = get(served.address, "/metrics").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4\r\n"), "{answer}");
    assert!(body(&answer).contains("\nsledge_pending_events{lane=\"grants\"} 0\n"), "{answer}");
    assert!(body(&answer).contains("\nprocess_resident_memory_bytes "), "{answer}");
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_gets_nothing() {
    let served = serve(settings(), view(&Health::new())).await;
    for head in [
        "GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    ] {
        let answer = ask(served.address, head).await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{head}{answer}");
        assert!(!answer.contains("version"), "{answer}");
    }
    let nameless = ask(served.address, "GET /status HTTP/1.1\r\n\r\n").await;
    assert!(nameless.starts_with("HTTP/1.1 400 "), "{nameless}");
}

#[tokio::test]
async fn nothing_can_be_changed() {
    let served = serve(settings(), view(&Health::new())).await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
        let head = format!("{method} /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = ask(served.address, &head).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    }
    let unknown = get(served.address, "/admin").await;
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_cut() {
    let quick = Settings {
        connections_max: 1,
        header_timeout: Duration::from_millis(30),
        connection_timeout: Duration::from_millis(60),
        ..settings()
    };
    let served = serve(quick, view(&Health::new())).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"GET /livez HT").await.unwrap();
    assert!(get(served.address, "/livez").await.starts_with("HTTP/1.1 200 "), "the place was never freed");
    let mut rest = Vec::new();
    drop(slow.read_to_end(&mut rest).await);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn shutdown_ends_the_server() {
    let mut served = serve(settings(), view(&Health::new())).await;
    served.stop.send(()).unwrap();
    served.server.join_next().await.unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}
