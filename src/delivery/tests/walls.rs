//! Something on the way to Polar refuses a share of all events, for hours.

use std::time::Duration;

use super::fake_polar::{FakePolar, Wall, World};
use super::house::{House, NOON, after};
use crate::event::Lane;
use crate::journal::DeadReason;
use crate::polar::Reply;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn polars_500() -> Reply {
    Reply::ServerError { status: 500, retry_after: None }
}

/// What a wall may say.
fn words() -> [Reply; 4] {
    [
        Reply::NotFound,
        Reply::Refused { status: 403 },
        Reply::Unauthorized { in_polars_words: false },
        polars_500(),
    ]
}

fn house_behind(wall: Vec<(f64, Reply)>, requests_per_minute: u32) -> House {
    let world = World { wall: Wall(wall), latency: Duration::from_millis(100), ..World::default() };
    let mut house = House::with(FakePolar::living(world));
    house.settings.requests_per_minute = Some(requests_per_minute);
    house
}

/// What came of a steady traffic.
#[derive(Debug)]
struct Traffic {
    events_per_second: usize,
    /// The number of the oldest good event that Polar does not have.
    oldest_missing: u64,
    /// The longest that a good event took.
    slowest: Duration,
}

impl Traffic {
    fn of(events_per_second: usize) -> Self {
        Self { events_per_second, oldest_missing: 0, slowest: Duration::ZERO }
    }

    /// Goes on for so long.
    async fn flow(&mut self, house: &House, length: Duration) {
        let begun = house.begun.elapsed();
        let mut appended = 0;
        while house.begun.elapsed() < begun + length {
            after(SECOND / 10).await;
            let due = (house.begun.elapsed() - begun).as_millis() as usize * self.events_per_second / 1_000;
            house.journal.append_many(Lane::Usage, NOON, due - appended, 4);
            appended = due;
            self.look(house, begun);
        }
    }

    fn look(&mut self, house: &House, begun: Duration) {
        let all = house.journal.with(|books| books.next_seq.usage);
        house.polar.with(|world| {
            while self.oldest_missing < all {
                let name = format!("u{}", self.oldest_missing);
                if !world.inserted.contains(&name) && world.wall.answer_to(&name).is_none() {
                    break;
                }
                self.oldest_missing += 1;
            }
        });
        if self.oldest_missing < all {
            let appended = SECOND.mul_f64(self.oldest_missing as f64 / self.events_per_second as f64);
            self.slowest = self.slowest.max(house.begun.elapsed() - begun - appended);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_of_all_events_that_is_refused_keeps_no_good_ones_back() {
    for reply in words().into_iter().take(1) {
        for (share, requests_per_minute) in [(0.05, 500), (0.1, 1_000), (0.25, 1_500), (0.25, 500), (0.1, 500)] {
            let house = house_behind(vec![(share, reply.clone())], requests_per_minute);
            let mut traffic = Traffic::of(20);
            house
                .run(async {
                    traffic.flow(&house, 2 * HOUR).await;
                    SECOND
                })
                .await;
            let dead = house.journal.with(|books| books.dead.len());
            let all = house.journal.with(|books| books.next_seq.usage);
            println!("{reply:?} {share}: {traffic:?} {} of {all} inserted, {dead} dead, {} pending, {} requests, {:?}", house.inserted().len(), house.journal.with(|books| books.pending), house.polar.seen().len(), house.trouble());
        }
    }
}
