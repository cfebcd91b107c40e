//! Other settings, and another token, while delivery runs.

use std::time::Duration;

use super::fake_polar::{FakePolar, World};
use super::house::{House, NOON, after};
use crate::delivery::Settings;
use crate::event::Lane;
use crate::polar::Environment;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn changed_limits_hold_for_what_is_gathered_already_and_nothing_is_lost() {
    let house = House::with(FakePolar::replying([]));
    let delivery = house.delivery(1);
    let handle = delivery.handle();
    let story = async {
        house.journal.append_many(Lane::Usage, NOON, 2_000, 500);
        house.journal.pending_at_most(0).await;
        let small = Settings {
            batch_events_max: 100,
            requests_per_minute: Some(600),
            ..Settings::for_environment(Environment::Custom)
        };
        handle.change_settings(small);
        house.journal.append_many(Lane::Usage, NOON, 2_000, 500);
        house.journal.pending_at_most(0).await;
        MINUTE
    };
    delivery.run(story).await.unwrap();
    let sizes: Vec<usize> = house.polar.seen().iter().map(|seen| seen.names.len()).collect();
    assert!(sizes.iter().any(|size| *size > 100), "{sizes:?}");
    assert!(sizes.iter().rev().take(20).all(|size| *size <= 100), "{sizes:?}");
    assert_eq!(house.inserted().len(), 4_000);
}

#[tokio::test(start_paused = true)]
async fn a_token_put_in_the_place_of_one_that_still_works_is_used_by_the_next_request() {
    let house = House::with(FakePolar::living(World::default()));
    house
        .run(async {
            after(MINUTE).await;
            house.polar.with(|world| world.has_new_token = true);
            after(MINUTE).await;
            assert!(house.polar.with(|world| world.has_new_token), "while nothing is sent nobody looks");
            house.journal.append_many(Lane::Usage, NOON, 1, 1);
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    assert!(!house.polar.with(|world| world.has_new_token));
}
