//! The outage of June 2026 with the real daemon: Polar answers 200, is restored from an older snapshot, and has lost
//! what it had answered.

use std::collections::BTreeSet;

use sledge::simulator::NewMeter;

use crate::fake_polar::FakePolar;
use crate::simulate_process::SimulateProcess;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};

/// Hands events with these ids to the daemon, and waits until Polar has answered for all of them.
async fn deliver(sledge: &SledgeProcess, polar: &FakePolar, prefix: &str, count: usize) -> BTreeSet<String> {
    let before = polar.simulator.state().events_inserted;
    let ids: BTreeSet<String> = (0..count).map(|n| format!("{prefix}-{n:03}")).collect();
    let events: Vec<String> = ids
        .iter()
        .map(|id| {
            format!(
                r#"{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}","metadata":{{"units":1}}}}"#
            )
        })
        .collect();
    let (status, body) = sledge.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await;
    assert_eq!(status, 200, "{body}");
    polar.has_events(before + count as u64, PATIENCE).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_polar_has_lost_exactly_what_it_answered_after_the_snapshot() {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;

    let kept = deliver(&sledge, &polar, "before", 40).await;
    let snapshot = polar.simulator.snapshot();
    let lost = deliver(&sledge, &polar, "after", 70).await;
    assert_eq!(polar.simulator.balance("user_1", "API Calls"), Some(-110.0));
    polar.simulator.restore(snapshot).unwrap();

    let gone: BTreeSet<String> =
        polar.simulator.lost_ids(0, usize::MAX).into_iter().map(|record| record.external_id).collect();
    assert_eq!(gone, lost, "what was answered after the snapshot, to the last id");
    let present = |id: &String| polar.simulator.external_id(id).is_some_and(|record| record.present);
    assert!(kept.iter().all(present) && !lost.iter().any(present));
    let state = polar.simulator.state();
    assert_eq!((state.events_inserted, state.events_present, state.external_ids_lost), (110, 40, 70));
    assert_eq!(polar.simulator.balance("user_1", "API Calls"), Some(-40.0), "70 units are not billed");

    // The daemon was answered 200 for all of them: for it they are delivered. Later events arrive as ever.
    let scrape = sledge.scrape().await;
    assert_eq!(scrape.sum("sledge_events_delivered_total"), 110.0);
    deliver(&sledge, &polar, "later", 5).await;

    // Sent again under their ids, the lost ones count once, and those that were never lost do not count again.
    let again = |ids: &BTreeSet<String>| {
        let events: Vec<String> = ids
            .iter()
            .map(|id| {
                format!(
                    r#"{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}","metadata":{{"units":1}}}}"#
                )
            })
            .collect();
        format!(r#"{{"events":[{}]}}"#, events.join(","))
    };
    let all: BTreeSet<String> = kept.union(&lost).cloned().collect();
    assert_eq!(sledge.ingest(&again(&all)).await.0, 200);
    polar.has_events(110 + 5 + 70, PATIENCE).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    assert_eq!(polar.simulator.state().external_ids_lost, 0);
    assert_eq!(polar.simulator.balance("user_1", "API Calls"), Some(-115.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_happens_to_a_simulator_of_its_own_when_it_is_told_to_over_http() {
    let polar = SimulateProcess::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let send = async |id: &str, so_far: u64| {
        let event = format!(r#"{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}"}}"#);
        assert_eq!(sledge.ingest(&format!(r#"{{"events":[{event}]}}"#)).await.0, 200);
        polar.has_events(so_far).await;
    };
    send("before", 1).await;
    let snapshot = polar.snapshot().await;
    send("after", 2).await;
    send("later", 3).await;
    polar.restore(snapshot).await;
    assert_eq!(polar.lost_ids().await, BTreeSet::from(["after", "later"].map(str::to_owned)));
    send("after", 4).await;
    assert_eq!(polar.lost_ids().await, BTreeSet::from(["later".to_owned()]));
    let state = polar.state().await;
    assert_eq!((&state["events_present"], &state["events_inserted"]), (&2.into(), &4.into()));
}
