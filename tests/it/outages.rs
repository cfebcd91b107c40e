//! Polar away, Polar slow, Polar refusing: the apps never notice, and nothing is lost.

use std::time::{Duration, Instant};

use sledge::simulator::{Change, Scripted};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::fake_polar::FakePolar;
use crate::senders::Senders;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};

/// How long Polar stays away. The long form: `SLEDGE_OUTAGE_SECONDS=60 cargo test --test it -- --nocapture polar_away`.
fn outage() -> Duration {
    let seconds = std::env::var("SLEDGE_OUTAGE_SECONDS");
    Duration::from_secs(
        seconds.map_or(8, |seconds| seconds.parse().expect("SLEDGE_OUTAGE_SECONDS is a number")),
    )
}

fn quantile(waits: &mut [Duration], share: f64) -> Duration {
    waits.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((waits.len() - 1) as f64 * share) as usize;
    waits[at]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polar_away_under_load_loses_nothing_refuses_nothing_and_no_app_waits_longer() {
    let mut polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let mut senders = Senders::to(&home.socket(), Duration::from_millis(2));
    senders.acked_lines(1).acked_lines(16).http().unacked_lines();

    let outage = outage();
    tokio::time::sleep(outage / 2).await;
    let went = Instant::now();
    polar.go_away().await;
    tokio::time::sleep(outage).await;
    let came = Instant::now();
    polar.simulator.script([Scripted::status(429).with_header("retry-after", "1").times(3)]);
    polar.come_back();
    let promises = senders.stop().await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;

    let sent = promises.acked.lock().unwrap().len() as u64
        + promises.unacked_sent.load(std::sync::atomic::Ordering::Relaxed);
    let scrape =
        sledge.scrape_until(|scrape| scrape.sum("sledge_events_delivered_total") >= sent as f64).await;
    assert!(
        (scrape.sum("sledge_events_accepted_total") - sent as f64).abs() < 0.5,
        "every event sent was accepted"
    );
    assert!(scrape.sum("sledge_events_refused_total") < 0.5 && promises.refused.lock().unwrap().is_empty());
    let state = polar.simulator.state();
    assert_eq!(state.events_inserted, sent, "{state:?}");

    let waits = promises.waits.lock().unwrap();
    let between = |from: Instant, to: Instant| -> Vec<Duration> {
        waits.iter().filter(|(at, _)| *at >= from && *at < to).map(|(_, wait)| *wait).collect()
    };
    let (mut up, mut away) = (between(went - outage / 2, went), between(went, came));
    let (p50_up, p50_away) = (quantile(&mut up, 0.5), quantile(&mut away, 0.5));
    let (p99_up, p99_away) = (quantile(&mut up, 0.99), quantile(&mut away, 0.99));
    println!(
        "{sent} events; acks with Polar up: p50 {p50_up:?} p99 {p99_up:?} ({} samples); away for {outage:?}: p50 {p50_away:?} p99 {p99_away:?} ({} samples)",
        up.len(),
        away.len()
    );
    // An app that waited for Polar would wait for whole back-offs, which grow to seconds. The slack is for a machine
    // that is doing other things too: there a scheduler's turn or another's disk sync can take half a second.
    assert!(p50_away < p50_up * 5 + Duration::from_millis(100), "{p50_away:?} against {p50_up:?}");
    assert!(p99_away < p99_up * 5 + Duration::from_secs(1), "{p99_away:?} against {p99_up:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_holds_everything_until_the_file_has_a_good_one() {
    let polar = FakePolar::start().await;
    polar
        .simulator
        .change(Change { accepted_tokens: Some(vec!["polar_oat_good".to_owned()]), ..Change::default() });
    let home = Home::new();
    let token_file = home.path().join("token");
    std::fs::write(&token_file, "polar_oat_bad\n").unwrap();
    let mut command = home.run_command(&polar.url());
    command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(&token_file);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let event = r#"{"events":[{"name":"api_usage","external_customer_id":"user_1","external_id":"held"}]}"#;
    assert_eq!(sledge.ingest(event).await.0, 200);
    sledge.scrape_until(|scrape| scrape.get("sledge_held{reason=\"unauthorized\"}") == Some(1.0)).await;
    let (status, body) = sledge.get("/readyz").await;
    assert_eq!(status, 200, "apps must still be able to send: {body}");
    assert!(body.contains("401") && body.contains("token"), "{body}");
    assert_eq!(sledge.ingest(&event.replace("held", "held too")).await.0, 200);
    std::fs::write(&token_file, "polar_oat_good\n").unwrap();
    polar.has_events(2, PATIENCE).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_held") == 0.0).await;
    let (_, _, log) = sledge.stop().await;
    assert!(!log.contains("polar_oat_"), "no token in the log");
}

/// Polar takes the request and never answers. A stop waits for it until its deadline, not until the request's own, and the
/// next life sends the event again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_hangs_holds_up_a_stop_no_longer_than_the_stops_own_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::new();
    let mut command = home.run_command(&format!("http://{}", silent.local_addr().unwrap()));
    command.env("SLEDGE_DRAIN_DEADLINE_SECONDS", "1").env("SLEDGE_POLAR_REQUEST_TIMEOUT_SECONDS", "300");
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let event = r#"{"events":[{"name":"api_usage","external_customer_id":"user_1"}]}"#;
    assert_eq!(sledge.ingest(event).await.0, 200);
    let (mut line, _) = silent.accept().await.unwrap();
    assert_eq!(line.read(&mut [0; 1]).await.unwrap(), 1, "the request is on its way");
    let (status, said, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    assert!(said.contains("left 1 in the journal"), "{said}");

    let polar = FakePolar::start().await;
    let sledge = home.start(&polar.url()).await;
    polar.has_events(1, PATIENCE).await;
    sledge.stop().await;
}
