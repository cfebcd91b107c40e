//! How fast the simulator takes events: it must not be what an end-to-end measurement measures. Run by hand with
//! `cargo test --release --test simulator throughput -- --ignored --nocapture`.

use std::time::Instant;

use sledge::simulator::NewMeter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::wire::{Polar, SDK, request};

const REQUESTS: usize = 400;
const EVENTS: usize = 1000;
const CONNECTIONS: usize = 4;

/// Events as a daemon sends them: a UUIDv7, an instant, a little metadata.
fn realistic(request: usize) -> String {
    let event = |n: usize| {
        let id = format!("0198d2a4-{:04x}-7c3e-9a6b-{:012x}", request % 0x10000, n + (request << 16));
        format!(
            r#"{{"name":"api_usage","external_customer_id":"user_{}","external_id":"{id}","timestamp":"2026-08-22T11:59:59.123456Z","metadata":{{"units":{},"model":"small","cached":false}}}}"#,
            n % 100,
            n % 7,
        )
    };
    let events: Vec<String> = (0..EVENTS).map(event).collect();
    format!(r#"{{"events":[{}]}}"#, events.join(","))
}

async fn send_all(address: String, bodies: Vec<String>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = vec![0; 4096];
    for body in bodies {
        let text = String::from_utf8(request("POST", "/v1/events/ingest", &SDK, body.as_bytes())).unwrap();
        stream.write_all(text.replace("Connection: close\r\n", "").as_bytes()).await.unwrap();
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
    }
}

#[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
async fn measure(polar: &Polar, what: &str) {
    let bodies: Vec<String> = (0..REQUESTS).map(realistic).collect();
    let bytes: usize = bodies.iter().map(String::len).sum();
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for chunk in bodies.chunks(REQUESTS / CONNECTIONS) {
        clients.spawn(send_all(polar.address.clone(), chunk.to_vec()));
    }
    clients.join_all().await;
    let seconds = started.elapsed().as_secs_f64();
    let rate = (REQUESTS * EVENTS) as f64 / seconds;
    println!("{what}: {rate:.0} events/s, {:.0} MB/s, client included", bytes as f64 / 1e6 / seconds);
    assert_eq!(polar.simulator.state().events_inserted, (REQUESTS * EVENTS) as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, meaningful in release only"]
async fn throughput_of_requests_of_a_thousand_events() {
    measure(&Polar::start().await, "no meter").await;
    let polar = Polar::start().await;
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    measure(&polar, "one meter").await;
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, meaningful in release only"]
async fn throughput_leaves_memory_bounded() {
    let polar = Polar::start().await;
    for million in 1..=3 {
        for request in 0..1000 {
            let body = realistic((million - 1) * 1000 + request);
            send_all(polar.address.clone(), vec![body]).await;
        }
        println!("{million} million events, {} MB resident", resident_mb());
    }
    assert_eq!(polar.simulator.state().events_inserted, 3_000_000);
}
