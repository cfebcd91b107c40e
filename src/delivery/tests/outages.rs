//! Polar does not answer, or not as it should.

use std::time::Duration;

use tokio::time::Instant;

use super::fake_polar::{FakePolar, Turn, World};
use super::house::{House, NOON, after};
use crate::delivery::RetryPolicy;
use crate::event::Lane;
use crate::journal::DeadReason;
use crate::polar::{Reply, Unreachable};

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

fn error(status: u16) -> Reply {
    Reply::ServerError { status, retry_after: None }
}

fn down_for(length: Duration, reply: Reply) -> FakePolar {
    let until = Some((Instant::now() + length, Turn::Say(reply)));
    FakePolar::living(World { until, latency: Duration::from_millis(200), ..World::default() })
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_of_an_hour_everything_arrives_once_in_effect() {
    for reply in
        [Reply::Unreachable(Unreachable::Refused), error(503), Reply::Unreachable(Unreachable::Timeout)]
    {
        let house = House::with(down_for(HOUR, reply.clone()));
        house.journal.append_many(Lane::Usage, NOON, 20_000, 300);
        house
            .run(async {
                after(HOUR / 2).await;
                house.journal.append_many(Lane::Grants, NOON, 10, 1);
                house.journal.append_many(Lane::Usage, NOON, 5_000, 70);
                house.journal.pending_at_most(0).await;
                MINUTE
            })
            .await;
        assert_eq!(house.inserted().len(), 25_010);
        assert_eq!(house.journal.with(|books| (books.inserted, books.duplicates)), (25_010, 0));
        assert!(house.journal.with(|books| books.dead.is_empty()), "nothing is given up for an outage");

        let seen = house.polar.seen();
        let in_outage: Vec<_> = seen.iter().filter(|seen| seen.at < house.begun + HOUR).collect();
        let policy = RetryPolicy {
            interval: house.settings.retry_interval,
            interval_max: house.settings.retry_interval_max,
        };
        for (failures, pair) in in_outage.windows(2).enumerate() {
            let longest = policy.interval_after(u32::try_from(failures).unwrap() + 1);
            let gap = pair[1].at - pair[0].at;
            assert!(gap <= longest + Duration::from_millis(250), "{gap:?} after {failures} failures");
        }
        assert!(in_outage.iter().all(|seen| seen.together == 1), "one request is the probe");
        assert!((150..450).contains(&in_outage.len()), "{} requests in an hour", in_outage.len());
        let afterwards = seen.len() - in_outage.len();
        assert!(afterwards <= 50, "{afterwards} requests for 25 batches after {reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_delivered_with_several_requests_in_flight_and_bounded_memory() {
    let mut house =
        House::with(FakePolar::living(World { latency: Duration::from_millis(500), ..World::default() }));
    house.settings.unsettled_bytes_max = 100_000;
    house.journal.append_many(Lane::Usage, NOON, 50_000, 250);
    house.run_until_settled().await;
    let seen = house.polar.seen();
    let most = seen.iter().map(|seen| seen.together).max();
    assert!(most > Some(3) && most <= Some(8), "{most:?} requests in flight");
    assert!(seen.iter().all(|seen| seen.names.len() <= 1_000 && seen.bytes <= 4 << 20));
    let bytes = house.journal.with(|books| books.out_bytes_most);
    assert!(bytes <= 105_000, "{bytes} bytes were read and not settled");
}

#[tokio::test(start_paused = true)]
async fn a_429_is_waited_out_and_one_request_finds_out_first() {
    let minute = Reply::RateLimited { retry_after: Some(MINUTE) };
    let house = House::with(FakePolar::replying([Turn::Work, Turn::Say(minute)]));
    house.journal.append_many(Lane::Usage, NOON, 5_000, 500);
    house.run_until_settled().await;
    let seen = house.polar.seen();
    let refused = 1;
    let before: Vec<_> = seen.iter().filter(|seen| seen.at < house.begun + MINUTE).collect();
    let next = seen.iter().find(|seen| seen.at >= house.begun + MINUTE).unwrap();
    assert!(next.at < house.begun + MINUTE * 5 / 4, "{:?}", next.at - house.begun);
    assert_eq!(next.names, before[refused].names, "what was refused goes first, in the same order");
    assert_eq!(next.together, 1);
    assert_eq!(house.inserted().len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_cut_connection_is_repeated_with_the_same_ids_and_doubles_nothing() {
    let cut = Turn::WorkUnheard(Unreachable::Reset);
    let house = House::with(FakePolar::replying([cut.clone(), cut.clone(), cut]));
    house.journal.append_many(Lane::Usage, NOON, 1_000, 1_000);
    house.run_until_settled().await;
    assert_eq!(house.inserted().len(), 1_000);
    assert_eq!(house.journal.with(|books| (books.inserted, books.duplicates)), (0, 1_000));
    let seen = house.polar.seen();
    assert!(seen.windows(2).all(|pair| pair[0].names == pair[1].names));
    assert_eq!(house.journal.with(|books| books.settled[0].attempts.made), 4);
}

#[tokio::test(start_paused = true)]
async fn a_poison_among_thousands_is_found_and_only_it_is_given_up() {
    let house = House::with(FakePolar::living(World {
        poison: ["u1234".to_owned()].into(),
        latency: Duration::from_millis(100),
        ..World::default()
    }));
    house.journal.append_many(Lane::Usage, NOON, 4_000, 300);
    house
        .run(async {
            for _ in 0..600 {
                after(Duration::from_secs(1)).await;
                house.journal.append_many(Lane::Usage, NOON, 1, 1);
            }
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    let dead = house.journal.with(|books| books.dead.clone());
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].reason, dead[0].seq, dead[0].code.as_str()),
        (DeadReason::Poison, Some(1_234), "500")
    );
    assert_eq!(dead[0].event, r#"{"name":"u1234"}"#);
    assert_eq!(house.inserted().len(), 4_599);
    let with_poison =
        house.polar.seen().iter().filter(|seen| seen.names.iter().any(|n| n == "u1234")).count();
    assert!(with_poison <= 30, "{with_poison} requests for one poison in a thousand");
}

#[tokio::test(start_paused = true)]
async fn a_poison_in_the_only_batch_there_is_does_not_keep_the_rest_back() {
    for poison in [vec![0], vec![700], vec![10, 900], (0..1_000).step_by(100).collect()] {
        let house = House::with(FakePolar::living(World {
            poison: poison.iter().map(|number| format!("u{number}")).collect(),
            ..World::default()
        }));
        let poisons = poison.len() as u64;
        house.journal.append_many(Lane::Usage, NOON, 1_000, 1_000);
        house
            .run(async {
                house.journal.pending_at_most(poisons).await;
                assert!(house.begun.elapsed() < HOUR, "{poisons} poisons took {:?}", house.begun.elapsed());
                house.journal.append_many(Lane::Usage, NOON, 1, 1);
                after(HOUR).await;
                let dead = house.journal.with(|books| books.dead.len());
                assert!(dead == 0 || poisons > 2, "one delivery is no proof");
                house.settled_beside_a_trickle(MINUTE).await;
                MINUTE
            })
            .await;
        assert_eq!(house.journal.with(|books| books.dead.len()), poison.len());
        assert!(house.inserted().len() > 1_001 - poison.len());
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_alone_that_fails_is_kept_until_another_one_proves_that_polar_works() {
    let house =
        House::with(FakePolar::living(World { poison: ["u0".to_owned()].into(), ..World::default() }));
    house.journal.append_many(Lane::Usage, NOON, 1, 1);
    house
        .run(async {
            after(24 * HOUR).await;
            assert_eq!(house.journal.with(|books| books.pending), 1, "a day of failures alone is no proof");
            house.settled_beside_a_trickle(MINUTE).await;
            MINUTE
        })
        .await;
    assert!(!house.inserted().contains(&"u0".to_owned()) && house.inserted().len() >= 4);
    assert_eq!(house.journal.with(|books| books.dead[0].reason), DeadReason::Poison);
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_never_exceeded_in_any_minute() {
    let mut house = House::with(FakePolar::default());
    house.settings.requests_per_minute = Some(100);
    house.settings.batch_events_max = 10;
    house.journal.append_many(Lane::Usage, NOON, 6_000, 10);
    house.run_until_settled().await;
    let seen = house.polar.seen();
    for (index, first) in seen.iter().enumerate() {
        let in_minute = seen[index..].iter().take_while(|seen| seen.at < first.at + MINUTE).count();
        assert!(in_minute <= 100, "{in_minute} requests in a minute");
    }
    assert_eq!(seen.len(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_lone_event_leaves_at_once_and_a_trickle_is_gathered() {
    let mut house =
        House::with(FakePolar::living(World { latency: Duration::from_millis(80), ..World::default() }));
    house.settings.requests_per_minute = Some(500);
    house
        .run(async {
            after(Duration::from_secs(5)).await;
            let appended = Instant::now();
            house.journal.append_many(Lane::Usage, NOON, 1, 1);
            house.journal.pending_at_most(0).await;
            assert!(appended.elapsed() < Duration::from_millis(90), "{:?}", appended.elapsed());
            for _ in 0..6_000 {
                after(Duration::from_millis(20)).await;
                house.journal.append_many(Lane::Usage, NOON, 1, 1);
            }
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    let requests = house.polar.seen().len();
    assert!(requests < 420, "{requests} requests in two minutes for 50 events a second");
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_grants_go_first_and_then_the_oldest_usage() {
    let mut house = House::with(down_for(HOUR, Reply::Unreachable(Unreachable::Refused)));
    house.settings.requests_in_flight_max = 1;
    house
        .run(async {
            for _ in 0..30 {
                house.journal.append_many(Lane::Usage, NOON, 1_000, 500);
                after(MINUTE).await;
            }
            house.journal.append_many(Lane::Grants, NOON, 5, 1);
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    let afterwards: Vec<_> =
        house.polar.seen().into_iter().filter(|seen| seen.at >= house.begun + HOUR).collect();
    let has_grants = |names: &[String]| names.iter().any(|name| name.starts_with('g'));
    let granted = afterwards.iter().rposition(|seen| has_grants(&seen.names)).unwrap();
    assert!(granted <= 1, "grants were in request {granted} after the outage");
    let first_of = |names: &[String]| -> usize { names[0][1..].parse().unwrap() };
    let usage: Vec<usize> = afterwards[granted + 1..].iter().map(|seen| first_of(&seen.names)).collect();
    assert!(usage.is_sorted() && usage.len() > 20, "{usage:?}");
}

#[tokio::test(start_paused = true)]
async fn grants_overtake_a_backlog() {
    let mut house =
        House::with(FakePolar::living(World { latency: Duration::from_secs(1), ..World::default() }));
    house.settings.requests_in_flight_max = 2;
    house.journal.append_many(Lane::Usage, NOON, 30_000, 400);
    house
        .run(async {
            after(Duration::from_secs(3)).await;
            house.journal.append_many(Lane::Grants, NOON, 3, 1);
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    let granted =
        house.polar.seen().into_iter().find(|seen| seen.names.iter().any(|name| name == "g0")).unwrap();
    assert_eq!(granted.names[..3], ["g0", "g1", "g2"], "grants lead their batch");
    assert!(granted.at <= house.begun + Duration::from_secs(5), "{:?}", granted.at - house.begun);
}
