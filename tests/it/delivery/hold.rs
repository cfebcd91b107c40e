//! A hold, with the real binary and apps that go on sending.

use std::time::Duration;

use sledge::simulator::Change;

use crate::fake_polar::FakePolar;
use crate::senders::Senders;
use crate::sledge_process::{Home, SledgeProcess};
use crate::tool;

/// How long delivery is held. The long form:
/// `SLEDGE_HOLD_SECONDS=60 cargo test --test it -- --nocapture without_the_scope`.
fn hold() -> Duration {
    Duration::from_secs(tool::number_from("SLEDGE_HOLD_SECONDS", 3) as u64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_the_scope_is_told_everywhere_alike_and_loses_nothing() {
    let polar = FakePolar::start().await;
    polar.simulator.change(Change {
        tokens_without_scope: Some(vec!["polar_oat_narrow".to_owned()]),
        ..Change::default()
    });
    let home = Home::new();
    let token_file = home.path().join("token");
    std::fs::write(&token_file, "polar_oat_narrow\n").unwrap();
    let mut command = home.run_command(&polar.url());
    command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(&token_file);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let mut senders = Senders::to(&home.socket(), Duration::from_millis(5));
    senders.acked_lines(1).acked_lines(16).http();
    sledge.scrape_until(|scrape| scrape.get("sledge_held{reason=\"forbidden\"}") == Some(1.0)).await;
    tokio::time::sleep(hold()).await;

    let words = "Polar answered 403: the token lacks the scope events:write";
    let (status, ready) = sledge.get("/readyz").await;
    assert!(status == 200 && ready.contains(words), "{ready}");
    let (_, looked) = sledge.get("/status").await;
    let looked: serde_json::Value = serde_json::from_str(&looked).unwrap();
    assert_eq!(looked["held"], serde_json::json!(["forbidden"]));
    let parts = looked["parts"].as_array().unwrap();
    let told = parts.iter().find(|part| part["part"] == "delivery").unwrap()["reason"].as_str().unwrap();
    assert!(
        ready.contains(told) && told.contains(words) && told.contains("it is picked up by itself"),
        "{told}"
    );
    let scrape = sledge.scrape().await;
    assert!(scrape.sum("sledge_events_delivered_total") < 0.5 && scrape.sum("sledge_pending_events") > 0.5);

    std::fs::write(&token_file, "polar_oat_broad\n").unwrap();
    sledge.scrape_until(|scrape| scrape.sum("sledge_events_delivered_total") > 0.5).await;
    let promises = senders.stop().await;
    let sent = promises.acked.lock().unwrap().len() as u64;
    let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
    assert!(scrape.sum("sledge_held") < 0.5 && promises.refused.lock().unwrap().is_empty());
    let state = polar.simulator.state();
    println!("{sent} events were acknowledged while delivery was held for {:?} and after", hold());
    assert_eq!((state.events_inserted, state.external_ids), (sent, sent));
    let (_, _, log) = sledge.stop().await;
    assert!(log.contains(told) && !log.contains("polar_oat_"), "{log}");
}
