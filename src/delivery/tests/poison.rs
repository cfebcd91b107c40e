//! Events that Polar never takes, among many that it does.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::fake_polar::{FakePolar, Turn, World};
use super::house::{House, NOON, after};
use crate::event::Lane;
use crate::journal::DeadReason;
use crate::polar::Reply;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// How Polar refuses a bad event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Schema,
    UnknownCustomer,
    Silent500,
}

fn living(kind: Kind, bad: HashSet<String>) -> FakePolar {
    let mut world = World { latency: Duration::from_millis(50), ..World::default() };
    match kind {
        Kind::Schema => world.malformed = bad,
        Kind::UnknownCustomer => world.unknown_customer = bad,
        Kind::Silent500 => world.poison = bad,
    }
    FakePolar::living(world)
}

/// So many of the first thousand events, anywhere among them.
fn any_of_a_thousand(count: usize) -> HashSet<String> {
    let mut numbers: Vec<usize> = (0..1_000).collect();
    fastrand::Rng::with_seed(count as u64).shuffle(&mut numbers);
    numbers[..count].iter().map(|number| format!("u{number}")).collect()
}

/// What `docs/delivery.md` promises of the requests that carry any of `events` events with `poisons` silent poisons:
/// three for the whole, three for each cut on the way to each of them, and ten with each alone.
fn requests_at_most(poisons: usize, events: usize) -> usize {
    if poisons == 0 {
        return 1;
    }
    let cuts = poisons * (usize::try_from((events / poisons).ilog2()).unwrap() + 2);
    3 + 3 * cuts.min(events - 1) + 10 * poisons
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_events_exactly_the_bad_ones_are_given_up_in_bounded_work() {
    for kind in [Kind::Schema, Kind::UnknownCustomer, Kind::Silent500] {
        for count in [0, 1, 2, 10, 500, 999] {
            let bad = any_of_a_thousand(count);
            let mut house = House::with(living(kind, bad.clone()));
            house.settings.requests_per_minute = Some(500);
            house.journal.append_many(Lane::Usage, NOON, 1_000, 100);
            let mut slowest = Duration::ZERO;
            house
                .run(async {
                    // A service goes on while the bad ones are found.
                    while house.journal.with(|books| books.pending) > 0 {
                        let appended = Instant::now();
                        house.journal.append_many(Lane::Grants, NOON, 1, 1);
                        let grant = format!("g{}", house.journal.with(|books| books.next_seq.grants) - 1);
                        after(SECOND).await;
                        while !house.polar.with(|world| world.inserted.contains(&grant)) {
                            after(Duration::from_millis(100)).await;
                        }
                        slowest = slowest.max(appended.elapsed());
                    }
                    MINUTE
                })
                .await;
            let dead = house.journal.with(|books| books.dead.clone());
            let named: HashSet<String> =
                dead.iter().map(|letter| format!("u{}", letter.seq.unwrap())).collect();
            assert_eq!((dead.len(), &named), (count, &bad), "{kind:?}");
            assert!((0..1_000).all(|number| {
                let name = format!("u{number}");
                bad.contains(&name) != house.polar.with(|world| world.inserted.contains(&name))
            }));
            let ours = |names: &[String]| names.iter().any(|name| name.starts_with('u'));
            let requests = house.polar.seen().iter().filter(|seen| ours(&seen.names)).count();
            match kind {
                Kind::Schema | Kind::UnknownCustomer => {
                    assert!(requests <= 2, "{kind:?} {count}: {requests}")
                }
                Kind::Silent500 => {
                    let most = requests_at_most(count, 1_000);
                    assert!(requests <= most, "{count} poisons took {requests} requests, not {most}");
                    assert!(
                        dead.iter().all(|letter| letter.reason == DeadReason::Poison && letter.attempts >= 5)
                    );
                }
            }
            assert!(slowest < 30 * SECOND, "{kind:?} {count}: others waited {slowest:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_nothing_but_poison_none_is_given_up_before_good_events_pass_and_the_status_says_so() {
    let house = House::with(living(Kind::Silent500, any_of_a_thousand(1_000)));
    house.journal.append_many(Lane::Usage, NOON, 1_000, 100);
    house
        .run(async {
            after(6 * 60 * MINUTE).await;
            assert_eq!(house.journal.with(|books| (books.pending, books.dead.len())), (1_000, 0));
            let trouble = house.trouble().unwrap();
            assert!(trouble.contains("it answered 500"), "{trouble}");
            assert!(trouble.contains("none is given up before Polar takes others"), "{trouble}");
            let requests = house.polar.seen().len();
            assert!(requests < 6 * 60 * 6, "{requests} requests in six hours");
            house.settled_beside_a_trickle(SECOND).await;
            MINUTE
        })
        .await;
    assert_eq!(house.journal.with(|books| books.dead.len()), 1_000);
    assert_eq!(house.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn half_of_all_requests_failing_for_ten_minutes_costs_no_event() {
    let polars_own = Reply::ServerError { status: 500, retry_after: None };
    let of_a_gateway = [Reply::NotFound, Reply::Redirect { status: 302 }, Reply::Unproven { status: 200 }];
    let replies = std::iter::repeat_n(polars_own, 12).chain(of_a_gateway.into_iter().cycle().take(12));
    for (seed, reply) in (0..).zip(replies) {
        let down = (Instant::now() + 10 * MINUTE, 0.5, fastrand::Rng::with_seed(seed), reply);
        let mut house = House::with(FakePolar::living(World {
            partly_down: Some(down),
            latency: Duration::from_millis(200),
            ..World::default()
        }));
        house.settings.requests_per_minute = Some(500);
        house.journal.append_many(Lane::Usage, NOON, 5_000, 500);
        house
            .run_seeded(seed, async {
                for _ in 0..600 {
                    house.journal.append_many(Lane::Usage, NOON, 20, 5);
                    after(SECOND).await;
                }
                house.journal.pending_at_most(0).await;
                MINUTE
            })
            .await
            .unwrap();
        let dead = house.journal.with(|books| books.dead.len());
        assert_eq!((dead, house.inserted().len()), (0, 17_000), "seed {seed}");
        assert!(house.begun.elapsed() < 12 * MINUTE, "seed {seed}: {:?}", house.begun.elapsed());
        assert!(house.polar.seen().len() < 4_000, "seed {seed}: {} requests", house.polar.seen().len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_polar_that_begins_to_fail_most_requests_after_a_calm_time_costs_no_event() {
    // Who remembers only many deliveries back gives an innocent event up at the first pace with the seed 17. Who judges one
    // that met the worst of it by the fairer weather after it, or takes none for too few, does so at the last.
    let (slow, busy) = ((7, 3, 10 * SECOND, SECOND), (13, 1, SECOND, SECOND / 5));
    for (share, (events, block, pace, latency), seeds) in
        [(0.8, slow, 12..20), (0.8, busy, 12..20), (0.9, busy, 0..8)]
    {
        for seed in seeds {
            let mut house = House::with(FakePolar::living(World { latency, ..World::default() }));
            house.settings.requests_per_minute = Some(500);
            house
                .run_seeded(seed, async {
                    while house.begun.elapsed() < 20 * MINUTE {
                        let is_down = house.polar.with(|world| world.partly_down.is_some());
                        if house.begun.elapsed() >= 5 * MINUTE && !is_down {
                            let reply = Reply::ServerError { status: 500, retry_after: None };
                            let until = Instant::now() + 15 * MINUTE;
                            let down = (until, share, fastrand::Rng::with_seed(seed), reply);
                            house.polar.with(|world| world.partly_down = Some(down));
                        }
                        house.journal.append_many(Lane::Usage, NOON, events, block);
                        after(pace).await;
                    }
                    house.journal.pending_at_most(0).await;
                    MINUTE
                })
                .await
                .unwrap();
            let all = house.journal.with(|books| books.next_seq.usage);
            assert_eq!(house.journal.with(|books| books.dead.len()), 0, "seed {seed}");
            assert_eq!(house.inserted().len() as u64, all, "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_batch_that_passes_is_learned_and_grows_back_slowly() {
    let mut house = House::with(FakePolar::living(World {
        // Five meters match each event: 4,681 matches are too many.
        matches_max: Some(936),
        latency: Duration::from_millis(100),
        ..World::default()
    }));
    house.settings.requests_per_minute = Some(500);
    house.journal.append_many(Lane::Usage, NOON, 100_000, 500);
    house
        .run(async {
            house.journal.pending_at_most(0).await;
            let seen = house.polar.seen();
            let failed = seen.iter().filter(|seen| seen.names.len() > 936).count();
            assert!(failed < 60, "{failed} of {} requests were too large", seen.len());
            assert!(house.begun.elapsed() < 3 * MINUTE, "{:?}", house.begun.elapsed());
            // A busy service for two hours.
            for _ in 0..720 {
                house.journal.append_many(Lane::Usage, NOON, 2_000, 500);
                after(10 * SECOND).await;
            }
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    let seen = house.polar.seen();
    let later: Vec<usize> =
        seen.iter().filter(|seen| seen.at > house.begun + 10 * MINUTE).map(|seen| seen.names.len()).collect();
    let failed = later.iter().filter(|events| **events > 936).count();
    assert!(failed * 50 < later.len(), "{failed} of {} later requests were too large", later.len());
    assert!(later.iter().any(|events| (700..=936).contains(events)), "the limit grew back");
    assert_eq!(house.journal.with(|books| books.dead.len()), 0);
    assert_eq!(house.inserted().len(), 100_000 + 720 * 2_000);
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_looks_like_poison_leaves_no_limit_to_the_size_of_batches_behind() {
    for reply in [Reply::ServerError { status: 500, retry_after: None }, Reply::TooLarge] {
        let until = Some((Instant::now() + 180 * MINUTE, Turn::Say(reply.clone())));
        let house = House::with(FakePolar::living(World { until, ..World::default() }));
        house.journal.append_many(Lane::Usage, NOON, 1_000, 100);
        house
            .run(async {
                house.journal.pending_at_most(0).await;
                let (before, outage) = (house.polar.seen().len(), house.begun.elapsed());
                assert!(before < 4_000, "{reply:?}: {before} requests in {outage:?}");
                house.journal.append_many(Lane::Usage, NOON, 50_000, 500);
                house.journal.pending_at_most(0).await;
                let requests = house.polar.seen().len() - before;
                assert!(
                    requests <= 80,
                    "{reply:?}: {requests} requests for 50 batches, the first of them smaller"
                );
                MINUTE
            })
            .await;
        assert_eq!(house.inserted().len(), 51_000);
    }
}
