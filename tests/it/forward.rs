//! Requests for Polar's other paths: they reach Polar and nothing else, with what their sender gave them and no more.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::fake_polar::FakePolar;
use crate::recorder::{Recorder, Trap};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};

/// The token that sledge is given for its own deliveries.
const OWN: &str = "polar_oat_test";
/// An application's.
const CALLERS: &str = "Authorization: Bearer polar_oat_callers";

/// A sledge with both ways to speak HTTP.
struct Doors {
    sledge: SledgeProcess,
    home: Home,
    http: String,
}

impl Doors {
    async fn open(polar: &str, more: &[&str]) -> Self {
        let home = Home::new();
        let mut command = home.run_command(polar);
        command.args(["--http", "127.0.0.1:0"]).args(more);
        let sledge = SledgeProcess::start(command, home.socket()).await;
        let http = sledge.listener("http").await;
        Self { sledge, home, http }
    }

    /// Sends these bytes at each door, and hands back all that was answered there.
    async fn say(&self, bytes: &[u8]) -> [String; 2] {
        let unix = UnixStream::connect(self.home.socket()).await.unwrap();
        let tcp = TcpStream::connect(&self.http).await.unwrap();
        [exchange(unix, bytes).await, exchange(tcp, bytes).await]
    }
}

async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, bytes: &[u8]) -> String {
    // Whoever refuses the head may close before the rest is written.
    drop(stream.write_all(bytes).await);
    drop(stream.shutdown().await);
    let mut answer = Vec::new();
    drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("no answer in time"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// What is tried, and how many requests of it Polar may see at each door.
fn attacks(evil: &str) -> Vec<(String, usize)> {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{CALLERS}\r\n\r\n");
    let with = |headers: &str| {
        format!("GET /v1/meters/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{CALLERS}\r\n{headers}\r\n\r\n")
    };
    let post = |headers: &str, body: &str| {
        format!(
            "POST /v1/meters/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{CALLERS}\r\n{headers}\r\n\r\n{body}"
        )
    };
    let inner = format!("GET http://{evil}/v1/ HTTP/1.1\r\nHost: {evil}\r\n\r\n");
    vec![
        // Another host in the target.
        (get(&format!("//{evil}/v1/meters/")), 0),
        (get(&format!("///{evil}/v1/meters/")), 0),
        (get(&format!("http://{evil}/v1/meters/")), 0),
        (get(&format!("https://{evil}/v1/meters/")), 0),
        (get(&format!("http://127.0.0.1@{evil}/v1/meters/")), 0),
        (get(&format!("http:/{evil}/v1/meters/")), 0),
        (get(&format!("@{evil}/v1/meters/")), 0),
        (get(&format!("/@{evil}/v1/meters/")), 0),
        (get(&format!(".{evil}/v1/meters/")), 0),
        (get(&format!("/\\{evil}/v1/meters/")), 0),
        (get(&format!("\\\\{evil}/v1/meters/")), 0),
        (get(&format!("/v1//{evil}/")), 1),
        (get(&format!("/v1/@{evil}/")), 1),
        (get(&format!("/v1/meters/?url=http://{evil}/")), 1),
        (get(&format!("/v1/meters/#@{evil}/")), 1),
        (format!("CONNECT {evil} HTTP/1.1\r\nHost: {evil}\r\n\r\n"), 0),
        (format!("CONNECT {evil} HTTP/1.1\r\nHost: 127.0.0.1\r\n{CALLERS}\r\n\r\n"), 0),
        // Ways out of /v1.
        (get("/v1/../admin"), 0),
        (get("/v1/%2e%2e/admin"), 0),
        (get("/v1/.%2E/admin"), 0),
        (get("/v1/%252e%252e/admin"), 0),
        (get("/v1/..%2fadmin"), 0),
        (get("/v1%2f..%2fadmin"), 0),
        (get("/v1/..%5cadmin"), 0),
        (get("/v1/..\\admin"), 0),
        (get(&format!("/v1/../../{evil}/")), 0),
        (get(&format!("/v1/..//{evil}/")), 0),
        (get("/%76%31/meters/"), 0),
        // Hosts.
        (format!("GET /v1/meters/ HTTP/1.1\r\nHost: {evil}\r\n{CALLERS}\r\n\r\n"), 1),
        (
            with(&format!(
                "X-Forwarded-Host: {evil}\r\nForwarded: host={evil}\r\nX-Original-URL: http://{evil}/"
            )),
            1,
        ),
        (format!("GET /v1/meters/ HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: {evil}\r\n{CALLERS}\r\n\r\n"), 1),
        // Two lengths for one body.
        (post("Content-Length: 4\r\nTransfer-Encoding: chunked", &format!("0\r\n\r\n{inner}")), 1),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 4", &format!("0\r\n\r\n{inner}")), 1),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", &format!("0\r\n\r\n{inner}")), 0),
        (post("Transfer-Encoding: xchunked", &format!("0\r\n\r\n{inner}")), 0),
        (post("Transfer-Encoding : chunked", &format!("0\r\n\r\n{inner}")), 0),
        (post("Transfer-Encoding:\u{b}chunked", &format!("0\r\n\r\n{inner}")), 0),
        (post("Content-Length: 2\r\nContent-Length: 60", &format!("{{}}{inner}")), 0),
        (post("Content-Length: +2", &format!("{{}}{inner}")), 0),
        (post("Content-Length: 2, 2", &format!("{{}}{inner}")), 0),
        // A body that is a request.
        (post(&format!("Content-Length: {}", inner.len()), &inner), 1),
        (with(&format!("Content-Type: application/json\r\nContent-Length: {}", inner.len())) + &inner, 1),
        (post("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\nHost: x\r\nTransfer-Encoding: y\r\n\r\n"), 1),
        // Lines within lines.
        (with(&format!("X-Odd: a\r\n Host: {evil}")), 0),
        (with(&format!("X-Odd: a\r\n\tHost: {evil}")), 0),
        (with(&format!("X-Odd: a\rHost: {evil}")), 0),
        (with("X-Odd: a\0b"), 0),
        (get("/v1/meters/%0d%0aHost:%20evil"), 0),
        (get("/v1/meters/\rHost: evil"), 0),
        (get(&format!("/v1/meters/ HTTP/1.1\nHost: {evil}\n")), 0),
        // Another protocol.
        (with("Connection: Upgrade\r\nUpgrade: websocket"), 0),
        (with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"), 0),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 0),
        ("TRACE /v1/meters/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(), 0),
        // Without credentials, or with such as end with the hop, none of ours take their place.
        ("GET /v1/meters/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(), 1),
        (with("Connection: close, Authorization, Content-Length, Host"), 1),
        (with("Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive"), 1),
        // Polar itself sends the caller elsewhere, or speaks something else from here on.
        (get("/v1/redirect"), 1),
        (get("/v1/switch"), 1),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_reaches_another_host_or_carries_the_daemons_token() {
    let trap = Trap::set().await;
    let polar = Recorder::start(trap.address).await;
    let doors = Doors::open(&format!("http://{}", polar.address), &[]).await;
    let evil = trap.address.to_string();
    let mut surprises = Vec::new();
    for (attack, reaching) in attacks(&evil) {
        let before = polar.asked().len();
        let answers = doors.say(attack.as_bytes()).await;
        let reached = polar.asked().len() - before;
        let doors_open =
            if attack.contains(&format!("Host: {evil}")) && reaching > 0 { 1..=2 } else { 2..=2 };
        if reached != 0 && reaching == 0 || reaching > 0 && !doors_open.contains(&reached) {
            surprises
                .push(format!("{attack:?}: Polar saw {reached} requests, and the answers were {answers:?}"));
        }
        for answer in answers {
            let is_final = answer.starts_with("HTTP/1.1 ") && !answer.starts_with("HTTP/1.1 1");
            let is_plain = answer.is_empty() || is_final;
            if !is_plain || answer.contains("stolen") || answer.contains(OWN) {
                surprises.push(format!("{attack:?} was answered {answer:?}"));
            }
        }
    }
    // Deliveries go on beside all of it.
    assert_eq!(doors.sledge.ingest(r#"{"events":[{"name":"a","external_customer_id":"c"}]}"#).await.0, 200);
    doors.sledge.scrape_until(|scrape| scrape.sum("sledge_events_delivered_total") > 0.5).await;

    assert!(polar.odd.lock().unwrap().is_empty(), "what Polar got was no request: {:?}", polar.odd);
    let host = polar.address.to_string();
    for asked in polar.asked() {
        let is_delivery = asked.line == "POST /v1/events/ingest HTTP/1.1";
        let path = asked.line.split(' ').nth(1).unwrap();
        let hosts = &asked.headers["host"];
        if !path.starts_with("/v1/") || *hosts != [host.clone()] || asked.headers.contains_key("upgrade") {
            surprises.push(format!("Polar was asked {asked:?}"));
        }
        let carries_own = format!("{asked:?}").contains(OWN);
        if carries_own != is_delivery || asked.headers.contains_key("transfer-encoding") {
            surprises.push(format!("the daemon's token is in {asked:?}"));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n\n"));
    let smuggled = format!("GET http://{evil}/v1/ HTTP/1.1\r\nHost: {evil}\r\n\r\n");
    assert!(polar.asked().iter().any(|asked| asked.body == smuggled), "a body stays a body");
    assert_eq!(trap.caught(), 0, "nobody was led to the trap");
    // It would have noticed.
    drop(TcpStream::connect(trap.address).await.unwrap());
    tokio::time::timeout(PATIENCE, async {
        while trap.caught() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let (.., log) = doors.sledge.stop().await;
    assert!(!log.contains("polar_oat_"), "no token in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_gets_from_polar_through_sledge_what_it_would_get_without() {
    let polar = FakePolar::start().await;
    let doors = Doors::open(&polar.url(), &[]).await;
    let meter = r#"{"name":"API Calls","filter":{"conjunction":"and","clauses":[{"property":"name","operator":"eq","value":"api_usage"}]},"aggregation":{"func":"sum","property":"units"}}"#;
    let post = format!(
        "POST /v1/meters/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{CALLERS}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{meter}",
        meter.len()
    );
    let get = format!("GET //v1/meters/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{CALLERS}\r\n\r\n");
    for created in doors.say(post.as_bytes()).await {
        assert!(created.starts_with("HTTP/1.1 201 "), "{created}");
    }
    for listed in doors.say(get.as_bytes()).await {
        assert!(listed.starts_with("HTTP/1.1 200 ") && listed.contains("\"API Calls\""), "{listed}");
    }
    let unauthorized = get.replace(CALLERS, "Authorization: Bearer undefined");
    for answer in doors.say(unauthorized.as_bytes()).await {
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("invalid_token"), "{answer}");
    }
    let scrape = doors.sledge.scrape().await;
    assert_eq!(scrape.get("sledge_forwarded_requests_total{outcome=\"success\"}"), Some(4.0));
    assert_eq!(scrape.get("sledge_forwarded_requests_total{outcome=\"refused\"}"), Some(2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_polar_away_events_are_taken_and_the_rest_is_told_so() {
    let mut polar = FakePolar::start().await;
    let doors = Doors::open(&polar.url(), &[]).await;
    polar.go_away().await;
    let get = format!("GET /v1/meters/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{CALLERS}\r\n\r\n");
    for answer in doors.say(get.as_bytes()).await {
        assert!(
            answer.starts_with("HTTP/1.1 502 ") && answer.contains("\"error\":\"polar_unreachable\""),
            "{answer}"
        );
    }
    assert_eq!(doors.sledge.ingest(r#"{"events":[{"name":"a","external_customer_id":"c"}]}"#).await.0, 200);
    polar.come_back();
    polar.has_events(1, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarding_can_be_switched_off_and_is_off_where_anybody_could_listen() {
    let polar = FakePolar::start().await;
    for (url, more) in [(polar.url(), &["--forward", "off"][..]), ("http://polar.internal".to_owned(), &[])] {
        let home = Home::new();
        let mut command = home.run_command(&url);
        command.args(["--http", "127.0.0.1:0"]).args(more);
        if url.contains("internal") {
            command.env_remove("POLAR_ACCESS_TOKEN");
        }
        let sledge = SledgeProcess::start(command, home.socket()).await;
        let get = "GET /v1/meters/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        let answer = exchange(sledge.connect().await, get.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 501 ") && answer.contains("forwarding_off"), "{answer}");
    }
}

/// A connection that is kept, for one request after the other.
struct Kept<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Kept<S> {
    /// The status of the answer.
    async fn ask(&mut self, request: &str) -> u16 {
        self.stream.get_mut().write_all(request.as_bytes()).await.unwrap();
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            assert_ne!(self.stream.read_line(&mut line).await.unwrap(), 0, "the connection was closed");
            if line == "\r\n" {
                break;
            }
            status = status.or_else(|| line.split(' ').nth(1).map(|status| status.parse().unwrap()));
            if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = told.trim().parse().unwrap();
            }
        }
        self.stream.read_exact(&mut vec![0; length]).await.unwrap();
        status.unwrap()
    }
}

/// Asks for a list so many times, over a few connections at a steady pace, and counts the answers.
async fn lists(address: &str, requests: u64) -> u64 {
    let request = format!("GET /v1/meters/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{CALLERS}\r\n\r\n");
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (address, request) = (address.to_owned(), request.clone());
        clients.spawn(async move {
            let mut kept = Kept { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) };
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            let mut answered = 0;
            for _ in 0..requests / 4 {
                pace.tick().await;
                answered += u64::from(kept.ask(&request).await == 200);
            }
            answered
        });
    }
    clients.join_all().await.into_iter().sum()
}

/// The times that ingest requests take while `beside` goes on, from the shortest to the longest.
async fn ingest_times(doors: &Doors, beside: impl Future<Output = u64>) -> (Vec<Duration>, u64) {
    let body = r#"{"events":[{"name":"api_usage","external_customer_id":"c","metadata":{"units":1}}]}"#;
    let request = format!(
        "POST /v1/events/ingest HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut kept = Kept { stream: BufReader::new(UnixStream::connect(doors.home.socket()).await.unwrap()) };
    let (mut times, mut beside) = (Vec::new(), std::pin::pin!(beside));
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    loop {
        let one = async {
            pace.tick().await;
            let begun = Instant::now();
            assert_eq!(kept.ask(&request).await, 200);
            begun.elapsed()
        };
        let mut one = std::pin::pin!(one);
        tokio::select! {
            time = &mut one => times.push(time),
            answered = &mut beside => {
                times.push(one.await);
                times.sort_unstable();
                return (times, answered);
            }
        }
    }
}

/// What forwarding costs those who send events: the same requests are made of Polar directly and through sledge, in turns.
/// The long form: `SLEDGE_FORWARDED=10000 cargo test --test it -- --nocapture forwarded_requests_beside_ingest`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarded_requests_beside_ingest_are_all_answered_and_so_is_ingest() {
    const ROUNDS: u64 = 5;
    let requests: u64 = std::env::var("SLEDGE_FORWARDED").map_or(200, |number| number.parse().unwrap());
    let trap = Trap::set().await;
    let polar = Recorder::start(trap.address).await;
    let doors = Doors::open(&format!("http://{}", polar.address), &[]).await;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let p99 = |times: &[Duration]| times[times.len() * 99 / 100];
    for _ in 0..ROUNDS {
        let (times, answered) =
            ingest_times(&doors, lists(&polar.address.to_string(), requests / ROUNDS)).await;
        assert_eq!(answered, requests / ROUNDS);
        without.push(p99(&times));
        let (times, answered) = ingest_times(&doors, lists(&doors.http, requests / ROUNDS)).await;
        assert_eq!(answered, requests / ROUNDS);
        with.push(p99(&times));
    }
    let scrape = doors.sledge.scrape().await;
    let forwarded = scrape.get("sledge_forwarded_requests_total{outcome=\"success\"}").unwrap_or_default();
    assert!((forwarded - requests as f64).abs() < 0.5, "{forwarded} of {requests} were forwarded");
    without.sort_unstable();
    with.sort_unstable();
    let (without, with) = (without[without.len() / 2], with[with.len() / 2]);
    println!(
        "{requests} forwarded requests; ingest p99, medians of {ROUNDS} rounds: {without:?} beside requests that go to Polar directly, \
         {with:?} beside the same ones through sledge, a ratio of {:.2}",
        with.as_secs_f64() / without.as_secs_f64()
    );
}
