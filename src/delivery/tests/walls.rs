//! Something on the way to Polar refuses a share of all events, for hours.

use std::io::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::fake_polar::{FakePolar, Turn, Wall, World};
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

/// How many minutes each traffic flows, in its own time, where that is told.
fn minutes_told() -> Option<u32> {
    Some(std::env::var("SLEDGE_WALL_MINUTES").ok()?.parse().expect("a number of minutes"))
}

/// Figures are for those who asked for a length.
fn tell(figures: &str) {
    if minutes_told().is_some() {
        writeln!(std::io::stderr(), "{figures}").unwrap();
    }
}

fn house_behind(wall: Vec<(f64, Reply)>, requests_per_minute: u32) -> House {
    let world = World { wall: Wall(wall), latency: Duration::from_millis(100), ..World::default() };
    let mut house = House::with(FakePolar::living(world));
    house.settings.requests_per_minute = Some(requests_per_minute);
    house
}

/// A steady traffic from the beginning on.
#[derive(Debug)]
struct Traffic {
    events_per_second: u64,
    /// The number of the oldest good event that Polar does not have.
    oldest_missing: u64,
    /// The longest that a good event took.
    slowest: Duration,
}

impl Traffic {
    fn of(events_per_second: u64) -> Self {
        Self { events_per_second, oldest_missing: 0, slowest: Duration::ZERO }
    }

    /// Goes on for so long.
    async fn flow(&mut self, house: &House, length: Duration) {
        let end = house.begun.elapsed() + length;
        while house.begun.elapsed() < end {
            after(SECOND / 10).await;
            let due = house.begun.elapsed().as_millis() * u128::from(self.events_per_second) / 1_000;
            let appended = house.journal.with(|books| books.next_seq.usage);
            let events = usize::try_from(due - u128::from(appended)).unwrap();
            house.journal.append_many(Lane::Usage, NOON, events, 4);
            self.look(house);
        }
    }

    /// Whether a good event of more than a minute ago is missing.
    fn is_behind(&self, house: &House) -> bool {
        let all = house.journal.with(|books| books.next_seq.usage);
        self.oldest_missing + 60 * self.events_per_second < all
    }

    fn look(&mut self, house: &House) {
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
            let appended =
                Duration::from_secs_f64(self.oldest_missing as f64 / self.events_per_second as f64);
            self.slowest = self.slowest.max(house.begun.elapsed() - appended);
        }
    }
}

/// How many trials an event alone has that always gets this answer.
fn trials_of(reply: &Reply) -> u32 {
    match reply {
        Reply::TooLarge | Reply::Refused { .. } | Reply::ServerError { status: 500, .. } => 5,
        _ => 12,
    }
}

/// Only what was refused was given up, by the rule, and no minute saw more requests than are allowed. Returns a line of
/// figures.
fn judge(house: &House, traffic: &Traffic, wall: &Wall) -> String {
    judge_by(house, traffic, wall, trials_of)
}

fn judge_by(house: &House, traffic: &Traffic, wall: &Wall, trials_of: impl Fn(&Reply) -> u32) -> String {
    let (all, pending, dead) =
        house.journal.with(|books| (books.next_seq.usage, books.pending, books.dead.clone()));
    for letter in &dead {
        let reply = wall.answer_to(&format!("u{}", letter.seq.unwrap())).expect("a good event is given up");
        let reason = if *reply == Reply::TooLarge { DeadReason::TooLarge } else { DeadReason::Poison };
        assert!(
            letter.reason == reason && letter.attempts >= trials_of(reply),
            "{:?} {}",
            letter.reason,
            letter.attempts
        );
    }
    let inserted = house.polar.with(|world| world.inserted.len());
    let grants = house.journal.with(|books| books.next_seq.grants);
    assert_eq!(inserted as u64 + dead.len() as u64 + pending, all + grants);
    let (requests, minutes) = (house.polar.seen().len(), house.begun.elapsed().as_secs_f64() / 60.0);
    let per_minute = f64::from(house.settings.requests_per_minute.unwrap());
    assert!(requests as f64 <= per_minute * (minutes + 1.0), "{requests} requests in {minutes} minutes");
    let good = (0..all).filter(|number| wall.answer_to(&format!("u{number}")).is_none()).count();
    format!(
        "{wall:?}, {} events/s, {per_minute} requests/min: {inserted} inserted of {good} good ones, the slowest in {:?}; {} given up, {pending} pending, {requests} requests in {minutes:.0} minutes",
        traffic.events_per_second,
        traffic.slowest,
        dead.len()
    )
}

/// The longest that a good event takes where `events_per_second` flow and a wall refuses some.
async fn slowest_behind(
    wall: Vec<(f64, Reply)>,
    events_per_second: u64,
    requests_per_minute: u32,
) -> Duration {
    let mut house = house_behind(wall.clone(), requests_per_minute);
    house.settings.requests_in_flight_max = (requests_per_minute / 400).max(8) as usize;
    // Ten times the budget is ten times the service, for hours too.
    house.settings.unsettled_bytes_max *= (requests_per_minute as usize / 1_500).max(1);
    let mut traffic = Traffic::of(events_per_second);
    house
        .run(async {
            traffic.flow(&house, MINUTE * minutes_told().unwrap_or(10)).await;
            SECOND
        })
        .await;
    tell(&judge(&house, &traffic, &Wall(wall)));
    traffic.slowest
}

#[tokio::test(start_paused = true)]
async fn one_event_in_twenty_that_is_refused_keeps_the_others_for_no_more_than_minutes() {
    for reply in words() {
        assert!(slowest_behind(vec![(0.05, reply)], 20, 500).await < 3 * MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn one_event_in_ten_that_is_refused_keeps_the_others_for_no_more_than_a_minute_where_requests_suffice()
{
    for reply in words() {
        assert!(slowest_behind(vec![(0.1, reply)], 20, 1_000).await < MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn one_event_in_four_that_is_refused_keeps_the_others_for_no_more_than_a_minute_where_requests_suffice()
{
    for reply in words() {
        assert!(slowest_behind(vec![(0.25, reply)], 20, 1_500).await < MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn several_walls_at_once_keep_the_others_for_no_more_than_a_minute_where_requests_suffice() {
    let [not_found, refused, unauthorized, polars] = words();
    let wall = vec![
        (0.03, not_found),
        (0.03, polars),
        (0.02, refused),
        (0.02, unauthorized),
        (0.02, Reply::TooLarge),
    ];
    assert!(slowest_behind(wall, 20, 1_000).await < MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_busy_service_behind_a_wall_is_kept_for_no_more_than_a_minute_where_requests_suffice() {
    let [not_found, refused, _, polars] = words();
    for (share, reply, requests_per_minute) in
        [(0.05, not_found, 5_000), (0.1, polars, 10_000), (0.25, refused, 15_000)]
    {
        let slowest = slowest_behind(vec![(share, reply)], 200, requests_per_minute).await;
        assert!(slowest < MINUTE, "{share}: {slowest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_requests_do_not_suffice_most_of_what_they_could_deliver_is_delivered() {
    for share in [0.1_f64, 0.25] {
        let wall = vec![(share, Reply::NotFound)];
        let house = house_behind(wall.clone(), 500);
        let mut traffic = Traffic::of(20);
        house
            .run(async {
                traffic.flow(&house, 15 * MINUTE).await;
                SECOND
            })
            .await;
        tell(&judge(&house, &traffic, &Wall(wall)));
        // An answer says whether one of the events is bad: at most one bit, of the bits that it takes to tell them apart.
        let bits = -share * share.log2() - (1.0 - share) * (1.0 - share).log2();
        let best = house.polar.seen().len() as f64 / bits * (1.0 - share);
        let inserted = house.inserted().len() as f64;
        assert!(inserted > 0.75 * best, "{share}: {inserted} of {best}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_wall_refuses_keeps_none_of_the_good_events_beside_it_in_memory() {
    let mut house = house_behind(vec![(0.003, Reply::NotFound)], 2_000);
    house.settings.unsettled_bytes_max = 200_000;
    house.settings.batch_bytes_max = 20_000;
    house
        .run(async {
            for _ in 0..100 {
                house.journal.append_many(Lane::Usage, NOON, 1_000, 1_000);
                after(5 * SECOND).await;
            }
            after(5 * SECOND).await;
            let all = house.journal.with(|books| books.next_seq.usage);
            let missing = house.polar.with(|world| {
                let is_missing = |number: &u64| {
                    let name = format!("u{number}");
                    !world.inserted.contains(&name) && world.wall.answer_to(&name).is_none()
                };
                (0..all).filter(is_missing).count()
            });
            assert!(missing < 10_000, "{missing} of {all} wait");
            SECOND
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_wall_refuses_until_memory_is_full_of_it_lets_the_others_pass_all_the_same() {
    let of_a_gateway = Reply::ServerError { status: 502, retry_after: None };
    for (share, reply, least) in [
        (0.05, Reply::NotFound, 600),
        (0.05, polars_500(), 600),
        (0.05, of_a_gateway.clone(), 450),
        (0.3, of_a_gateway, 90),
        (0.7, Reply::NotFound, 5),
    ] {
        let mut house = house_behind(vec![(share, reply.clone())], 500);
        // What fills 32 MiB in hours fills this in minutes.
        (house.settings.unsettled_bytes_max, house.settings.batch_bytes_max) = (400_000, 50_000);
        let minutes = minutes_told().unwrap_or(45);
        house
            .run(async {
                let (mut delivered, mut given_up) = (0, 0);
                for minute in 1..=minutes {
                    for _ in 0..12 {
                        house.journal.append_many(Lane::Usage, NOON, 100, 100);
                        after(5 * SECOND).await;
                    }
                    if minute % 15 == 0 {
                        let (all, dead) = (house.inserted().len(), house.journal.with(|books| books.dead.len()));
                        let (more, more_dead) = ((all - delivered) / 15, (dead - given_up) / 15);
                        tell(&format!(
                            "{share} {reply:?}, minute {minute}: {more} a minute delivered and {more_dead} given up"
                        ));
                        assert!(more > least, "{share} {reply:?}: {more} a minute until minute {minute}");
                        assert!(minute == 15 || more_dead > 15, "{share} {reply:?}: {more_dead} given up");
                        (delivered, given_up) = (all, dead);
                    }
                }
                SECOND
            })
            .await;
        let most = house.journal.with(|books| books.out_bytes_most);
        assert!(most < 400_000, "{share} {reply:?}: {most} bytes were read and not settled");
        judge_by(&house, &Traffic::of(20), &Wall(vec![(share, reply)]), |_| 3);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nine_of_ten_events_are_refused_the_tenth_is_delivered() {
    let house = house_behind(vec![(0.9, Reply::Refused { status: 403 })], 500);
    let mut traffic = Traffic::of(4);
    house
        .run(async {
            traffic.flow(&house, 15 * MINUTE).await;
            SECOND
        })
        .await;
    let good = house.journal.with(|books| books.next_seq.usage) / 10;
    let inserted = house.inserted().len() as u64;
    assert!(inserted > good * 85 / 100, "{inserted} of some {good}");
}

#[tokio::test(start_paused = true)]
async fn a_wall_beside_chance_failures_leaves_no_limit_to_the_size_of_batches_behind() {
    for by_chance in [Reply::ServerError { status: 503, retry_after: None }, polars_500()] {
        let wall = vec![(0.05, Reply::NotFound)];
        let house = house_behind(wall.clone(), 500);
        let gone = Instant::now() + HOUR / 2;
        house.polar.with(|world| {
            world.partly_down = Some((gone, 0.1, fastrand::Rng::with_seed(3), by_chance.clone()));
        });
        let mut traffic = Traffic::of(20);
        house
            .run(async {
                traffic.flow(&house, HOUR / 2).await;
                let figures = judge(&house, &traffic, &Wall(wall));
                tell(&figures);
                assert!(house.inserted().len() > 30 * 650, "{by_chance:?}: {figures}");
                house.polar.with(|world| world.wall = Wall::default());
                house.journal.pending_at_most(0).await;
                let before = house.polar.seen().len();
                house.journal.append_many(Lane::Usage, NOON, 50_000, 500);
                house.journal.pending_at_most(0).await;
                let requests = house.polar.seen().len() - before;
                assert!(requests <= 100, "{by_chance:?}: {requests} requests for 50 batches");
                MINUTE
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_does_not_call_a_polar_down_that_takes_most_events() {
    let house = house_behind(vec![(0.05, Reply::ServerError { status: 502, retry_after: None })], 500);
    let mut traffic = Traffic::of(20);
    house
        .run(async {
            traffic.flow(&house, MINUTE).await;
            for _ in 0..600 {
                traffic.flow(&house, SECOND).await;
                let trouble = house.trouble().unwrap();
                assert!(trouble.starts_with("Polar takes events but fails requests"), "{trouble}");
            }
            SECOND
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn grants_hardly_wait_behind_a_wall() {
    let house = house_behind(vec![(0.1, polars_500())], 500);
    let mut traffic = Traffic::of(20);
    let mut slowest = Duration::ZERO;
    house
        .run(async {
            for _ in 0..120 {
                traffic.flow(&house, 10 * SECOND).await;
                let (appended, number) = (Instant::now(), house.journal.with(|books| books.next_seq.grants));
                house.journal.append_many(Lane::Grants, NOON, 1, 1);
                let name = format!("g{number}");
                let is_walled = house.polar.with(|world| world.wall.answer_to(&name).is_some());
                while !is_walled && !house.polar.with(|world| world.inserted.contains(&name)) {
                    traffic.flow(&house, SECOND / 10).await;
                }
                slowest = slowest.max(appended.elapsed());
            }
            SECOND
        })
        .await;
    assert!(slowest < 20 * SECOND, "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn once_a_wall_is_gone_all_it_kept_is_delivered_at_once_and_in_large_requests() {
    for reply in words() {
        let house = house_behind(vec![(0.1, reply.clone())], 1_000);
        let mut traffic = Traffic::of(20);
        house
            .run(async {
                traffic.flow(&house, 10 * MINUTE).await;
                let kept = house.journal.with(|books| books.pending);
                assert!(kept > 800, "{reply:?}: {kept} kept");
                house.polar.with(|world| world.wall = Wall::default());
                let (gone, before) = (Instant::now(), house.polar.seen().len());
                while house.journal.with(|books| books.pending) > 40 {
                    traffic.flow(&house, SECOND / 10).await;
                    assert!(gone.elapsed() < MINUTE, "{:?} left", house.journal.with(|books| books.pending));
                }
                let requests = house.polar.seen().len() - before;
                tell(&format!("{reply:?}: {kept} in {:?} and {requests} requests", gone.elapsed()));
                let before = house.polar.seen().len();
                house.journal.append_many(Lane::Usage, NOON, 50_000, 500);
                house.journal.pending_at_most(0).await;
                let requests = house.polar.seen().len() - before;
                assert!(requests <= 100, "{reply:?}: {requests} requests for 50 batches");
                MINUTE
            })
            .await;
        assert_eq!(house.trouble(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_behind_a_wall_costs_few_requests_and_ends_as_any_other() {
    for down in [polars_500(), Reply::NotFound] {
        let wall = vec![(0.1, Reply::NotFound)];
        let house = house_behind(wall.clone(), 4_000);
        let mut traffic = Traffic::of(20);
        house
            .run(async {
                traffic.flow(&house, 10 * MINUTE).await;
                let (before, until) = (house.polar.seen().len(), Instant::now() + HOUR / 2);
                house.polar.with(|world| world.until = Some((until, Turn::Say(down.clone()))));
                traffic.flow(&house, HOUR / 2).await;
                let requests = house.polar.seen().len() - before;
                assert!(requests < 300, "{down:?}: {requests} requests in half an hour");
                while traffic.slowest < HOUR / 2 || traffic.is_behind(&house) {
                    traffic.flow(&house, SECOND).await;
                    assert!(house.begun.elapsed() < HOUR, "{down:?}: {traffic:?}");
                }
                tell(&format!("{down:?}: {requests} requests, made up for in {:?}", Instant::now() - until));
                SECOND
            })
            .await;
        judge(&house, &traffic, &Wall(wall));
    }
}
