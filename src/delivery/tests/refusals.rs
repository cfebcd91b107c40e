//! Polar refuses some of the events.

use std::collections::HashSet;
use std::time::Duration;

use super::fake_polar::{FakePolar, Turn, World};
use super::house::{House, NOON, after};
use crate::event::Lane;
use crate::journal::DeadReason;

const MINUTE: Duration = Duration::from_secs(60);

fn names(numbers: impl IntoIterator<Item = usize>) -> HashSet<String> {
    numbers.into_iter().map(|number| format!("u{number}")).collect()
}

#[tokio::test(start_paused = true)]
async fn bad_events_of_both_layers_in_a_batch_of_1_000_take_three_requests() {
    let house = House::with(FakePolar::living(World {
        malformed: names([0, 17, 999]),
        unknown_customer: names([1, 500]),
        ..World::default()
    }));
    house.journal.append_many(Lane::Usage, NOON, 1_000, 130);
    house.run_until_settled().await;
    assert_eq!(house.polar.seen().len(), 3);
    assert_eq!(house.inserted().len(), 995);
    let mut dead: Vec<_> = house.journal.with(|books| books.dead.clone());
    dead.sort_by_key(|letter| letter.seq);
    let told: Vec<_> = dead
        .iter()
        .map(|letter| (letter.seq.unwrap(), letter.field.as_deref().unwrap(), letter.message.as_str()))
        .collect();
    let (long, unknown) = ("String should have at most 128 characters", "Customer not found.");
    let expected = [
        (0, "name", long),
        (1, "customer_id", unknown),
        (17, "name", long),
        (500, "customer_id", unknown),
        (999, "name", long),
    ];
    assert_eq!(told, expected);
    assert!(dead.iter().all(|letter| letter.reason == DeadReason::RefusedByPolar));
    assert_eq!(dead[0].code, "string_too_long");
    assert_eq!(dead.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [1, 2, 1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_nothing_but_bad_events_takes_one_request() {
    let house = House::with(FakePolar::living(World { malformed: names(0..50), ..World::default() }));
    house.journal.append_many(Lane::Usage, NOON, 50, 50);
    house.run_until_settled().await;
    assert_eq!(house.polar.seen().len(), 1);
    let settled = house.journal.with(|books| books.settled.clone());
    assert_eq!((settled[0].attempts.noted[0].status, settled[0].dead_positions.len()), (422, 50));
}

#[tokio::test(start_paused = true)]
async fn a_422_that_names_nobody_is_narrowed_down() {
    let house = House::with(FakePolar::living(World { unnamed: names([321]), ..World::default() }));
    house.journal.append_many(Lane::Usage, NOON, 1_000, 1_000);
    house
        .run(async {
            house.journal.pending_at_most(1).await;
            house.settled_beside_a_trickle(MINUTE).await;
            MINUTE
        })
        .await;
    let dead = house.journal.with(|books| books.dead.clone());
    assert_eq!((dead.len(), dead[0].seq, dead[0].reason), (1, Some(321), DeadReason::RefusedByPolar));
    assert!(house.inserted().len() > 1_000);
    assert!(house.polar.seen().len() < 70, "{}", house.polar.seen().len());
}

#[tokio::test(start_paused = true)]
async fn a_422_without_a_name_to_every_request_gives_nothing_up_and_is_not_asked_in_haste() {
    let house = House::with(FakePolar::living(World { unnamed: names(0..1_000), ..World::default() }));
    house.journal.append_many(Lane::Usage, NOON, 1_000, 1_000);
    house
        .run(async {
            after(60 * MINUTE).await;
            assert_eq!(house.journal.with(|books| books.pending), 1_000);
            assert!(house.polar.seen().len() < 600, "{} requests in an hour", house.polar.seen().len());
            house.polar.with(|world| world.unnamed.clear());
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    assert_eq!(house.inserted().len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_halved_and_an_event_too_large_alone_is_given_up() {
    let house = House::with(FakePolar::living(World { events_max: Some(100), ..World::default() }));
    house.journal.append_many(Lane::Usage, NOON, 1_000, 1_000);
    house.run_until_settled().await;
    assert_eq!(house.inserted().len(), 1_000);

    let house = House::with(FakePolar::living(World { events_max: Some(0), ..World::default() }));
    house.journal.append_many(Lane::Usage, NOON, 1, 1);
    house
        .run(async {
            after(60 * MINUTE).await;
            assert_eq!(house.journal.with(|books| books.pending), 1, "Polar may refuse everything");
            house.polar.with(|world| world.events_max = None);
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    assert_eq!(house.inserted(), ["u0"]);
}

#[tokio::test(start_paused = true)]
async fn a_timestamp_ahead_of_polars_clock_is_sent_again_later_and_never_given_up() {
    let house = House::with(FakePolar::default());
    let (ahead, slow) = (Duration::from_secs(30), 30_000);
    house.polar.with(|world| {
        // Ours is half a minute ahead of Polar's: what is stamped now is past for Polar in half a minute.
        world.date = Some((house.begun, NOON - slow));
        world.early = (0..10).map(|number| (format!("u{number}"), house.begun + ahead)).collect();
        world.malformed = names([3]);
    });
    house.journal.append_many(Lane::Usage, NOON, 100, 100);
    house
        .run(async {
            after(Duration::from_secs(5)).await;
            let pending = house.journal.with(|books| books.pending);
            assert_eq!(pending, 9, "only what is early waits, and what is malformed is refused");
            house.journal.append_many(Lane::Usage, NOON + 5_000, 1, 1);
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    assert_eq!(house.inserted().len(), 100);
    assert_eq!(house.journal.with(|books| books.dead.len()), 1);
    assert!(house.polar.seen().len() <= 6, "{}", house.polar.seen().len());
}

#[tokio::test(start_paused = true)]
async fn a_block_with_a_future_timestamp_waits_while_others_pass_it() {
    let house = House::with(FakePolar::replying([Turn::Work]));
    house.journal.append(Lane::Usage, NOON, NOON + 90_000, &["later".to_owned()]);
    house.journal.append_many(Lane::Usage, NOON, 10, 10);
    house
        .run(async {
            house.journal.pending_at_most(1).await;
            assert!(house.begun.elapsed() < Duration::from_secs(1));
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    let last = house.polar.seen().pop().unwrap();
    assert_eq!(last.names, ["later"]);
    let waited = last.at - house.begun;
    assert!(waited >= Duration::from_secs(90) && waited < Duration::from_secs(92), "{waited:?}");
}
