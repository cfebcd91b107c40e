//! How delivery ends.

use std::time::Duration;

use tokio::time::Instant;

use super::fake_polar::{FakePolar, Turn, World};
use super::house::{House, NOON, after};
use crate::delivery::DrainEnd;
use crate::event::Lane;
use crate::journal::JournalError;
use crate::polar::{Reply, Unreachable};

const MINUTE: Duration = Duration::from_secs(60);

fn slow(latency: Duration) -> House {
    House::with(FakePolar::living(World { latency, ..World::default() }))
}

#[tokio::test(start_paused = true)]
async fn a_drain_delivers_what_is_pending_and_then_ends() {
    let house = slow(Duration::from_secs(1));
    house.journal.append_many(Lane::Usage, NOON, 20_000, 500);
    let drained = house.run(async { MINUTE }).await;
    assert_eq!((drained.end, drained.delivered, drained.left), (DrainEnd::Empty, 20_000, 0));
    assert!(house.begun.elapsed() < Duration::from_secs(10), "{:?}", house.begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_deadline_whatever_is_left() {
    let house = slow(Duration::from_secs(10));
    house.journal.append_many(Lane::Usage, NOON, 50_000, 500);
    let drained = house.run(async { Duration::from_secs(25) }).await;
    assert_eq!((drained.end, house.begun.elapsed().as_secs()), (DrainEnd::Deadline, 25));
    assert_eq!(drained.delivered, house.journal.with(|books| books.inserted));
    assert!(drained.delivered > 0 && drained.left > 0, "{drained:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_polar_that_does_not_take_events() {
    for reply in [Reply::Unreachable(Unreachable::Refused), Reply::Unauthorized { in_polars_words: true }] {
        let until = Some((Instant::now() + 60 * MINUTE, Turn::Say(reply)));
        let house = House::with(FakePolar::living(World { until, ..World::default() }));
        house.journal.append_many(Lane::Usage, NOON, 10, 10);
        let drained = house
            .run(async {
                after(MINUTE).await;
                MINUTE
            })
            .await;
        assert_eq!((drained.end, drained.left), (DrainEnd::PolarUnavailable, 10));
        assert!(house.begun.elapsed() < Duration::from_secs(61), "{:?}", house.begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_give_up_because_of_what_one_batch_meets() {
    let house = House::with(FakePolar::living(World {
        events_max: Some(300),
        latency: Duration::from_millis(100),
        ..World::default()
    }));
    let names: Vec<String> = (0..1_000).map(|number| format!("{number}{}", "x".repeat(300))).collect();
    house.journal.append(Lane::Usage, NOON, 0, &names);
    let drained = house.run(async { MINUTE }).await;
    assert_eq!((drained.end, drained.delivered, drained.left), (DrainEnd::Empty, 1_000, 0));
    assert!(house.begun.elapsed() < Duration::from_secs(2), "{:?}", house.begun.elapsed());

    let house =
        House::with(FakePolar::living(World { poison: ["u0".to_owned()].into(), ..World::default() }));
    house.journal.append_many(Lane::Usage, NOON, 1, 1);
    let drained = house
        .run(async {
            after(MINUTE).await;
            house.journal.append_many(Lane::Usage, NOON, 1, 1);
            MINUTE
        })
        .await;
    assert_eq!((drained.delivered, drained.left), (1, 1));
    assert!(
        house.begun.elapsed() < 2 * MINUTE,
        "what fails alone is not waited for: {:?}",
        house.begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_what_cannot_leave_before_its_deadline() {
    let limited = Reply::RateLimited { retry_after: Some(5 * MINUTE) };
    let house = House::with(FakePolar::replying([Turn::Say(limited)]));
    house.journal.append_many(Lane::Usage, NOON, 10, 10);
    let drained = house
        .run(async {
            after(Duration::from_secs(1)).await;
            MINUTE
        })
        .await;
    assert_eq!(drained.end, DrainEnd::Deadline);
    assert!(house.begun.elapsed() < Duration::from_secs(2));

    let house = House::with(FakePolar::default());
    house.journal.append(Lane::Usage, NOON, NOON + 300_000, &["later".to_owned()]);
    let drained = house.run(async { MINUTE }).await;
    assert_eq!((drained.end, drained.left), (DrainEnd::Deadline, 1));
    assert!(house.begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn an_empty_journal_drains_at_once_and_a_closed_one_ends_delivery() {
    let house = House::with(FakePolar::default());
    assert_eq!(house.run(async { MINUTE }).await.end, DrainEnd::Empty);

    let house = House::with(FakePolar::default());
    let ended = house
        .run_seeded(1, async {
            house.journal.close();
            after(60 * MINUTE).await;
            MINUTE
        })
        .await;
    assert_eq!(ended, Err(JournalError::Closed));
    assert!(house.begun.elapsed() < MINUTE);
}
