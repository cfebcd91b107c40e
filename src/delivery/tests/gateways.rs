//! What stands before Polar answers in its place: to everything, or only to what one event says.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::fake_polar::{FakePolar, Turn, World};
use super::house::{House, NOON, after};
use crate::event::Lane;
use crate::journal::DeadReason;
use crate::polar::Reply;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// What a gateway may say, and the reason that delivery is held for when it says so to everything.
fn words() -> [(Reply, Option<&'static str>); 6] {
    [
        (Reply::NotFound, Some("not_found")),
        (Reply::Redirect { status: 302 }, Some("redirected")),
        (Reply::Unproven { status: 200 }, Some("answer_mismatch")),
        (Reply::Unauthorized { in_polars_words: false }, Some("unauthorized")),
        (Reply::Refused { status: 403 }, None),
        (Reply::LengthRequired, None),
    ]
}

fn before_polar(walled: &[&str], reply: &Reply) -> House {
    let walled: HashMap<String, Reply> =
        walled.iter().map(|name| ((*name).to_owned(), reply.clone())).collect();
    House::with(FakePolar::living(World { walled, latency: Duration::from_millis(100), ..World::default() }))
}

impl House {
    /// Appends an event, and says how long it took to Polar.
    async fn time_of_one_more(&self) -> Duration {
        let appended = Instant::now();
        self.journal.append_many(Lane::Usage, NOON, 1, 1);
        let name = format!("u{}", self.journal.with(|books| books.next_seq.usage) - 1);
        while !self.polar.with(|world| world.inserted.contains(&name)) {
            after(Duration::from_millis(10)).await;
        }
        appended.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn one_event_that_a_gateway_answers_in_polars_place_holds_up_no_others() {
    for (reply, reason) in words() {
        let house = before_polar(&["u1234"], &reply);
        house.journal.append_many(Lane::Usage, NOON, 4_000, 300);
        let mut slowest = Duration::ZERO;
        house
            .run(async {
                while house.journal.with(|books| books.dead.is_empty()) {
                    after(SECOND).await;
                    slowest = slowest.max(house.time_of_one_more().await);
                    assert!(reason.is_none_or(|reason| !house.is_held(reason)), "{reply:?}");
                    assert!(house.begun.elapsed() < HOUR, "{reply:?}: it is never given up");
                }
                house.journal.pending_at_most(0).await;
                MINUTE
            })
            .await;
        assert!(slowest < 2 * SECOND, "{reply:?}: others waited {slowest:?}");
        let dead = house.journal.with(|books| books.dead.clone());
        assert_eq!((dead.len(), dead[0].reason, dead[0].seq), (1, DeadReason::Poison, Some(1_234)));
        assert_eq!(dead[0].code, reply.status().unwrap().to_string());
        let all = house.journal.with(|books| books.next_seq.usage);
        assert_eq!(house.inserted().len() as u64, all - 1);
        let with_it =
            house.polar.seen().iter().filter(|seen| seen.names.iter().any(|n| n == "u1234")).count();
        assert!(with_it <= 60, "{reply:?}: {with_it} requests for one event in a thousand");
    }
}

#[tokio::test(start_paused = true)]
async fn one_event_that_a_gateway_answers_holds_up_no_others_of_a_quiet_service() {
    let polars_500 = (Reply::ServerError { status: 500, retry_after: None }, None);
    for (reply, reason) in words().into_iter().chain([polars_500]) {
        let house = before_polar(&["u0"], &reply);
        house.journal.append_many(Lane::Usage, NOON, 1, 1);
        let mut slowest = Duration::ZERO;
        house
            .run(async {
                after(10 * MINUTE).await;
                assert!(reason.is_none_or(|reason| house.is_held(reason)), "{reply:?} is all there is");
                assert!(house.trouble().is_some(), "{reply:?}");
                while house.journal.with(|books| books.dead.is_empty()) {
                    slowest = slowest.max(house.time_of_one_more().await);
                    assert!(house.begun.elapsed() < 12 * HOUR, "{reply:?}: it is never given up");
                    after(5 * MINUTE).await;
                }
                MINUTE
            })
            .await;
        assert!(slowest < 2 * SECOND, "{reply:?}: others waited {slowest:?}");
        assert!(house.inserted().len() >= 4, "{reply:?}: {} deliveries were proof", house.inserted().len());
        let per_hour =
            house.polar.seen().len() as u128 * HOUR.as_millis() / house.begun.elapsed().as_millis();
        assert!(per_hour < 600, "{reply:?}: {per_hour} requests an hour");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_event_alone_that_is_too_large_for_somebody_is_not_sent_again_and_again_without_a_wait() {
    let name = "u".repeat(100 << 10);
    let house = before_polar(&[&name], &Reply::TooLarge);
    house.journal.append(Lane::Usage, NOON, 0, std::slice::from_ref(&name));
    house
        .run(async {
            after(10 * MINUTE).await;
            let requests = house.polar.seen().len();
            assert!(requests < 100, "{requests} requests in ten minutes");
            let trouble = house.trouble().unwrap();
            assert!(trouble.contains("it answered 413"), "{trouble}");
            while house.journal.with(|books| books.dead.is_empty()) {
                let took = house.time_of_one_more().await;
                assert!(took < 2 * SECOND, "others waited {took:?}");
                assert!(house.begun.elapsed() < 12 * HOUR, "it is never given up");
                after(5 * MINUTE).await;
            }
            MINUTE
        })
        .await;
    assert_eq!(house.journal.with(|books| books.dead[0].reason), DeadReason::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_asks_for_a_wait_because_of_one_event_is_not_waited_for_by_others_again_and_again() {
    let busy = Reply::ServerError { status: 503, retry_after: Some(10 * MINUTE) };
    let house = before_polar(&["u0"], &busy);
    house.journal.append_many(Lane::Usage, NOON, 1, 1);
    house
        .run(async {
            after(SECOND).await;
            assert!(house.time_of_one_more().await < 25 * MINUTE, "nobody could know");
            while house.journal.with(|books| books.dead.is_empty()) {
                after(MINUTE).await;
                let took = house.time_of_one_more().await;
                assert!(took < 2 * SECOND, "{took:?}");
                assert!(house.begun.elapsed() < 5 * HOUR, "it is never given up");
            }
            MINUTE
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn one_event_that_is_always_refused_for_its_number_keeps_others_waiting_and_not_for_ever() {
    let limited = Reply::RateLimited { retry_after: Some(MINUTE) };
    let house = before_polar(&["u0"], &limited);
    house.journal.append_many(Lane::Usage, NOON, 1, 1);
    house
        .run(async {
            after(MINUTE).await;
            let mut slowest = Duration::ZERO;
            for _ in 0..20 {
                slowest = slowest.max(house.time_of_one_more().await);
                after(3 * MINUTE).await;
                assert!(house.begun.elapsed() < 5 * HOUR, "{slowest:?}");
            }
            assert!(slowest < 8 * MINUTE, "{slowest:?}");
            assert_eq!(house.journal.with(|books| (books.pending, books.dead.len())), (1, 0));
            house.polar.with(|world| world.walled.clear());
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_polar_always_miscounts_keeps_nothing_back_but_itself() {
    let house = House::with(FakePolar::living(World {
        miscounted: ["u321".to_owned()].into(),
        latency: Duration::from_millis(100),
        ..World::default()
    }));
    house.journal.append_many(Lane::Usage, NOON, 1_000, 100);
    house
        .run(async {
            for _ in 0..60 {
                assert!(house.time_of_one_more().await < 2 * SECOND);
                after(MINUTE).await;
            }
            assert_eq!(house.journal.with(|books| (books.pending, books.dead.len())), (1, 0));
            assert!(house.is_held("answer_mismatch"), "that is told");
            house.polar.with(|world| world.miscounted.clear());
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    assert_eq!(house.inserted().len(), 1_060);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_answers_everything_for_hours_holds_delivery_and_costs_nothing() {
    for (reply, reason) in words() {
        let until = Some((Instant::now() + 3 * HOUR, Turn::Say(reply.clone())));
        let house = House::with(FakePolar::living(World { until, ..World::default() }));
        house.journal.append_many(Lane::Usage, NOON, 1_000, 100);
        house
            .run(async {
                for minutes in 0..175 {
                    after(MINUTE).await;
                    house.journal.append_many(Lane::Usage, NOON, 10, 10);
                    assert!(minutes == 0 || reason.is_none_or(|reason| house.is_held(reason)), "{reply:?}");
                }
                assert_eq!(house.journal.with(|books| (books.pending, books.dead.len())), (2_750, 0));
                let requests = house.polar.seen().len();
                assert!(requests < 900, "{reply:?}: {requests} requests in three hours");
                house.journal.pending_at_most(0).await;
                assert!(house.begun.elapsed() < 3 * HOUR + MINUTE, "{reply:?}: {:?}", house.begun.elapsed());
                let before = house.polar.seen().len();
                house.journal.append_many(Lane::Usage, NOON, 50_000, 500);
                house.journal.pending_at_most(0).await;
                let requests = house.polar.seen().len() - before;
                assert!(requests <= 60, "{reply:?}: {requests} requests for 50 batches: a limit was learned");
                MINUTE
            })
            .await;
        assert_eq!((house.inserted().len(), house.journal.with(|books| books.dead.len())), (52_750, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_comes_and_goes_parks_nothing() {
    for (reply, _) in words() {
        let house = House::with(FakePolar::living(World { latency: SECOND, ..World::default() }));
        house
            .run(async {
                for minute in 0..240 {
                    if minute % 3 == 0 {
                        let away = (Instant::now() + MINUTE, Turn::Say(reply.clone()));
                        house.polar.with(|world| world.until = Some(away));
                    }
                    for _ in 0..6 {
                        house.journal.append_many(Lane::Usage, NOON, 7, 3);
                        after(10 * SECOND).await;
                    }
                }
                house.journal.pending_at_most(0).await;
                MINUTE
            })
            .await;
        assert_eq!((house.inserted().len(), house.journal.with(|books| books.dead.len())), (10_080, 0));
    }
}
