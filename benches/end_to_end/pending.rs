//! What it costs to count what each customer has pending, and how soon the question for it is answered.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Extent;
use super::children::{NOWHERE, Server};
use super::events::Lines;
use super::load::{Load, Outcome, Speech, pour_exactly};
use super::proc_files::cpu;
use super::table::{count, median, print, short};

/// More than the customers of the lines.
const CUSTOMERS_MAX: &str = "100000";
/// What costs the writer most, each in its way: many events in each group, and a group for nearly each event.
const LOADS: [(&str, Load); 3] = [
    ("8 connections × 64 in flight", Load::Pipelined { connections: 8, in_flight: 64 }),
    ("64 callers, each waiting", Load::Callers(64)),
    ("1,000 events/s", Load::Paced { per_second: 1_000 }),
];
/// Questions for one figure.
const QUESTIONS: usize = 2_000;
/// Answers that are this late end the bench: something is wrong.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes events with the counts and without, turn and turn about; then asks while a backlog is pending.
pub(crate) fn measure(folder: &Path, extent: &Extent) {
    let lines = Arc::new(Lines::new());
    let cost: Vec<Vec<String>> =
        LOADS.into_iter().map(|(name, load)| cost(folder, extent, &lines, name, load)).collect();
    let head = [
        "",
        "off: acked events/s",
        "p99 ms",
        "CPU µs/event",
        "on: acked events/s",
        "p99 ms",
        "CPU µs/event",
        "on over off: rate",
        "p99",
        "CPU",
    ];
    print("Counting what customers have pending", &head, &cost);

    let home = tempfile::tempdir_in(folder).unwrap();
    let server = counting(home.path());
    pour_exactly(&server.socket, &lines, extent.backlog_events);
    server.wait_for_pending(extent.backlog_events);
    let customer = lines.customer();
    let mut quiet = asked(&server.socket, &customer, QUESTIONS);
    let (mut beside, mut load) = std::thread::scope(|scope| {
        let (_, paced) = LOADS[2];
        let each = extent.each.max(Duration::from_secs(3));
        let load = scope.spawn({
            let (socket, lines) = (&server.socket, &lines);
            move || paced.run(socket, Speech::Sledge, lines, each)
        });
        let asked = asked(&server.socket, &customer, QUESTIONS);
        (asked, load.join().unwrap())
    });
    let row = |what: &str, outcome: &mut Outcome| {
        [0.5, 0.99, 0.999].iter().fold(vec![what.to_owned()], |mut row, part| {
            row.push(short(outcome.wait_ms(*part)));
            row
        })
    };
    let rows = vec![
        row("the answer, nothing else going on", &mut quiet),
        row("the answer, with 1,000 events/s coming in", &mut beside),
        row("an ack of these", &mut load),
    ];
    let title =
        format!("Asking what a customer has pending: {} events are", count(extent.backlog_events as f64));
    print(&title, &["", "p50 ms", "p99 ms", "p99.9 ms"], &rows);
}

fn counting(home: &Path) -> Server {
    Server::sledge_with(home, NOWHERE, &[("SLEDGE_PENDING_CUSTOMERS_MAX", CUSTOMERS_MAX.to_owned())])
}

fn cost(folder: &Path, extent: &Extent, lines: &Arc<Lines>, name: &str, load: Load) -> Vec<String> {
    let (mut off, mut on): (Vec<[f64; 3]>, Vec<[f64; 3]>) = (Vec::new(), Vec::new());
    for round in 0..extent.rounds {
        // Who comes first has no advantage in the end.
        for counts in [round % 2 == 0, round % 2 != 0] {
            let home = tempfile::tempdir_in(folder).unwrap();
            let server = if counts { counting(home.path()) } else { Server::sledge(home.path(), NOWHERE) };
            let cpu_before = cpu(server.id());
            let mut outcome = load.run(&server.socket, Speech::Sledge, lines, extent.each);
            let spent = (cpu(server.id()) - cpu_before).as_secs_f64() * 1e6 / outcome.events as f64;
            let measured = [outcome.per_second(), outcome.wait_ms(0.99), spent];
            if counts { on.push(measured) } else { off.push(measured) }
        }
    }
    let of = |rounds: &[[f64; 3]], which: usize| median(rounds.iter().map(|round| round[which]).collect());
    let ratio = |which: usize| median(on.iter().zip(&off).map(|(on, off)| on[which] / off[which]).collect());
    let ratios = [0, 1, 2].map(|which| short(ratio(which)));
    eprintln!("  {name}: rate, p99 and CPU with the counts over those without: {}", ratios.join(", "));
    let mut row = vec![name.to_owned()];
    for measured in [&off, &on] {
        row.extend([count(of(measured, 0)), short(of(measured, 1)), short(of(measured, 2))]);
    }
    row.extend(ratios);
    row
}

/// Asks again and again over one connection: how long each answer took.
fn asked(socket: &Path, customer: &str, questions: usize) -> Outcome {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let question =
        format!("GET /sledge/v1/pending?external_customer_id={customer} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut outcome = Outcome::default();
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    for _ in 0..questions {
        answer.clear();
        let begun = Instant::now();
        stream.write_all(question.as_bytes()).unwrap();
        while !answer.ends_with(b"}") {
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "the server hung up");
            answer.extend_from_slice(&part[..read]);
        }
        outcome.waits.push(begun.elapsed().as_micros() as u32);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    let told = String::from_utf8_lossy(&answer);
    assert!(told.contains("\"complete\":true") && told.contains("\"events\":"), "it was counted: {told}");
    outcome
}
