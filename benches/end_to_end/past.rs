//! Looking back at what was delivered, and sending it again, while events come in.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Extent;
use super::children::{Polar, Server};
use super::events::Lines;
use super::load::{Load, Outcome, Speech, pour_exactly};
use super::proc_files::rss_and_peak_mib;
use super::table::{count, median, print, short};

/// Events a second while it is looked back.
const PACE: Load = Load::Paced { per_second: 1_000 };
/// A p99 of less time than this is no p99.
const EACH_MIN: Duration = Duration::from_secs(6);

/// Fills the journal with delivered events, explains some of them, and sends all of them again.
pub(crate) fn measure(folder: &Path, extent: &Extent) {
    let events = extent.backlog_events;
    let lines = Arc::new(Lines::new());
    let home = tempfile::tempdir_in(folder).unwrap();
    let polar = Polar::start();
    let server = Server::sledge_that_keeps_all(home.path(), &polar.url());
    say_one(&server, "first");
    pour_exactly(&server.socket, &lines, events - 2);
    say_one(&server, "last");
    polar.wait_for(events);
    while server.metric("sledge_pending_events") > 0.0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut rows = Vec::new();
    let mut say = |what: &str, value: String| {
        eprintln!("  {what}: {value}");
        rows.push(vec![what.to_owned(), value]);
    };

    let peak = |server: &Server| short(rss_and_peak_mib(server.id()).1);
    say("peak RSS before anything is explained, MiB", peak(&server));
    for id in ["first", "last", "unknown"] {
        let took = (0..extent.rounds).map(|_| timed(home.path(), &["explain", id])).collect();
        say(&format!("explain {id}, alone, s"), short(median(took)));
    }
    say("peak RSS after it, MiB", peak(&server));
    let each = extent.each.max(EACH_MIN);
    let (mut alone, mut beside, mut under_load) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..extent.rounds {
        alone.push(PACE.run(&server.socket, Speech::Sledge, &lines, each).wait_ms(0.99));
        let (mut outcome, took) = loaded(&server, &lines, each, || ask(home.path(), "last"));
        beside.push(outcome.wait_ms(0.99));
        under_load.extend(took);
    }
    let mut ratios: Vec<f64> = alone.iter().zip(&beside).map(|(alone, beside)| beside / alone).collect();
    ratios.sort_by(f64::total_cmp);
    say("explain last, with 1,000 events/s coming in, s", short(median(under_load.clone())));
    say("the longest of these, s", short(under_load.iter().copied().fold(0.0, f64::max)));
    say("ack p99 at 1,000 events/s, ms", short(median(alone)));
    say("ack p99 at 1,000 events/s while it is explained without a pause, ms", short(median(beside)));
    say("the latter over the former, median of the rounds", short(median(ratios.clone())));
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    say("least and most of the rounds", format!("{} – {}", short(least), short(most)));

    let (mut outcome, took) =
        loaded(&server, &lines, each, || timed(home.path(), &["replay", "--since", "1d"]));
    say("replay of all of it, with 1,000 events/s coming in, s", short(took[0]));
    say("events put back a second", count(events as f64 / took[0]));
    say("ack p99 at 1,000 events/s at that, ms", short(outcome.wait_ms(0.99)));
    drop((server, polar));
    print(&format!("The past: {} delivered events are kept", count(events as f64)), &["", "measured"], &rows);
}

/// Runs the load, and beside it the work again and again: at least once, and until the load ends.
fn loaded(
    server: &Server,
    lines: &Arc<Lines>,
    each: Duration,
    work: impl Fn() -> f64 + Send + Sync,
) -> (Outcome, Vec<f64>) {
    std::thread::scope(|scope| {
        let load = scope.spawn(|| PACE.run(&server.socket, Speech::Sledge, lines, each));
        let mut took = vec![work()];
        while !load.is_finished() && took.len() < 1_000 && took[0] < each.as_secs_f64() {
            took.push(work());
        }
        (load.join().unwrap(), took)
    })
}

/// How long the daemon takes to explain an event. Asked as the command asks it, without the start of a process, which would
/// take time from whoever sends at that moment.
fn ask(home: &Path, id: &str) -> f64 {
    let body = format!("{{\"external_id\":\"{id}\"}}");
    let begun = Instant::now();
    let mut stream = UnixStream::connect(home.join("data/admin.sock")).unwrap();
    let head =
        "POST /explain HTTP/1.1\r\nhost: sledge\r\ncontent-type: application/json\r\nconnection: close";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    begun.elapsed().as_secs_f64()
}

/// How long the command takes, in seconds, its start included.
fn timed(home: &Path, words: &[&str]) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sledge"));
    command.args(words).arg("--data-dir").arg(home.join("data")).env_clear();
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let is_done = output.status.success() || (words[1] == "unknown" && output.status.code() == Some(1));
    assert!(is_done, "{}", String::from_utf8_lossy(&output.stderr));
    begun.elapsed().as_secs_f64()
}

/// One event that can be asked for later.
fn say_one(server: &Server, id: &str) {
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    let line =
        format!("{{\"name\":\"api_usage\",\"external_customer_id\":\"c\",\"external_id\":\"{id}\"}}\n");
    stream.write_all(line.as_bytes()).unwrap();
}
