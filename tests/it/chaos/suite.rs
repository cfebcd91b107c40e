//! The campaign, and what proves that its checks see what they look for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sledge::polar::Reply;
use sledge::simulator::{AlsoRefuse, Change, RefusedAs, RefusedField};

use super::deaf::Deaf;
use super::deck::Row;
use super::front::{Front, Lie};
use super::life::{Stage, Way};
use super::other_doors::{OtherDoors, no_address};
use crate::certificates::Authority;
use crate::connect_proxy::{ConnectProxy, Manner};
use crate::fake_polar::FakePolar;
use crate::reckoning::Reckoning;
use crate::senders::Senders;
use crate::sledge_process::Home;
use crate::tool;

/// How long each application rests between its sends: together they send a little less than is delivered.
const PACE: Duration = Duration::from_millis(120);
/// Batches of one life.
const BATCHES_OF_A_LIFE: u64 = 200;
/// The ways of lives, over and over.
const WAYS: [Way; 10] = [
    Way::Clear,
    Way::Tls,
    Way::NoAddress,
    Way::Proxied,
    Way::Clear,
    Way::Tls,
    Way::NoRoute,
    Way::Proxied,
    Way::Tls,
    Way::Clear,
];

/// Says how a failed run is run again.
struct Seed {
    seed: u64,
    batches: u64,
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, batches } = self;
            println!(
                "to run it again: SLEDGE_CHAOS_SEED={seed} SLEDGE_CHAOS_BATCHES={batches} cargo test --test it -- --nocapture chaos"
            );
        }
    }
}

/// sledge, a Polar that misbehaves, and all that stands between and around them.
async fn stage(seed: u64) -> Stage {
    let mut rng = fastrand::Rng::with_seed(seed);
    let polar = FakePolar::start().await;
    let refuse = |name: &str, refused_as| AlsoRefuse {
        field: RefusedField::Name,
        containing: name.to_owned(),
        refused_as,
    };
    polar.simulator.change(Change {
        also_refuse: Some(vec![
            refuse("retired_event", RefusedAs::Schema),
            refuse("crashing_event", RefusedAs::ServerError),
        ]),
        ..Change::default()
    });
    let authority = Authority::new("a private authority");
    let home = Home::new();
    authority.write_to(&home.path().join("ca.pem"));
    let front = Front::start(polar.address(), &authority, &mut rng).await;
    let mut stage = Stage {
        polar,
        front,
        proxy: ConnectProxy::start(Manner::Connect).await,
        home,
        promises: Arc::default(),
        loopback: no_address(),
        rng,
        outcomes: BTreeSet::new(),
        poisons: BTreeMap::new(),
        logs: String::new(),
        tokens: 0,
        events: 0,
    };
    let token = stage.change_token_at_polar();
    stage.write_token(&token);
    stage
}

/// A storm of so many batches and of every row, and then fair weather until nothing is owed. Returns how many batches
/// there were.
async fn storm(stage: &mut Stage, batches: u64, ways: impl Iterator<Item = Way>) -> u64 {
    let (deaf, begun) = (Deaf::new().await, Instant::now());
    let mut senders = Senders::to(&stage.home.socket(), PACE);
    senders.acked_lines(1).acked_lines(8).unacked_lines().http();
    stage.promises = Arc::clone(&senders.promises);
    let doors = OtherDoors::start(&stage.promises, stage.datagrams(), Arc::clone(&stage.loopback), PACE);
    for way in ways {
        stage.live(way, batches.min(BATCHES_OF_A_LIFE), &deaf).await;
        println!("{way:?}: {} of {batches} batches, {:?}", stage.front.shared.batches(), begun.elapsed());
        let is_long_enough = stage.front.shared.batches() >= batches;
        let is_complete = stage.front.shared.tally.missing().is_empty();
        if is_long_enough && (is_complete || stage.front.shared.batches() >= 3 * batches) {
            break;
        }
    }
    let stormy = stage.front.shared.batches();
    stage.front.clear_up();
    let sledge = stage.start(Way::Clear, &deaf).await;
    doors.stop().await;
    senders.stop().await;
    // An event that looks like a poison is given up only while others pass, so some must go on passing.
    for pulse in 0.. {
        let id = format!("pulse-{pulse}");
        let event = format!(
            r#"{{"events":[{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}","metadata":{{"what":"{id}"}}}}]}}"#
        );
        assert_eq!(sledge.ingest(&event).await.0, 200);
        stage.promises.acked.lock().unwrap().push(id);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let scrape = stage.scrape(&sledge).await;
        if scrape.sum("sledge_pending_events") == 0.0 {
            break;
        }
        assert!(pulse < 3_000, "something is owed for ever: {scrape:#?}");
    }
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    stage.logs.push_str(&log);
    stormy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_loses_nothing_and_counts_nothing_twice() {
    let batches = tool::number_from("SLEDGE_CHAOS_BATCHES", 2_000) as u64;
    let seed = tool::number_from("SLEDGE_CHAOS_SEED", fastrand::usize(..)) as u64;
    let _seed = Seed { seed, batches };
    let mut stage = stage(seed).await;
    let stormy = storm(&mut stage, batches, WAYS.into_iter().cycle()).await;

    let acked = stage.promises.acked.lock().unwrap().clone();
    let reckoning = Reckoning::of(&acked, &stage.polar.simulator);
    let letters = stage.home.dead_letters().await;
    let parked: BTreeSet<String> = letters.iter().map(|letter| id_of(&letter.event)).collect();
    let lost: Vec<_> = reckoning.missing.iter().filter(|id| !parked.contains(*id)).collect();
    println!(
        "seed {seed}: {stormy} batches in the storm; {} events acknowledged, {} lost, {} doubled, {} parked; {} sent again and recognised",
        acked.len(),
        lost.len(),
        reckoning.doubled.len(),
        parked.len(),
        stage.polar.simulator.state().events_duplicate,
    );
    print!("{}", stage.front.shared.tally.table());
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(reckoning.doubled.is_empty(), "counted twice: {:?}", reckoning.doubled);
    let refused = stage.promises.refused.lock().unwrap();
    assert!(refused.is_empty(), "nothing of it is a reason to refuse: {refused:?}");

    let innocent: Vec<_> =
        letters.iter().filter(|letter| !stage.poisons.contains_key(&id_of(&letter.event))).collect();
    assert!(innocent.is_empty(), "parked, though Polar would have taken them: {innocent:#?}");
    assert_eq!(parked.len(), stage.poisons.len(), "what Polar never takes is parked");
    assert!(stage.poisons.keys().all(|id| !reckoning.at_polar.contains(id)));

    let missing: Vec<Row> = stage.front.shared.tally.missing();
    assert!(missing.is_empty(), "rows that never came: {missing:?}");
    assert_eq!(stage.outcomes, BTreeSet::from(Reply::LABELS), "every outcome was met and told of");
    assert_eq!(stage.front.surprises(), [""; 0], "answers that the simulator had no reason for");
    assert!(stage.front.nobody_went_elsewhere(), "a redirect was followed");
    assert!(!stage.logs.contains("polar_oat_"), "a token is in the log");
    let overheard = String::from_utf8_lossy(&stage.proxy.heard()).into_owned();
    assert!(overheard.contains("CONNECT ") && !overheard.contains("polar_oat_"), "a token passed the proxy");
}

fn id_of(event: &str) -> String {
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    event["external_id"].as_str().unwrap().to_owned()
}

/// Fair weather, but for one lie.
async fn reckoning_after(lie: Lie) -> Reckoning {
    let mut stage = stage(0).await;
    stage.front.clear_up();
    stage.front.tell(lie);
    storm(&mut stage, 20, [Way::Clear].into_iter()).await;
    let acked = stage.promises.acked.lock().unwrap().clone();
    Reckoning::of(&acked, &stage.polar.simulator)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checks_of_chaos_see_an_event_that_polar_lost() {
    let reckoning = reckoning_after(Lie::Forgets).await;
    assert!(!reckoning.missing.is_empty() && reckoning.doubled.is_empty(), "{reckoning:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checks_of_chaos_see_an_event_that_counts_twice() {
    let reckoning = reckoning_after(Lie::CountsTwice).await;
    assert!(reckoning.missing.is_empty() && !reckoning.doubled.is_empty(), "{reckoning:?}");
}
