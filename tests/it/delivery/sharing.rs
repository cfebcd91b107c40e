//! Daemons of one organization under one limit that others use too: the real binary, in real minutes.

use std::time::{Duration, Instant};

use sledge::clock::Clock;
use sledge::simulator::{Change, RateLimit};
use tokio::net::TcpStream;

use crate::fake_polar::FakePolar;
use crate::sledge_process::{Home, Scrape, SledgeProcess, http};
use crate::tool;

/// Each app sends an event so often.
const EVENT_EVERY: Duration = Duration::from_millis(500);
/// In the long form what they learn until then does not count.
const LEARNING: Duration = Duration::from_secs(3 * 60);
/// A 429 asks for a minute at most; a few in a row are no fault.
const SETTLING_MAX: Duration = Duration::from_secs(10 * 60);

/// Who shares what.
struct Share {
    daemons: usize,
    requests_per_minute: u32,
    foreign_per_minute: u32,
    /// How long what they do is counted, after what they learn. Without it they share until each has delivered after a 429.
    counted: Option<Duration>,
}

impl Share {
    /// The long form: `SLEDGE_SHARING_MINUTES=6 cargo test --test it -- --nocapture share_a_limit`.
    fn wanted() -> Self {
        match tool::number_from("SLEDGE_SHARING_MINUTES", 0) {
            0 => Self { daemons: 3, requests_per_minute: 30, foreign_per_minute: 12, counted: None },
            minutes => Self {
                daemons: 20,
                requests_per_minute: 500,
                foreign_per_minute: 200,
                counted: Some(Duration::from_secs(60 * minutes as u64)),
            },
        }
    }
}

/// One of the daemons, and what was seen of it.
struct Sharer {
    _home: Home,
    sledge: SledgeProcess,
    sent: u64,
    before: Seen,
    now: Seen,
    lag_max: Duration,
}

/// What a scrape says of a daemon's share.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    requests: f64,
    refused: f64,
    delivered: f64,
    pending: f64,
}

impl Seen {
    fn of(scrape: &Scrape) -> Self {
        let refused = scrape.get("sledge_polar_request_seconds_count{outcome=\"rate_limited\"}");
        Self {
            requests: scrape.sum("sledge_polar_request_seconds_count"),
            refused: refused.unwrap_or_default(),
            delivered: scrape.sum("sledge_events_delivered_total"),
            pending: scrape.sum("sledge_pending_events"),
        }
    }
}

impl Sharer {
    async fn start(number: usize, share: &Share, polar: &FakePolar) -> Self {
        let home = Home::in_memory();
        let mut command = home.run_command(&polar.url());
        command.env("POLAR_ACCESS_TOKEN", format!("polar_oat_{number}"));
        command.env("SLEDGE_DELIVERY_REQUESTS_PER_MINUTE", share.requests_per_minute.to_string());
        let sledge = SledgeProcess::start(command, home.socket()).await;
        let nothing = Seen::default();
        Self { _home: home, sledge, sent: 0, before: nothing, now: nothing, lag_max: Duration::ZERO }
    }

    async fn send(&mut self) {
        let event =
            r#"{"events":[{"name":"api_usage","external_customer_id":"user_1","metadata":{"units":1}}]}"#;
        assert_eq!(self.sledge.ingest(event).await.0, 200);
        self.sent += 1;
    }

    async fn look(&mut self) {
        let scrape = self.sledge.scrape().await;
        self.now = Seen::of(&scrape);
        // It is absent while nothing is owed.
        let oldest = scrape.get("sledge_oldest_pending_timestamp_seconds{lane=\"usage\"}");
        let lag = oldest.map_or(0.0, |oldest| (seconds_since_1970() - oldest).max(0.0));
        self.lag_max = self.lag_max.max(Duration::from_secs_f64(lag));
    }

    /// From here on it counts.
    fn begin(&mut self) {
        (self.before, self.lag_max) = (self.now, Duration::ZERO);
    }
}

fn seconds_since_1970() -> f64 {
    Duration::from_millis(Clock::system().now()).as_secs_f64()
}

/// A request of somebody else in the organization.
async fn foreign_request(polar: &FakePolar) {
    let stream = TcpStream::connect(polar.address()).await.unwrap();
    let head = "GET /v1/meters/ HTTP/1.1\r\nhost: polar\r\nauthorization: Bearer polar_oat_foreign\r\nconnection: close\r\n\r\n";
    http(stream, head).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemons_that_share_a_limit_without_talking_to_each_other_all_get_their_part() {
    let share = Share::wanted();
    let polar = FakePolar::start().await;
    let limit = RateLimit::PerMinute(share.requests_per_minute);
    polar.simulator.change(Change { rate_limit: Some(limit), ..Change::default() });
    let mut sharers = Vec::new();
    for number in 0..share.daemons {
        sharers.push(Sharer::start(number, &share, &polar).await);
    }

    let begun = Instant::now();
    let mut tick = tokio::time::interval(EVENT_EVERY);
    let (mut foreign, mut is_counting) = (0.0, false);
    loop {
        tick.tick().await;
        for sharer in &mut sharers {
            sharer.send().await;
            sharer.look().await;
        }
        while foreign < begun.elapsed().as_secs_f64() / 60.0 * f64::from(share.foreign_per_minute) {
            foreign_request(&polar).await;
            foreign += 1.0;
        }
        let was_refused = sharers.iter().any(|sharer| sharer.now.refused > 0.5);
        if !is_counting && share.counted.map_or(was_refused, |_| begun.elapsed() >= LEARNING) {
            sharers.iter_mut().for_each(Sharer::begin);
            is_counting = true;
        }
        let is_enough = match share.counted {
            Some(counted) => begun.elapsed() >= LEARNING + counted,
            None => {
                is_counting && sharers.iter().all(|sharer| sharer.now.delivered > sharer.before.delivered)
            }
        };
        if is_enough {
            break;
        }
        assert!(share.counted.is_some() || begun.elapsed() < SETTLING_MAX, "somebody starves");
    }

    let of_each = |what: fn(&Seen) -> f64| -> Vec<f64> {
        sharers.iter().map(|sharer| what(&sharer.now) - what(&sharer.before)).collect()
    };
    let (requests, refused) = (of_each(|seen| seen.requests), of_each(|seen| seen.refused));
    let (all, all_refused) = (requests.iter().sum::<f64>(), refused.iter().sum::<f64>());
    let lag = sharers.iter().map(|sharer| sharer.lag_max).max().unwrap();
    let spread = |least: f64, most: f64| format!("{least:.0} to {most:.0}");
    let range =
        requests.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), n| (least.min(*n), most.max(*n)));
    println!(
        "{} daemons under {} requests a minute with {} foreign ones: {all_refused:.0} of {all:.0} requests answered 429, \
         {} requests by daemon, lag at most {lag:.0?}",
        share.daemons,
        share.requests_per_minute,
        share.foreign_per_minute,
        spread(range.0, range.1)
    );
    if share.counted.is_some() {
        assert!(range.0 > 0.5, "a daemon starved");
        assert!(all_refused < all * 0.02, "{all_refused} of {all} requests were answered 429");
        assert!(lag < Duration::from_secs(5 * 60), "a lag of {lag:?}");
    }

    let settling = Instant::now();
    while sharers.iter().any(|sharer| sharer.now.pending > 0.5) {
        assert!(settling.elapsed() < SETTLING_MAX, "what was accepted is not delivered");
        tick.tick().await;
        for sharer in &mut sharers {
            sharer.look().await;
        }
    }
    let sent: u64 = sharers.iter().map(|sharer| sharer.sent).sum();
    let state = polar.simulator.state();
    assert_eq!((state.events_inserted, state.external_ids), (sent, sent));
}
