//! The machine's clock is set while delivery runs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::fake_polar::{FakePolar, World};
use super::house::{House, NOON, after};
use crate::event::Lane;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR_MILLIS: i64 = 3_600_000;

fn house() -> House {
    let house = House::with(FakePolar::living(World {
        latency: Duration::from_millis(100),
        reads_stamps: true,
        ..World::default()
    }));
    house.polar.with(|world| world.date = Some((house.begun, NOON)));
    house
}

impl House {
    /// Appends an event stamped as intake stamps those that bring no timestamp.
    fn append_stamped_here(&self, name: &str) -> String {
        let name = format!("{name}@{}", self.clock.polars_now());
        self.journal.append(Lane::Usage, self.clock.now(), 0, std::slice::from_ref(&name));
        name
    }

    async fn set_clock_by(&self, millis: i64) {
        self.set_by.store(millis, Ordering::Relaxed);
        after(Duration::from_millis(200)).await;
    }

    async fn arrival_of(&self, name: &str) -> Instant {
        while !self.polar.with(|world| world.inserted.contains(name)) {
            after(Duration::from_millis(50)).await;
        }
        Instant::now()
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_by_an_hour_delays_nothing_that_is_stamped_here() {
    for set_by in [HOUR_MILLIS, -HOUR_MILLIS] {
        let house = house();
        house
            .run(async {
                for number in 0..3 {
                    let name = house.append_stamped_here(&format!("before{number}"));
                    house.arrival_of(&name).await;
                }
                house.set_clock_by(set_by).await;
                for number in 0..3 {
                    let appended = Instant::now();
                    let name = house.append_stamped_here(&format!("after{number}"));
                    assert!(
                        house.arrival_of(&name).await - appended < 2 * Duration::from_secs(1),
                        "{set_by}"
                    );
                }
                house.set_clock_by(0).await;
                let appended = Instant::now();
                let name = house.append_stamped_here("back");
                assert!(house.arrival_of(&name).await - appended < 2 * Duration::from_secs(1), "{set_by}");
                MINUTE
            })
            .await;
        assert_eq!(house.inserted().len(), 7);
        assert!(house.journal.with(|books| books.dead.is_empty()));
        assert_eq!(house.polar.seen().len(), 7, "not one of them was refused");
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_timestamp_waits_for_polars_clock_however_ours_is_set() {
    for set_by in [HOUR_MILLIS, -HOUR_MILLIS] {
        let house = house();
        let later = format!("later@{}", NOON + 90_000);
        house
            .run(async {
                for number in 0..3 {
                    let name = house.append_stamped_here(&format!("before{number}"));
                    house.arrival_of(&name).await;
                }
                house.journal.append(Lane::Usage, NOON, NOON + 90_000, std::slice::from_ref(&later));
                after(Duration::from_secs(1)).await;
                house.set_clock_by(set_by).await;
                let waited = house.arrival_of(&later).await - house.begun;
                assert!(
                    waited >= Duration::from_secs(90) && waited < Duration::from_secs(93),
                    "{set_by}: {waited:?}"
                );
                MINUTE
            })
            .await;
        assert_eq!(house.polar.seen().len(), 4, "{set_by}: it was sent once, when it was due");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_app_stamps_by_a_clock_an_hour_ahead_is_kept_until_polar_takes_it() {
    let house = house();
    let (mut ahead, mut fresh) = (String::new(), String::new());
    house
        .run(async {
            house.set_clock_by(HOUR_MILLIS).await;
            ahead = format!("app@{}", house.clock.now());
            house.journal.append(Lane::Usage, house.clock.now(), 0, &[ahead.clone()]);
            for number in 0..3 {
                after(MINUTE).await;
                let appended = Instant::now();
                fresh = house.append_stamped_here(&format!("fresh{number}"));
                if number == 2 {
                    assert!(house.arrival_of(&fresh).await - appended < 2 * Duration::from_secs(1));
                }
            }
            let waited = house.arrival_of(&ahead).await - house.begun;
            assert!(waited >= 60 * MINUTE && waited < 95 * MINUTE, "{waited:?}");
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await;
    assert!(house.journal.with(|books| books.dead.is_empty()), "a timestamp is never a reason to give up");
    assert_eq!(house.inserted().len(), 4);
    assert!(house.polar.seen().len() < 20, "{} requests", house.polar.seen().len());
}
