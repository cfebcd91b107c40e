//! What customers have pending: exact through an outage, a kill and a restart.

use std::fmt::Write as _;

use serde_json::Value;
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::sledge_process::{Home, SledgeProcess, http};

fn counting(home: &Home, polar: &str) -> Command {
    let mut command = home.run_command(polar);
    command.env("SLEDGE_PENDING_CUSTOMERS_MAX", "100").env("SLEDGE_JOURNAL_VOLUME_BYTES", "1048576");
    command
}

async fn pending(sledge: &SledgeProcess, customer: &str) -> Value {
    let (status, body) = ask(sledge, &format!("?external_customer_id={customer}")).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn ask(sledge: &SledgeProcess, query: &str) -> (u16, String) {
    let request = format!("GET /sledge/v1/pending{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    http(sledge.connect().await, &request).await
}

async fn complete(sledge: &SledgeProcess, customer: &str) -> Value {
    loop {
        let told = pending(sledge, customer).await;
        if told["complete"] == true {
            return told;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_can_be_completed_by_what_is_pending_through_an_outage_and_a_kill() {
    let mut polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = SledgeProcess::start(counting(&home, &polar.url()), home.socket()).await;
    polar.go_away().await;
    let grant =
        r#"{"grant":{"event":"api_usage","property":"units","credits":10},"external_customer_id":"user 1"}"#;
    assert_eq!(sledge.post("/sledge/v1/grants", grant).await.0, 200);
    let used = r#"{"name":"api_usage","external_customer_id":"user 1","metadata":{"units":3.5}}"#;
    assert_eq!(sledge.ingest(&format!("{{\"events\":[{used},{used}]}}")).await.0, 200);
    let told = pending(&sledge, "user%201").await;
    assert_eq!(told["pending"][0]["sums"]["units"].to_string(), "-3", "{told}");
    assert_eq!((&told["pending"][0]["events"], &told["complete"]), (&3.into(), &true.into()));
    sledge.kill_nine().await;

    let sledge = SledgeProcess::start(counting(&home, &polar.url()), home.socket()).await;
    let told = complete(&sledge, "user+1").await;
    assert_eq!(told["pending"][0]["sums"]["units"].to_string(), "-3", "{told}");
    polar.come_back();
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
    let told = complete(&sledge, "user%201").await;
    assert_eq!(told["pending"], Value::Array(Vec::new()), "{told}");
    assert!(told["last_delivery_at"].is_string(), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_while_it_is_being_delivered_comes_out_even() {
    let mut polar = FakePolar::start().await;
    let home = Home::in_memory();
    let sledge = SledgeProcess::start(counting(&home, &polar.url()), home.socket()).await;
    polar.go_away().await;
    let mut random = 7_u64;
    for batch in 0..30 {
        let mut events = String::new();
        for number in 0..500 {
            let mut noise = String::new();
            for _ in 0..6 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                write!(noise, "{random:016x}").unwrap();
            }
            let comma = if number > 0 { "," } else { "" };
            let customer = number % 7;
            write!(events, r#"{comma}{{"name":"n","external_customer_id":"c{customer}","metadata":{{"units":0.1,"noise":"{noise}"}}}}"#).unwrap();
        }
        let (status, answer) = sledge.ingest(&format!("{{\"events\":[{events}]}}")).await;
        assert_eq!(status, 200, "{batch}: {answer}");
    }
    let before = pending(&sledge, "c3").await;
    assert_eq!(before["pending"][0]["sums"]["units"].to_string(), "213", "{before}");
    sledge.kill_nine().await;

    // Closed volumes are read by both now: by delivery, and by who counts.
    polar.come_back();
    let sledge = SledgeProcess::start(counting(&home, &polar.url()), home.socket()).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
    for customer in 0..7 {
        let told = complete(&sledge, &format!("c{customer}")).await;
        assert_eq!(told["pending"], Value::Array(Vec::new()), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_are_told_where_they_are_counted_and_to_nobody_at_a_port() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let (status, body) = ask(&sledge, "?external_customer_id=u").await;
    assert!(status == 404 && body.contains("pending_customers_max"), "{status} {body}");
    drop(sledge.stop().await);

    let mut command = counting(&home, &polar.url());
    command.args(["--http", "127.0.0.1:0"]);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    for query in ["", "?customer_id=user_1", "?limit=1"] {
        let (status, body) = ask(&sledge, query).await;
        assert!(status == 400 && body.contains("customer_missing"), "{query}: {status} {body}");
    }
    let port = tokio::net::TcpStream::connect(sledge.listener("http").await).await.unwrap();
    let request = "GET /sledge/v1/pending?external_customer_id=u HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let (status, body) = http(port, request).await;
    assert!(status == 404 && body.contains("pending_off"), "{status} {body}");
}
