//! What `kill -9` costs: nothing that was acknowledged, and nothing twice.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sledge::journal::{VolumeReport, check};

use crate::fake_polar::FakePolar;
use crate::reckoning::Reckoning;
use crate::senders::{Promises, Senders};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};

/// Kills in one run. The long form: `SLEDGE_KILLS=500 cargo test --test it -- --nocapture kill_nine`.
fn kills() -> u32 {
    std::env::var("SLEDGE_KILLS").map_or(20, |kills| kills.parse().expect("SLEDGE_KILLS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_loses_no_acknowledged_event_and_doubles_none() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut senders = Senders::to(&home.socket(), Duration::from_millis(1));
    // Enough text that volumes are begun, settled and deleted between the kills.
    senders
        .with_noise(1_500)
        .acked_lines(1)
        .acked_lines(8)
        .with_noise(0)
        .acked_lines(64)
        .unacked_lines()
        .http();
    let start = || {
        let mut command = home.run_command(&polar.url());
        command.env("SLEDGE_JOURNAL_VOLUME_BYTES", "1048576").env("SLEDGE_JOURNAL_RETENTION_SECONDS", "0");
        SledgeProcess::start(command, home.socket())
    };
    let mut rng = fastrand::Rng::new();
    let kills = kills();
    for kill in 1..=kills {
        let sledge = start().await;
        sledge.scrape().await;
        tokio::time::sleep(Duration::from_millis(rng.u64(0..400))).await;
        if rng.bool() {
            sledge.scrape().await;
        }
        sledge.kill_nine().await;
        if kill % 20 == 0 {
            println!("{kill} kills, {} events acknowledged", senders.promises.acked.lock().unwrap().len());
        }
    }
    let sledge = start().await;
    let promises = senders.stop().await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    let volumes = last_volume(&home.journal());
    assert!(volumes > kills / 4, "volumes were hardly ever full: {volumes} in {kills} lives");
    println!("{volumes} volumes of usage were begun");
    report(&format!("{kills} kills"), 20 * kills as usize, &promises, &polar);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_with_volumes_at_rest_loses_nothing_and_doubles_nothing() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut senders = Senders::to(&home.socket(), Duration::from_millis(30));
    // Volumes are full before what waits in them is due.
    senders.ahead(Duration::from_secs(3)).with_noise(3_000).acked_lines(64).acked_lines(8);
    let start = || {
        let mut command = home.run_command(&polar.url());
        command.env("SLEDGE_JOURNAL_VOLUME_BYTES", "1048576").env("SLEDGE_JOURNAL_RETENTION_SECONDS", "0");
        SledgeProcess::start(command, home.socket())
    };
    let mut rng = fastrand::Rng::new();
    let kills = kills().div_ceil(5);
    let mut at_rest = 0;
    for _ in 0..kills {
        let (sledge, begun) = (start().await, Instant::now());
        while volumes_at_rest(&home.journal()) == 0 {
            assert!(begun.elapsed() < PATIENCE, "no volume comes to rest");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(0..1_500))).await;
        sledge.scrape().await;
        sledge.kill_nine().await;
        assert_eq!(check(&home.journal()).unwrap().findings, [] as [String; 0]);
        at_rest += volumes_at_rest(&home.journal());
    }
    let sledge = start().await;
    let promises = senders.stop().await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    println!("{at_rest} volumes were at rest when their sledge was killed");
    assert!(at_rest > 0, "none of {kills} lives was ended while a volume was at rest");
    report(&format!("{kills} kills"), 100 * kills as usize, &promises, &polar);
}

/// How many volumes lie closed though a part of them is settled. Of one that is just given back nothing can be told.
fn volumes_at_rest(journal: &Path) -> usize {
    let rests = |volume: &&VolumeReport| volume.state == "pending" && volume.pending_blocks < volume.blocks;
    check(journal).map_or(0, |report| report.rows.iter().flat_map(|row| &row.volumes).filter(rests).count())
}

/// The number of the volume that usage is written to.
fn last_volume(journal: &Path) -> u32 {
    let number = |name: String| name.strip_prefix("volume-")?.parse().ok();
    let names = fs::read_dir(journal.join("usage")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(number).max().unwrap()
}

/// Compares what was promised with what Polar has, and says how it stands.
///
/// # Panics
/// When something is missing or doubled, or when fewer than `acked_min` events were acknowledged.
pub(crate) fn report(harm: &str, acked_min: usize, promises: &Promises, polar: &FakePolar) {
    let acked = promises.acked.lock().unwrap();
    let Reckoning { missing, doubled, at_polar } = Reckoning::of(&acked, &polar.simulator);
    println!(
        "{harm}: {} acknowledged, {} missing, {} doubled; {} sent without ack; {} at Polar, {} sent again and recognised",
        acked.len(),
        missing.len(),
        doubled.len(),
        promises.unacked_sent.load(std::sync::atomic::Ordering::Relaxed),
        at_polar.len(),
        polar.simulator.state().events_duplicate,
    );
    assert!(acked.len() > acked_min, "too little load to prove anything: {} acks", acked.len());
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    let refused = promises.refused.lock().unwrap();
    assert!(refused.is_empty(), "a kill is no reason to refuse: {refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_polar_never_took_is_delivered_by_the_next_life() {
    let mut polar = FakePolar::start().await;
    polar.go_away().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let body = r#"{"events":[{"name":"api_usage","external_customer_id":"user_1","external_id":"only","metadata":{"units":3}}]}"#;
    assert_eq!(sledge.ingest(body).await, (200, r#"{"inserted":1,"duplicates":0}"#.to_owned()));
    sledge.kill_nine().await;
    polar.come_back();
    let sledge = home.start(&polar.url()).await;
    polar.has_events(1, PATIENCE).await;
    let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    assert_eq!(scrape.get("sledge_pending_at_start"), Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_says_what_it_leaves_and_the_next_start_finds_it() {
    let mut polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let body = |id: &str| {
        format!(
            r#"{{"events":[{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}"}}]}}"#
        )
    };
    assert_eq!(sledge.ingest(&body("first")).await.0, 200);
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    polar.go_away().await;
    assert_eq!(sledge.ingest(&body("second")).await.0, 200);
    let (status, said, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    assert!(said.contains("delivered 1, left 1 in the journal"), "{said:?}");
    polar.come_back();
    let sledge = home.start(&polar.url()).await;
    polar.has_events(2, PATIENCE).await;
    sledge.stop().await;
}
