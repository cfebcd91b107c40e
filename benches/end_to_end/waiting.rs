//! What it costs to keep a few events for minutes while all others pass.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use sledge::clock::Clock;

use super::Extent;
use super::children::{Polar, Server};
use super::events::{Lines, RUN_MAX};
use super::proc_files::rss_and_peak_mib;
use super::table::{count, print, short};

/// Of so many events one has a time that is still to come.
const PASSING_FOR_ONE: u64 = 2_000;
/// As long as an event may wait, but for the start.
const WAITING_MILLIS: u64 = 290_000;
/// How long volumes are left alone before they are closed, and more.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// Sends events through, one in so many of which stays, and looks at the memory.
pub(crate) fn measure(folder: &Path, extent: &Extent) {
    let (home, polar) = (tempfile::tempdir_in(folder).unwrap(), Polar::start());
    let server = Server::sledge(home.path(), &polar.url());
    let (nothing, _) = rss_and_peak_mib(server.id());
    let waiting = extent.backlog_events / PASSING_FOR_ONE;
    pour(&server.socket, &Lines::new(), waiting);
    polar.wait_for(waiting * (PASSING_FOR_ONE - 1));
    let (then, peak) = rss_and_peak_mib(server.id());
    std::thread::sleep(LEFT_ALONE);
    let (later, _) = rss_and_peak_mib(server.id());
    let still = server.metric("sledge_pending_events");
    assert!((still - waiting as f64).abs() < 0.5, "{still} events wait, not {waiting}");
    let rows = [
        ("RSS before, MiB", short(nothing)),
        ("peak RSS while they pass, MiB", short(peak)),
        ("RSS once the others are delivered, MiB", short(then)),
        ("RSS ten seconds later, MiB", short(later)),
    ];
    let title =
        format!("{} events pass, {} stay", count(extent.backlog_events as f64), count(waiting as f64));
    print(&title, &["", "measured"], &rows.map(|(what, value)| vec![what.to_owned(), value]));
}

/// Sends lines without acks, one in so many of them with a time to come, and waits until they are on disk.
fn pour(socket: &Path, lines: &Lines, waiting: u64) {
    let due = Clock::system().now() + WAITING_MILLIS;
    let due = format!("{{\"timestamp\":{due},");
    let mut stream = UnixStream::connect(socket).unwrap();
    let mut number = 0;
    for _ in 0..waiting {
        let mut left = PASSING_FOR_ONE as usize - 1;
        while left > 0 {
            let run = left.min(RUN_MAX);
            stream.write_all(lines.run(number, run)).unwrap();
            (number, left) = (number + run, left - run);
        }
        let line = String::from_utf8_lossy(lines.run(number, 1)).replacen('{', &due, 1);
        stream.write_all(line.as_bytes()).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "nothing comes back");
}
