//! How fast the simulator takes events: it must not be what an end-to-end measurement measures. Run by hand with
//! `cargo test --release --test simulator throughput -- --ignored --nocapture`.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::wire::{Polar, SDK, batch, request};

const REQUESTS: usize = 400;
const EVENTS: usize = 1000;
const CONNECTIONS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, meaningful in release only"]
async fn throughput_of_requests_of_a_thousand_events() {
    let polar = Polar::start().await;
    let requests: Vec<Vec<u8>> = (0..REQUESTS)
        .map(|n| {
            let text = request(
                "POST",
                "/v1/events/ingest",
                &SDK,
                batch(&format!("0198d2a4-7e1a-7c3e-9a6b-{n}"), EVENTS).as_bytes(),
            );
            String::from_utf8(text).unwrap().replace("Connection: close\r\n", "").into_bytes()
        })
        .collect();
    let bytes: usize = requests.iter().map(Vec::len).sum();
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for chunk in requests.chunks(REQUESTS / CONNECTIONS) {
        let (chunk, address) = (chunk.to_vec(), polar.address.clone());
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut answer = vec![0; 4096];
            for request in chunk {
                stream.write_all(&request).await.unwrap();
                let read = stream.read(&mut answer).await.unwrap();
                assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
            }
        });
    }
    clients.join_all().await;
    let seconds = started.elapsed().as_secs_f64();
    let events = (REQUESTS * EVENTS) as f64;
    println!("{:.0} events/s, {:.0} MB/s, client included", events / seconds, bytes as f64 / 1e6 / seconds);
    assert_eq!(polar.simulator.state().events_inserted, (REQUESTS * EVENTS) as u64);
}
