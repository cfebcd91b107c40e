//! Memory follows the volumes that are open, not the backlog: held to the peak of the real binary, as the system
//! remembers it.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use sledge::clock::Clock;
use sledge::journal::{VolumeReport, check};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::simulate_process::SimulateProcess;
use crate::sledge_process::{Home, PATIENCE, Scrape, SledgeProcess};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";
/// A dozen volumes of them.
const POURED: u64 = 300_000;
/// Two dozen volumes of them, of which each holds some that wait.
const PASSING: u64 = 600_000;
/// One of so many waits for its time.
const PASSING_FOR_ONE: u64 = 2_000;
/// Longer than the others take, and no longer than an event may wait.
const WAITING_MILLIS: u64 = 290_000;
/// Three volumes of them, each of which is rewritten when it is full.
const ONE_BY_ONE: u64 = 25_000;
/// Lines in one write.
const RUN: u64 = 500;
/// What the peak may be above the memory of a sledge that has nothing to do. How much that is depends on how it was built;
/// what events add to it does not.
const GROWTH_KIB_MAX: u64 = 26 << 10;
/// The same where events wait: three volumes that were read stay open for a while, and one is being closed.
const GROWTH_WITH_WAITING_KIB_MAX: u64 = GROWTH_KIB_MAX + 4 * (6 << 10);
/// As it is by default, and as large as to be seen in the memory.
const VOLUME_BYTES: [u64; 2] = [2 << 20, 8 << 20];

/// Of a process, in KiB: what it has in memory, and the most it ever had.
fn memory(sledge: &SledgeProcess) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{}/status", sledge.id())).unwrap();
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (kib("VmRSS:"), kib("VmHWM:"))
}

/// A sledge with nothing on its disk but events.
fn command(home: &Home, volume_bytes: u64, polar: &str) -> Command {
    let mut command = home.run_command(polar);
    command.env("SLEDGE_JOURNAL_BALLAST_BYTES", "0").env("SLEDGE_JOURNAL_RETENTION_SECONDS", "0");
    command.env("SLEDGE_JOURNAL_VOLUME_BYTES", volume_bytes.to_string());
    command
}

/// Waits until what came one by one was rewritten: all but the volume that is read next and the one that is written.
async fn wait_for_rewriting(home: &Home) {
    let begun = Instant::now();
    let is_small = |volume: &VolumeReport| volume.pending_events / 8 < volume.pending_blocks as u64;
    // A volume is renamed while it is rewritten.
    while !check(&home.journal()).is_ok_and(|report| {
        report.rows.iter().flat_map(|row| &row.volumes).filter(|volume| is_small(volume)).count() <= 2
    }) {
        assert!(begun.elapsed() < PATIENCE, "the volumes were never rewritten");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Events as apps send them: much of each is in all of them, and some of it in no other.
fn lines(events: u64, rng: &mut fastrand::Rng) -> String {
    let mut lines = String::new();
    for _ in 0..events {
        let (user, units, route, request) = (rng.u32(..9_999), rng.u32(..40), rng.u8(..9), rng.u64(..));
        writeln!(
            lines,
            r#"{{"name":"api_usage","external_customer_id":"user_{user}","metadata":{{"units":{units},"model":"small-2","region":"eu-north-1","cached":false,"route":"/v{route}/answers","plan":"team","attempt":1,"request":"{request:016x}"}}}}"#
        )
        .unwrap();
    }
    lines
}

async fn pour(sledge: &SledgeProcess) {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut app = sledge.connect().await;
    for _ in 0..POURED / RUN {
        app.write_all(lines(RUN, &mut rng).as_bytes()).await.unwrap();
    }
    app.shutdown().await.unwrap();
    assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "nothing comes back");
}

async fn call(sledge: &SledgeProcess) {
    let mut rng = fastrand::Rng::with_seed(6);
    let (acks, mut app) = sledge.connect().await.into_split();
    let mut acks = BufReader::new(acks).lines();
    app.write_all(b"{\"sledge\":{\"ack\":\"each\"}}\n").await.unwrap();
    for _ in 0..ONE_BY_ONE {
        app.write_all(lines(1, &mut rng).as_bytes()).await.unwrap();
        let ack = acks.next_line().await.unwrap().unwrap();
        assert!(ack.starts_with(r#"{"ok":true"#), "{ack}");
    }
}

/// The most that filling and draining take above a sledge at rest, in KiB.
async fn growths(
    home: &Home,
    volume_bytes: u64,
    events: u64,
    fill: impl AsyncFnOnce(&SledgeProcess),
) -> [u64; 2] {
    let sledge = SledgeProcess::start(command(home, volume_bytes, NOWHERE), home.socket()).await;
    let (at_rest, _) = memory(&sledge);
    fill(&sledge).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") > events as f64 - 0.5).await;
    wait_for_rewriting(home).await;
    let (_, filling) = memory(&sledge);
    sledge.stop().await;
    let polar = SimulateProcess::start().await;
    let sledge = SledgeProcess::start(command(home, volume_bytes, &polar.url()), home.socket()).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
    let (after, draining) = memory(&sledge);
    println!(
        "{events} events: {at_rest} KiB at rest, {filling} at most while it filled, {draining} while it drained, {after} then"
    );
    sledge.stop().await;
    [filling.saturating_sub(at_rest), draining.saturating_sub(at_rest)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_takes_no_more_memory_than_the_volumes_that_are_open_also_while_it_drains() {
    let [small, large] = VOLUME_BYTES;
    let grown = growths(&Home::new(), small, POURED, pour).await;
    assert!(grown.into_iter().all(|kib| kib < GROWTH_KIB_MAX), "{grown:?} KiB above a sledge at rest");
    // Larger volumes are seen to take more.
    let grown = growths(&Home::new(), large, POURED, pour).await;
    assert!(grown.into_iter().any(|kib| kib > GROWTH_KIB_MAX), "{grown:?} KiB above a sledge at rest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_wait_take_no_volume_each_while_the_others_pass() {
    let (home, polar) = (Home::new(), SimulateProcess::start().await);
    let sledge = SledgeProcess::start(command(&home, VOLUME_BYTES[0], &polar.url()), home.socket()).await;
    let (at_rest, _) = memory(&sledge);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut app = sledge.connect().await;
    let due = Clock::system().now() + WAITING_MILLIS;
    for _ in 0..PASSING / PASSING_FOR_ONE {
        app.write_all(lines(PASSING_FOR_ONE - 1, &mut rng).as_bytes()).await.unwrap();
        let waiting = lines(1, &mut rng).replacen('{', &format!(r#"{{"timestamp":{due},"#), 1);
        app.write_all(waiting.as_bytes()).await.unwrap();
    }
    app.shutdown().await.unwrap();
    assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "nothing comes back");
    let waiting = PASSING / PASSING_FOR_ONE;
    let (all, left) = (PASSING as f64 - 0.5, waiting as f64 + 0.5);
    let has_passed = |scrape: &Scrape| {
        scrape.sum("sledge_events_accepted_total") > all && scrape.sum("sledge_pending_events") < left
    };
    sledge.scrape_until(has_passed).await;
    let (then, most) = memory(&sledge);
    println!("{PASSING} events: {at_rest} KiB at rest, {most} at most, {then} with {waiting} of them left");
    let grown = most.saturating_sub(at_rest);
    assert!(grown < GROWTH_WITH_WAITING_KIB_MAX, "{grown} KiB above a sledge at rest");
    let pending = sledge.scrape().await.sum("sledge_pending_events");
    assert!((pending - waiting as f64).abs() < 0.5, "{pending} events still wait");
    // The last volumes come to rest too.
    let begun = Instant::now();
    while memory(&sledge).0 > at_rest + GROWTH_KIB_MAX {
        assert!(begun.elapsed() < PATIENCE, "{} KiB above a sledge at rest", memory(&sledge).0 - at_rest);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sledge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_come_one_by_one_take_no_more_memory_than_others() {
    let grown = growths(&Home::in_memory(), VOLUME_BYTES[0], ONE_BY_ONE, call).await;
    assert!(grown.into_iter().all(|kib| kib < GROWTH_KIB_MAX), "{grown:?} KiB above a sledge at rest");
}
