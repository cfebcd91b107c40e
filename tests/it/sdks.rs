//! Polar's real SDKs, at the versions `examples/install` puts in place: in every way they can be pointed at sledge their
//! calls succeed, whatever Polar does meanwhile, and Polar has each event once.
//!
//! More calls: `SLEDGE_SDK_CALLS=200 cargo test --test it -- --nocapture sdks`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use sledge::simulator::{Change, NewMeter, Scripted};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::examples::{are_installed, examples, node_path};
use crate::fake_polar::FakePolar;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};

/// Longer than the five seconds after which the 1.x SDKs give up on an answer.
const SLOW: Duration = Duration::from_secs(6);

/// How many calls are made in each way in each weather; the first alone, the others at once.
fn calls() -> usize {
    std::env::var("SLEDGE_SDK_CALLS").map_or(3, |calls| calls.parse().expect("SLEDGE_SDK_CALLS is a number"))
}

/// What Polar does while the calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Healthy,
    RateLimited,
    Unavailable,
    Refused,
    Slow,
}

impl Weather {
    const ALL: [Self; 5] = [Self::Healthy, Self::Unavailable, Self::Refused, Self::RateLimited, Self::Slow];

    fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::RateLimited => "429",
            Self::Unavailable => "503",
            Self::Refused => "refused",
            Self::Slow => "slow",
        }
    }

    /// What sledge's requests come to while nothing can get to Polar, as its metrics call it.
    fn keeps_events_away_by(self) -> Option<&'static str> {
        match self {
            Self::Healthy | Self::Slow => None,
            Self::RateLimited => Some("rate_limited"),
            Self::Unavailable => Some("server_error"),
            Self::Refused => Some("connection_refused"),
        }
    }

    async fn begins(self, polar: &mut FakePolar) {
        let always = |reply: Scripted| [reply.times(u32::MAX)];
        match self {
            Self::Healthy => {}
            Self::RateLimited => {
                polar.simulator.script(always(Scripted::status(429).with_header("retry-after", "1")));
            }
            Self::Unavailable => polar.simulator.script(always(Scripted::status(503))),
            Self::Refused => polar.go_away().await,
            Self::Slow => {
                let latency_ms = u64::try_from(SLOW.as_millis()).unwrap();
                polar.simulator.change(Change { latency_ms: Some(latency_ms), ..Change::default() });
            }
        }
    }

    fn ends(self, polar: &mut FakePolar) {
        match self {
            Self::Healthy => {}
            Self::RateLimited | Self::Unavailable => polar.simulator.clear_script(),
            Self::Refused => polar.come_back(),
            Self::Slow => polar.simulator.change(Change { latency_ms: Some(0), ..Change::default() }),
        }
    }
}

/// One SDK and the program of `tests/sdks` that makes its calls.
struct Sdk {
    name: &'static str,
    /// Where among the examples it is installed.
    installed: &'static str,
    /// A way whose calls tell their caller how they ended.
    tells: &'static str,
    /// Whether it can do more than send events.
    reads: bool,
}

/// How the calls of one way ended.
#[derive(Debug, Deserialize)]
struct Way {
    way: String,
    sent: Vec<String>,
    failed: Vec<String>,
    slowest_ms: u64,
    quickest_ms: u64,
}

/// A running program of `tests/sdks`. Dropped, it is killed.
struct Caller {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    name: &'static str,
}

impl Caller {
    /// Starts the program of an SDK: itself, and the versions it says it runs with.
    async fn start(sdk: &Sdk) -> (Self, String) {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdks");
        let mut command = if sdk.name.starts_with("npm") {
            let mut command = Command::new("node");
            command.arg(programs.join(format!("{}.cjs", sdk.name)));
            command.env("NODE_PATH", node_path(sdk.installed));
            command
        } else {
            let mut command = Command::new(examples(sdk.installed).join(".venv/bin/python"));
            command.arg(programs.join(format!("{}.py", sdk.name))).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut caller = Self { child, orders, answers, name: sdk.name };
        let versions = caller.answer().await["versions"].take();
        let versions: BTreeMap<String, String> = serde_json::from_value(versions).unwrap();
        let versions: Vec<String> =
            versions.iter().map(|(package, version)| format!("{package} {version}")).collect();
        (caller, versions.join(", "))
    }

    async fn answer(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.answers.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{} did not answer in time", self.name)).unwrap();
        let line = line.unwrap_or_else(|| panic!("{} ended before it answered", self.name));
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{} said {line}", self.name))
    }

    /// Has calls made: how they ended, in each way.
    async fn order(&mut self, order: Value) -> Vec<Way> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.unwrap();
        serde_json::from_value(self.answer().await["ways"].take()).unwrap()
    }

    /// Has it ask Polar for its meters: their names, or what was raised.
    async fn read(&mut self, http: &str) -> Vec<String> {
        let order = json!({"read": true, "http": http});
        self.orders.write_all(format!("{order}\n").as_bytes()).await.unwrap();
        serde_json::from_value(self.answer().await["read"].take()).unwrap()
    }

    /// Ends it, with nothing left to go wrong behind its back.
    async fn end(self) {
        let Self { mut child, orders, name, .. } = self;
        drop(orders);
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{name} did not end")).unwrap();
        assert!(ended.success(), "{name} ended with {ended}");
    }
}

/// How often Polar has an event of each name.
fn names_at(polar: &FakePolar) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for event in polar.simulator.events() {
        let event: Value = serde_json::from_str(&event).unwrap();
        *names.entry(event["name"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    names
}

async fn holds_in_all_weathers(sdk: Sdk) {
    if !are_installed() {
        return;
    }
    let mut polar = FakePolar::start().await;
    let home = Home::new();
    let mut command = home.run_command(&polar.url());
    command.args(["--http", "127.0.0.1:0"]);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let http = format!("http://{}", sledge.listener("http").await);
    let (mut caller, versions) = Caller::start(&sdk).await;
    let calls = calls();
    let order = |weather: &str| json!({"calls": calls, "units": 3, "weather": weather, "http": http, "socket": home.socket()});

    let mut expected = BTreeMap::new();
    let mut ways_tried = Vec::new();
    let mut slowest = BTreeMap::new();
    for weather in Weather::ALL {
        weather.begins(&mut polar).await;
        let ways = caller.order(order(weather.name())).await;
        for way in &ways {
            assert!(way.failed.is_empty(), "{} with Polar {}: {way:?}", sdk.name, weather.name());
            assert_eq!(way.sent.len(), calls, "{way:?}");
            // Each call would, if one did. How long one of hundreds takes beside the others is the machine's affair.
            assert!(u128::from(way.quickest_ms) < SLOW.as_millis(), "{way:?} waited for Polar");
            expected.extend(way.sent.iter().map(|name| (name.clone(), 1)));
        }
        slowest.insert(weather.name(), ways.iter().map(|way| way.slowest_ms).max().unwrap_or_default());
        ways_tried = ways.into_iter().map(|way| way.way).collect();
        sledge
            .scrape_until(|scrape| scrape.sum("sledge_events_accepted_total") >= expected.len() as f64)
            .await;
        if let Some(outcome) = weather.keeps_events_away_by() {
            let tries = format!("sledge_polar_request_seconds_count{{outcome=\"{outcome}\"}}");
            let scrape = sledge.scrape_until(|scrape| scrape.get(&tries) >= Some(1.0)).await;
            let (pending, waiting) = (scrape.sum("sledge_pending_events"), calls * ways_tried.len());
            assert!(pending >= waiting as f64, "{pending} events are pending, not {waiting}");
        }
        weather.ends(&mut polar);
        polar.has_events(expected.len() as u64, PATIENCE).await;
    }
    assert!(ways_tried.len() > 3, "{ways_tried:?}");
    assert_eq!(names_at(&polar), expected, "each event is at Polar, and once");

    // A fault of the event's own is the SDK's own error, as from Polar.
    let only = |mut order: Value| {
        order["only"] = json!(sdk.tells);
        order
    };
    let mut bad = only(order("bad"));
    bad["units"] = json!("");
    let refused = caller.order(bad).await.pop().unwrap();
    assert!(refused.sent.is_empty() && refused.failed.len() == calls, "{refused:?}");
    assert!(refused.failed.iter().all(|error| error.starts_with("HTTPValidationError")), "{refused:?}");

    // What holds is sledge's doing: the same calls straight to a failing Polar end otherwise.
    Weather::Unavailable.begins(&mut polar).await;
    let mut straight = only(order("straight"));
    straight["http"] = json!(polar.url());
    let straight = caller.order(straight).await.pop().unwrap();
    assert!(straight.sent.is_empty() && straight.failed.len() == calls, "{straight:?}");
    Weather::Unavailable.ends(&mut polar);

    // What sledge does not keep goes on to Polar, with the token of the app.
    if sdk.reads {
        polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
        assert_eq!(caller.read(&http).await, ["API Calls"], "{}", sdk.name);
        let accepted_tokens = Some(vec!["polar_oat_test".to_owned()]);
        polar.simulator.change(Change { accepted_tokens, ..Change::default() });
        assert_ne!(caller.read(&http).await, ["API Calls"], "it read with another token than its own");
    }

    caller.end().await;
    let scrape = sledge.scrape().await;
    assert!(scrape.sum("sledge_events_dead_lettered_total") < 0.5, "some were given up");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} ({versions}): {} events, each at Polar once", sdk.name, expected.len()).unwrap();
    writeln!(out, "  ways: {}", ways_tried.join(", ")).unwrap();
    writeln!(out, "  slowest call in ms, by what Polar did: {slowest:?}").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_npm_sdk_1_is_taken_whatever_polar_does() {
    let (name, installed) = ("npm-sdk-1", "node-sdk-1");
    holds_in_all_weathers(Sdk { name, installed, tells: "tcp 2026-10", reads: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_npm_sdk_0_is_taken_whatever_polar_does() {
    let (name, installed) = ("npm-sdk-0", "node-sdk-0");
    holds_in_all_weathers(Sdk { name, installed, tells: "tcp", reads: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_strategy_of_npm_ingestion_is_served_whatever_polar_does() {
    let (name, installed) = ("npm-ingestion", "node-ingestion");
    holds_in_all_weathers(Sdk { name, installed, tells: "tcp ingest", reads: false }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_pypi_sdk_1_is_taken_whatever_polar_does() {
    let (name, installed) = ("pypi-sdk-1", "python-sdk-1");
    holds_in_all_weathers(Sdk { name, installed, tells: "tcp v2026_10", reads: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_pypi_sdk_0_is_taken_whatever_polar_does() {
    let (name, installed) = ("pypi-sdk-0", "python-sdk-0");
    holds_in_all_weathers(Sdk { name, installed, tells: "tcp", reads: true }).await;
}
