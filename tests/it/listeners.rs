//! The ways in beside the stream socket: datagrams, and HTTP on a loopback address that no web page may use.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};

/// A sledge with both listeners, and where they are.
struct Open {
    sledge: SledgeProcess,
    http: String,
    datagrams: PathBuf,
}

impl Open {
    async fn start(home: &Home, polar: &FakePolar, more: &[&str]) -> Self {
        let datagrams = home.path().join("sledge.dgram");
        let mut command = home.run_command(&polar.url());
        command.args(["--http", "127.0.0.1:0"]).arg("--datagram-socket").arg(&datagrams).args(more);
        let sledge = SledgeProcess::start(command, home.socket()).await;
        assert_eq!(Path::new(&sledge.listener("datagram").await), datagrams);
        assert_eq!(Path::new(&sledge.listener("socket").await), home.socket());
        Self { http: sledge.listener("http").await, datagrams, sledge }
    }

    /// Sends these bytes on a connection of their own: the status and all that was answered.
    async fn say(&self, request: impl AsRef<[u8]>) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.http).await.unwrap();
        stream.write_all(request.as_ref()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.expect("no answer in time").unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no HTTP answer: {answer:?}")), answer)
    }
}

fn event(id: &str) -> String {
    format!(
        r#"{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}","metadata":{{"units":1}}}}"#
    )
}

/// A request with exactly these headers, beside the body's length.
fn request(first_line: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{first_line} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

const INGEST: &str = "POST /v1/events/ingest";
const HOST: &str = "Host: 127.0.0.1:8787";
const JSON: &str = "Content-Type: application/json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_web_page_could_send_to_the_loopback_address_is_refused() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let open = Open::start(&home, &polar, &[]).await;
    let body = format!("{{\"events\":[{}]}}", event("attack"));
    let page = "Origin: https://evil.example";
    let cross = "Sec-Fetch-Site: cross-site";
    let attacks: &[(&str, &[&str], u16, &str)] = &[
        // A form that is JSON in disguise; from a browser that says more, and from one that says nothing.
        (
            INGEST,
            &[HOST, "Content-Type: text/plain", page, cross, "Sec-Fetch-Mode: navigate"],
            403,
            "origin_refused",
        ),
        (INGEST, &[HOST, "Content-Type: text/plain"], 415, "content_type_not_json"),
        (INGEST, &[HOST, "Content-Type: application/x-www-form-urlencoded"], 415, "content_type_not_json"),
        (INGEST, &[HOST], 415, "content_type_not_json"),
        (INGEST, &[HOST, "Origin: null", JSON], 403, "origin_refused"),
        // A fetch from another site, and from one on this machine.
        (INGEST, &[HOST, JSON, cross, "Sec-Fetch-Mode: no-cors"], 403, "cross_site_refused"),
        (INGEST, &[HOST, JSON, "Sec-Fetch-Site: same-site"], 403, "cross_site_refused"),
        (INGEST, &[HOST, JSON, "Origin: http://localhost:3000"], 403, "origin_refused"),
        // A name of the page's own that was made to point here.
        (INGEST, &["Host: evil.example:8787", JSON], 421, "host_not_loopback"),
        (INGEST, &["Host: 127.0.0.1.evil.example", JSON, "Sec-Fetch-Site: none"], 421, "host_not_loopback"),
        (INGEST, &[HOST, "Host: evil.example", JSON], 421, "host_not_loopback"),
        (INGEST, &[JSON], 400, "host_missing"),
        // The question whether a page may send JSON.
        (
            "OPTIONS /v1/events/ingest",
            &[
                HOST,
                page,
                "Access-Control-Request-Method: POST",
                "Access-Control-Request-Private-Network: true",
            ],
            405,
            "method_not_allowed",
        ),
        ("OPTIONS *", &[HOST], 405, "method_not_allowed"),
        // A link that a person follows.
        (
            "GET /v1/meters/",
            &[HOST, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"],
            403,
            "navigation_refused",
        ),
        ("GET /v1/meters/", &[HOST, cross], 403, "cross_site_refused"),
        // Other things than a request of an app.
        (
            "GET /v1/events/ingest",
            &[HOST, "Connection: Upgrade", "Upgrade: websocket"],
            400,
            "upgrade_refused",
        ),
        ("POST http://127.0.0.1/v1/events/ingest", &[HOST, JSON], 400, "not_a_proxy"),
        ("POST http://evil.example/v1/events/ingest", &[HOST, JSON], 400, "not_a_proxy"),
        ("CONNECT api.polar.sh:443", &["Host: api.polar.sh:443"], 400, "not_a_proxy"),
        ("POST /sledge/v1/grants", &[HOST, JSON], 404, "grants_off"),
    ];
    for (first_line, headers, status, code) in attacks {
        let (answered, text) = open.say(request(first_line, headers, &body)).await;
        assert_eq!(answered, *status, "{first_line} {headers:?}: {text}");
        assert!(text.contains(&format!("\"error\":\"{code}\"")), "{first_line} {headers:?}: {text}");
        assert!(!text.to_ascii_lowercase().contains("access-control"), "{text}");
    }
    let (_, grants_off) = open.say(request("POST /sledge/v1/grants", &[HOST, JSON], "{}")).await;
    assert!(grants_off.contains("--http-grants"), "{grants_off}");

    let scrape = open.sledge.scrape().await;
    let counted = |code: &str| {
        scrape.get(&format!("sledge_events_refused_total{{listener=\"tcp\",reason=\"{code}\"}}"))
    };
    assert_eq!(counted("origin_refused"), Some(3.0));
    assert_eq!(counted("host_not_loopback"), Some(3.0));
    assert!(scrape.sum("sledge_events_accepted_total") < 0.5, "nothing of it was taken");
    // The same body from an app is taken: it was the headers that were refused.
    assert_eq!(open.say(request(INGEST, &[HOST, JSON], &body)).await.0, 200);
    polar.has_events(1, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_official_sdk_passes_the_guard_byte_for_byte() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let open = Open::start(&home, &polar, &[]).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sdk-requests");
    let mut sent = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "http") {
            continue;
        }
        let captured = std::fs::read_to_string(&path).unwrap();
        let adjusted = captured.replace("127.0.0.1:8787", &open.http);
        assert_ne!(adjusted, captured, "{path:?} names another host");
        let (status, answer) = open.say(adjusted).await;
        assert_eq!(status, 200, "{path:?}: {answer}");
        assert!(answer.ends_with("\r\n\r\n{\"inserted\":1,\"duplicates\":0}"), "{path:?}: {answer}");
        assert!(answer.contains("content-type: application/json\r\n"), "{path:?}: {answer}");
        sent += 1;
    }
    assert_eq!(sent, 8);
    polar.has_events(sent, PATIENCE).await;
    let scrape = open.sledge.scrape().await;
    let accepted = scrape.get("sledge_events_accepted_total{listener=\"tcp\",lane=\"usage\"}");
    assert_eq!(accepted.unwrap_or_default(), 8.0);
    // All of them brought one token, which is not the one sledge was given.
    assert_eq!(scrape.get("sledge_foreign_token_requests_total"), Some(8.0));
    let (.., log) = open.sledge.stop().await;
    assert_eq!(log.matches("a token of Polar that is not this daemon's").count(), 1, "{log}");
    assert!(!log.contains("polar_oat_"), "no token in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_come_in_by_the_loopback_address_once_they_are_allowed() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let open = Open::start(&home, &polar, &["--http-grants", "on"]).await;
    let grant = r#"{"grant":{"event":"api_usage","property":"units","credits":10},"external_customer_id":"user_1","external_id":"g"}"#;
    let (status, answer) = open.say(request("POST /sledge/v1/grants", &[HOST, JSON], grant)).await;
    assert_eq!(status, 200, "{answer}");
    let from_page = request("POST /sledge/v1/grants", &[HOST, JSON, "Origin: null"], grant);
    assert_eq!(open.say(from_page).await.0, 403);
    polar.has_events(1, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_others_can_reach_is_a_fault_of_the_configuration() {
    let home = Home::new();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let mut command = home.run_command("http://127.0.0.1:9");
        let output = command.args(["--http", address]).output().await.unwrap();
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("not loopback") && said.contains("write 127.0.0.1:PORT"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_answers_the_request_under_way_and_takes_the_datagrams_that_wait() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let open = Open::start(&home, &polar, &[]).await;
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(&open.datagrams).unwrap();
    let body = format!("{{\"events\":[{}]}}", event("http"));
    let mut stream = TcpStream::connect(&open.http).await.unwrap();
    stream.write_all(request(INGEST, &[HOST, JSON], &body).as_bytes()).await.unwrap();
    for number in 0..2_000 {
        sender.send(event(&format!("d{number}")).as_bytes()).unwrap();
    }
    let (status, ..) = open.sledge.stop().await;
    assert!(status.success(), "{status}");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!open.datagrams.exists() && !home.socket().exists(), "the socket files are gone");
    assert_eq!(sender.send(b"late").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    polar.has_events(2_001, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_of_datagrams_is_told_when_sledge_is_killed_and_goes_on_after_its_restart() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let open = Open::start(&home, &polar, &[]).await;
    let sender = UnixDatagram::unbound().unwrap();
    let datagrams = open.datagrams.clone();
    sender.send_to(event("before").as_bytes(), &datagrams).unwrap();
    polar.has_events(1, PATIENCE).await;
    open.sledge.kill_nine().await;
    assert!(datagrams.exists(), "a killed process leaves its file behind");
    let refused = sender.send_to(event("between").as_bytes(), &datagrams).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    let open = Open::start(&home, &polar, &[]).await;
    sender.send_to(event("after").as_bytes(), &datagrams).unwrap();
    polar.has_events(2, PATIENCE).await;
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_come_in_from_a_shell_and_an_oversize_one_is_kept_and_counted() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let config = home.path().join("sledge.toml");
    std::fs::write(&config, "[intake]\ndatagram_bytes_max = 1024\n").unwrap();
    let open = Open::start(&home, &polar, &["--config", config.to_str().unwrap()]).await;
    let target = format!("UNIX-SENDTO:{}", open.datagrams.display());
    let socat = async |text: String| {
        let mut command = Command::new("socat");
        command.args(["-u", "-", &target]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("socat is installed: apt-get install socat");
        child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
        child.wait_with_output().await.unwrap()
    };
    assert!(socat(format!("{}\n{}\n", event("a"), event("b"))).await.status.success());
    polar.has_events(2, PATIENCE).await;

    let bad = r#"{"name":"api_usage"}"#;
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(bad.as_bytes(), &open.datagrams).unwrap();
    let cut = format!("{}\n{}{}", event("whole"), event("cut"), " ".repeat(2_000));
    sender.send_to(cut.as_bytes(), &open.datagrams).unwrap();
    polar.has_events(3, PATIENCE).await;
    let scrape = open.sledge.scrape_until(|scrape| scrape.sum("sledge_dead_letters") > 1.5).await;
    for reason in ["missing_field", "datagram_too_large"] {
        let counted = format!("sledge_events_refused_total{{listener=\"datagram\",reason=\"{reason}\"}}");
        assert_eq!(scrape.get(&counted), Some(1.0), "{reason}");
    }
    open.sledge.stop().await;
    let letters = home.dead_letters().await;
    assert_eq!(letters[0].event, bad);
    assert!(letters[1].event.starts_with(&event("cut")), "{}", letters[1].event);
}

/// The long form: `SLEDGE_DATAGRAMS=500000 cargo test --test it -- --nocapture datagrams_arrive`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_arrive_every_one_of_them() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let open = Open::start(&home, &polar, &[]).await;
    let sends: u64 = std::env::var("SLEDGE_DATAGRAMS").map_or(5_000, |number| number.parse().unwrap());
    let datagrams = open.datagrams.clone();
    let begun = Instant::now();
    let sending = tokio::task::spawn_blocking(move || {
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&datagrams).unwrap();
        for number in 0..sends {
            sender.send(event(&number.to_string()).as_bytes()).unwrap();
        }
    });
    sending.await.unwrap();
    let took = begun.elapsed();
    let accepted =
        open.sledge.scrape_until(|scrape| scrape.sum("sledge_events_accepted_total") >= sends as f64).await;
    assert!((accepted.sum("sledge_events_accepted_total") - sends as f64).abs() < 0.5);
    println!("{sends} datagrams of one event in {took:?}");
    polar.has_events(sends, PATIENCE + Duration::from_millis(sends)).await;
}
