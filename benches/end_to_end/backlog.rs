//! What a backlog costs, how fast it drains, and what sledge does when there is nothing to do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Extent;
use super::children::{NOWHERE, Polar, Server};
use super::events::Lines;
use super::load::{call_exactly, pour_exactly};
use super::proc_files::{disk_bytes, rss_and_peak_mib, threads, wakes};
use super::table::{count, median, print, short};

/// Long enough for the writer to tidy up after the last group.
const SETTLE: Duration = Duration::from_millis(1_500);
/// The journal counts as being at rest when its size has not changed for so long.
const AT_REST: Duration = Duration::from_secs(3);
const STARTS: usize = 3;
const MIB: f64 = (1 << 20) as f64;
/// Where the memory is looked at on the way.
const LOOKS: [u64; 3] = [100_000, 1_000_000, 10_000_000];

/// Events as fast as they are taken, many in a block.
pub(crate) fn poured(folder: &Path, extent: &Extent) {
    let title = format!("A backlog of {} events", count(extent.backlog_events as f64));
    measure(folder, &title, extent.backlog_events, pour_exactly);
}

/// Events from one caller who waits for each ack: every one of them is a block of its own at first.
pub(crate) fn one_by_one(folder: &Path, extent: &Extent) {
    let title = format!("A backlog of {} events, accepted one by one", count(extent.backlog_events as f64));
    measure(folder, &title, extent.backlog_events, call_exactly);
}

/// Fills the journal, starts on it, and drains it.
fn measure(folder: &Path, title: &str, events: u64, fill: fn(&Path, &Lines, u64)) {
    let lines = Lines::new();
    let home = tempfile::tempdir_in(folder).unwrap();
    let journal = home.path().join("data/journal");
    let mut rows = Vec::new();
    let mut say = |what: &str, value: String| {
        eprintln!("  {what}: {value}");
        rows.push(vec![what.to_owned(), value]);
    };

    say("start on an empty journal, ms", start_ms(home.path(), true).0);
    let server = Server::sledge(home.path(), NOWHERE);
    let empty_disk = disk_bytes(&journal);
    let rss = |server: &Server| {
        std::thread::sleep(SETTLE);
        let (now, peak) = rss_and_peak_mib(server.id());
        format!("{} (peak {})", short(now), short(peak))
    };
    say("RSS with nothing pending, MiB", rss(&server));
    let mut filled = 0;
    for look in LOOKS.into_iter().filter(|look| *look < events).chain([events]) {
        let begun = Instant::now();
        fill(&server.socket, &lines, look - filled);
        let per_second = (look - filled) as f64 / begun.elapsed().as_secs_f64();
        filled = look;
        server.wait_for_pending(filled);
        let pending = count(filled as f64);
        say(&format!("filled up to {pending} pending, events/s"), count(per_second));
        say(&format!("RSS with {pending} pending, MiB"), rss(&server));
    }
    let disk = disk_at_rest(&journal) - empty_disk;
    say("disk for each pending event, bytes", short(disk as f64 / events as f64));
    say("RSS once the journal is at rest, MiB", rss(&server));
    say("stop, ms", short(server.stop().as_secs_f64() * 1e3));
    let (clean, rss_after) = start_ms(home.path(), true);
    say("start on it after a clean stop, ms", clean);
    say("RSS after that start, MiB", rss_after);
    say("start on it after kill -9, ms", start_ms(home.path(), false).0);

    let polar = Polar::start();
    let server = Server::sledge(home.path(), &polar.url());
    let begun = Instant::now();
    polar.wait_for(events);
    let drained = events as f64 / begun.elapsed().as_secs_f64();
    say("drain, events/s", count(drained));
    say("RSS after the drain, MiB", rss(&server));
    let ballast = std::fs::metadata(journal.join("ballast")).map_or(0, |metadata| metadata.len());
    let kept = disk_at_rest(&journal) - ballast;
    say(
        "disk after the drain beside the ballast, settled volumes still retained, MiB",
        short(kept as f64 / MIB),
    );
    drop((server, polar));
    print(title, &["", "measured"], &rows);
}

/// What the journal takes once nothing is rewritten or removed any more.
fn disk_at_rest(journal: &Path) -> u64 {
    let (mut bytes, mut since) = (disk_bytes(journal), Instant::now());
    while since.elapsed() < AT_REST {
        std::thread::sleep(Duration::from_millis(100));
        let now = disk_bytes(journal);
        if now != bytes {
            (bytes, since) = (now, Instant::now());
        }
    }
    bytes
}

/// Starts on what is there, ends it cleanly or not, and says the time to ready and the memory then.
fn start_ms(home: &Path, cleanly: bool) -> (String, String) {
    let (mut starts, mut rss) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let server = Server::sledge(home, NOWHERE);
        starts.push(server.ready_after.as_secs_f64() * 1e3);
        rss.push(rss_and_peak_mib(server.id()).0);
        if cleanly {
            server.stop();
        }
    }
    // The first start after a kill -9 is what counts; the one before it ended otherwise.
    if !cleanly {
        starts.remove(0);
    }
    (short(median(starts)), short(median(rss)))
}

/// What sledge does when nobody wants anything.
pub(crate) fn idle(folder: &Path, extent: &Extent) {
    let home = tempfile::tempdir_in(folder).unwrap();
    let polar = Polar::start();
    let server = Server::sledge(home.path(), &polar.url());
    pour_exactly(&server.socket, &Lines::new(), 1_000);
    polar.wait_for(1_000);
    std::thread::sleep(SETTLE);
    let before = wakes(server.id());
    std::thread::sleep(extent.idle);
    let after = wakes(server.id());
    let seconds = extent.idle.as_secs_f64();
    let mut by_name = BTreeMap::<&str, f64>::new();
    for (number, (name, count)) in &after {
        let known = before.get(number).map_or(0, |(_, count)| *count);
        *by_name.entry(name).or_default() += (count - known) as f64 / seconds;
    }
    let total: f64 = by_name.values().sum();
    let mut rows = vec![vec!["wake-ups a second, all threads".to_owned(), format!("{total:.1}")]];
    let awake = by_name.iter().filter(|(_, per_second)| **per_second > 0.0);
    rows.extend(awake.map(|(name, per_second)| vec![format!("thread {name}"), format!("{per_second:.1}")]));
    rows.push(vec!["threads".into(), threads(server.id()).to_string()]);
    rows.push(vec!["RSS, MiB".into(), short(rss_and_peak_mib(server.id()).0)]);
    print("Idle, after 1,000 events were delivered", &["", "measured"], &rows);
}
