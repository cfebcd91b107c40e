//! Many daemons on one organization's limit, which do not know of each other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::fake_polar::{FakePolar, FixedWindows, World};
use super::house::{House, NOON, after};
use crate::event::Lane;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// The first minutes are there to learn.
const LEARNING_MINUTES: usize = 3;
const MINUTES: usize = 24;

/// What one daemon went through after the minutes of learning.
#[derive(Debug)]
struct Lived {
    requests: usize,
    lag_most: Duration,
}

/// Lives with `events` events a second; they are gone through in batches of `batch_events_max`.
async fn live(house: &House, seed: u64, events: usize) -> Lived {
    let mut lag_most = Duration::ZERO;
    house
        .run_seeded(seed, async {
            let mut appended: Vec<Instant> = Vec::new();
            for second in 0..MINUTES * 60 {
                house.journal.append_many(Lane::Usage, NOON, events, 1);
                appended.resize(appended.len() + events, Instant::now());
                after(SECOND).await;
                let inserted = house.polar.with(|world| world.inserted.len());
                let lag = appended.get(inserted).map_or(Duration::ZERO, Instant::elapsed);
                if second >= LEARNING_MINUTES * 60 {
                    lag_most = lag_most.max(lag);
                }
            }
            house.journal.pending_at_most(0).await;
            MINUTE
        })
        .await
        .unwrap();
    let learned = house.begun + MINUTE * u32::try_from(LEARNING_MINUTES).unwrap();
    let requests = house.polar.seen().iter().filter(|seen| seen.at >= learned).count();
    Lived { requests, lag_most }
}

async fn share(batch_events_max: usize, events: usize) {
    let windows = Arc::new(Mutex::new(FixedWindows::of(500)));
    let houses: Vec<House> = (0..20)
        .map(|_| {
            let mut house = House::with(FakePolar::living(World {
                latency: Duration::from_millis(300),
                limit: Some(Arc::clone(&windows)),
                ..World::default()
            }));
            house.settings.requests_per_minute = Some(500);
            house.settings.batch_events_max = batch_events_max;
            house
        })
        .collect();
    let lives = join_all(houses.iter().zip(0..).map(|(house, seed)| live(house, seed, events)));
    let foreign = async {
        loop {
            after(MINUTE / 200).await;
            windows.lock().unwrap().admit(false);
        }
    };
    let lived = tokio::select! {
        lived = lives => lived,
        () = foreign => unreachable!("others never stop"),
    };
    let minutes = windows.lock().unwrap().minutes.clone();
    let settled = &minutes[LEARNING_MINUTES..MINUTES];
    let (all, refused) =
        settled.iter().fold((0, 0), |(all, refused), minute| (all + minute.0, refused + minute.1));
    let lag_most = lived.iter().map(|lived| lived.lag_most).max().unwrap();
    let requests: Vec<usize> = lived.iter().map(|lived| lived.requests).collect();
    assert!(refused * 50 < all, "{refused} of {all} were refused; by minute {minutes:?}");
    assert!(lag_most < 4 * MINUTE, "the lag was {lag_most:?}; by minute {minutes:?}");
    let least = requests.iter().min().unwrap();
    assert!(*least >= 2 * (MINUTES - LEARNING_MINUTES), "a daemon starves: {requests:?}");
    for house in &houses {
        assert_eq!(house.inserted().len(), MINUTES * 60 * events);
        assert!(house.journal.with(|books| books.dead.is_empty()));
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_daemons_that_trickle_share_a_limit_with_hardly_a_refusal() {
    share(1_000, 2).await;
}

#[tokio::test(start_paused = true)]
async fn twenty_busy_daemons_share_a_limit_with_hardly_a_refusal() {
    // At most 12 full requests a minute each, 240 of the 300 that others leave.
    share(5, 1).await;
}
