//! Faults that a person has to mend.

use std::time::Duration;

use tokio::time::Instant;

use super::fake_polar::{FakePolar, Turn, World};
use super::house::{House, NOON, after};
use crate::event::Lane;
use crate::polar::Reply;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_refused_token_holds_everything_until_another_one_is_put_in_place() {
    let house = House::with(FakePolar::living(World { refuses_token: true, ..World::default() }));
    house.journal.append_many(Lane::Usage, NOON, 5_000, 500);
    house
        .run(async {
            after(10 * MINUTE).await;
            assert_eq!(house.journal.with(|books| books.pending), 5_000);
            let requests = house.polar.seen().len();
            assert!((18..=22).contains(&requests), "{requests} slow probes in ten minutes");
            assert!(house.is_held("unauthorized"));
            assert!(house.health.is_ready(), "events are still accepted");
            let trouble = house.trouble().unwrap();
            assert!(trouble.contains("not valid for this environment (production)"), "{trouble}");
            assert!(trouble.contains("/etc/sledge/token"), "{trouble}");

            house.polar.with(|world| world.has_new_token = true);
            let replaced = Instant::now();
            house.journal.pending_at_most(0).await;
            assert!(replaced.elapsed() < Duration::from_secs(2), "{:?}", replaced.elapsed());
            MINUTE
        })
        .await;
    assert!(!house.is_held("unauthorized"));
    assert_eq!(house.trouble(), None);
    assert_eq!(house.inserted().len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_replaced_before_polar_refused_the_old_one_is_used_without_a_hold() {
    let house = House::with(FakePolar::living(World {
        refuses_token: true,
        has_new_token: true,
        ..World::default()
    }));
    house.journal.append_many(Lane::Usage, NOON, 10, 10);
    house.run_until_settled().await;
    assert!(house.begun.elapsed() < Duration::from_secs(1), "{:?}", house.begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn three_hours_without_the_scope_lose_nothing_and_end_with_another_token() {
    let house = House::with(FakePolar::living(World {
        refuses_token: true,
        refusal: Some(Reply::Forbidden),
        ..World::default()
    }));
    house
        .run(async {
            for _ in 0..180 {
                house.journal.append_many(Lane::Usage, NOON, 50, 10);
                house.journal.append_many(Lane::Grants, NOON, 1, 1);
                after(MINUTE).await;
            }
            let trouble = house.trouble().unwrap();
            assert!(
                house.is_held("forbidden") && trouble.contains("lacks the scope events:write"),
                "{trouble}"
            );
            assert_eq!(house.journal.with(|books| (books.pending, books.dead.len())), (180 * 51, 0));
            let requests = house.polar.seen().len();
            assert!((300..=420).contains(&requests), "{requests} slow probes in three hours");
            house.polar.with(|world| world.has_new_token = true);
            let replaced = Instant::now();
            house.journal.pending_at_most(0).await;
            assert!(replaced.elapsed() < Duration::from_secs(2), "{:?}", replaced.elapsed());
            MINUTE
        })
        .await;
    assert_eq!((house.inserted().len(), house.trouble()), (180 * 51, None));
    assert_eq!(house.journal.with(|books| (books.inserted, books.duplicates)), (180 * 51, 0));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_replaced_under_load_is_tried_by_one_request_before_the_others() {
    let house = House::with(FakePolar::living(World { latency: Duration::from_secs(1), ..World::default() }));
    house.journal.append_many(Lane::Usage, NOON, 60_000, 500);
    let delivery = house.delivery(1);
    let handle = delivery.handle();
    let story = async {
        after(Duration::from_millis(3_500)).await;
        house.polar.with(|world| world.has_new_token = true);
        handle.probe_now();
        house.journal.pending_at_most(0).await;
        MINUTE
    };
    delivery.run(story).await.unwrap();
    let seen = house.polar.seen();
    let replaced = house.begun + Duration::from_millis(3_500);
    let first = seen.iter().position(|seen| seen.at > replaced).unwrap();
    assert_eq!(seen[first].together, 1, "what was in flight is awaited, then one goes alone");
    assert!(seen[first + 1].at >= seen[first].at + Duration::from_secs(1));
    assert_eq!(house.inserted().len(), 60_000);
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_sent_until_there_is_one() {
    let house = House::with(FakePolar::living(World { lacks_token: true, ..World::default() }));
    house.journal.append_many(Lane::Usage, NOON, 10, 10);
    house
        .run(async {
            after(5 * MINUTE).await;
            assert!(house.polar.seen().is_empty() && house.is_held("no_token"));
            house.polar.with(|world| world.has_new_token = true);
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    assert!(!house.is_held("no_token"));
}

#[tokio::test(start_paused = true)]
async fn every_hold_keeps_everything_and_ends_by_itself() {
    for (reply, reason) in [
        (Reply::Forbidden, "forbidden"),
        (Reply::NotFound, "not_found"),
        (Reply::Redirect { status: 307 }, "redirected"),
        (Reply::Unproven { status: 200 }, "answer_mismatch"),
    ] {
        let until = Some((Instant::now() + 10 * MINUTE, Turn::Say(reply)));
        let house = House::with(FakePolar::living(World { until, ..World::default() }));
        house.journal.append_many(Lane::Usage, NOON, 3_000, 500);
        house
            .run(async {
                after(5 * MINUTE).await;
                assert!(house.is_held(reason), "{reason}");
                assert_eq!(house.journal.with(|books| books.pending), 3_000);
                house.journal.pending_at_most(0).await;
                assert!(house.begun.elapsed() < 11 * MINUTE);
                MINUTE
            })
            .await;
        assert!(!house.is_held(reason), "{reason}");
        assert!(house.journal.with(|books| books.dead.is_empty()));
        assert!(house.polar.seen().len() < 40, "{}", house.polar.seen().len());
    }
}

#[tokio::test(start_paused = true)]
async fn counts_that_do_not_add_up_once_are_asked_again_at_once() {
    let house = House::with(FakePolar::replying([Turn::Miscount]));
    house.journal.append_many(Lane::Usage, NOON, 100, 100);
    house.run_until_settled().await;
    let seen = house.polar.seen();
    assert_eq!((seen.len(), &seen[0].names), (2, &seen[1].names));
    assert!(house.begun.elapsed() < Duration::from_secs(1));
    assert_eq!(house.journal.with(|books| (books.inserted, books.duplicates)), (0, 100));
}

#[tokio::test(start_paused = true)]
async fn counts_that_stay_wrong_hold_their_batch_and_nothing_else() {
    let house = House::with(FakePolar::replying([Turn::Miscount, Turn::Miscount]));
    house.journal.append_many(Lane::Usage, NOON, 100, 100);
    house
        .run(async {
            after(Duration::from_secs(5)).await;
            assert!(house.is_held("answer_mismatch"));
            assert_eq!(house.journal.with(|books| books.pending), 100, "nothing is settled unproven");
            house.journal.append_many(Lane::Usage, NOON, 50, 50);
            house.journal.pending_at_most(100).await;
            assert!(house.begun.elapsed() < Duration::from_secs(6));
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    assert!(!house.is_held("answer_mismatch"));
    let last = house.polar.seen().pop().unwrap();
    assert!(last.at - house.begun >= Duration::from_secs(30) && last.names.len() == 100);
}

#[tokio::test(start_paused = true)]
async fn a_person_who_asks_need_not_wait_for_the_next_probe() {
    let house = House::with(FakePolar::replying(vec![Turn::Say(Reply::NotFound); 4]));
    house.journal.append_many(Lane::Usage, NOON, 1, 1);
    let delivery = house.delivery(1);
    let handle = delivery.handle();
    let story = async {
        while !house.is_held("not_found") {
            after(Duration::from_millis(10)).await;
        }
        let asked = Instant::now();
        handle.probe_now();
        house.journal.pending_at_most(0).await;
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        MINUTE
    };
    delivery.run(story).await.unwrap();
}
