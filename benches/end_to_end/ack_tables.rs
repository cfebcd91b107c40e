//! How fast events are taken: sledge, the limit server and the raw file, turn and turn about.

use std::path::Path;
use std::sync::Arc;

use super::Extent;
use super::children::{NOWHERE, Polar, Server};
use super::events::Lines;
use super::load::{Load, Speech};
use super::proc_files::{cpu, rss_and_peak_mib};
use super::raw_file::groups_per_second;
use super::table::{count, median, print, short};

const LOADS: &[(&str, Load)] = &[
    ("1 caller waiting", Load::Callers(1)),
    ("64 callers, each waiting", Load::Callers(64)),
    ("8 connections × 64 in flight", Load::Pipelined { connections: 8, in_flight: 64 }),
    ("8 connections × 128 in flight", Load::Pipelined { connections: 8, in_flight: 128 }),
    ("8 connections, no acks", Load::Unacked { connections: 8 }),
    ("HTTP, 64 callers, 1 event each", Load::HttpCallers { callers: 64, events: 1 }),
    ("HTTP, 64 callers, 100 events each", Load::HttpCallers { callers: 64, events: 100 }),
    ("1,000 events/s", Load::Paced { per_second: 1_000 }),
    ("10,000 events/s", Load::Paced { per_second: 10_000 }),
];

/// One server under one load, once.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    cpu_us: f64,
    peak_mib: f64,
    /// Events that shared a sync.
    group: f64,
    /// A second's events that reached Polar, and what Polar's stand-in took for each.
    delivered_per_second: f64,
    polar_us: f64,
}

fn run(server: &Server, speech: Speech, load: Load, lines: &Arc<Lines>, extent: &Extent) -> Figures {
    let cpu_before = cpu(server.id());
    let mut outcome = load.run(&server.socket, speech, lines, extent.each);
    let spent = cpu(server.id()) - cpu_before;
    Figures {
        per_second: outcome.per_second(),
        p50: outcome.wait_ms(0.5),
        p99: outcome.wait_ms(0.99),
        p999: outcome.wait_ms(0.999),
        cpu_us: spent.as_secs_f64() * 1e6 / outcome.events as f64,
        peak_mib: rss_and_peak_mib(server.id()).1,
        ..Figures::default()
    }
}

fn sledge(folder: &Path, load: Load, lines: &Arc<Lines>, extent: &Extent) -> Figures {
    sledge_of(Path::new(env!("CARGO_BIN_EXE_sledge")), folder, load, lines, extent)
}

fn sledge_of(binary: &Path, folder: &Path, load: Load, lines: &Arc<Lines>, extent: &Extent) -> Figures {
    let home = tempfile::tempdir_in(folder).unwrap();
    let server = Server::sledge_of(binary, home.path(), NOWHERE);
    let figures = run(&server, Speech::Sledge, load, lines, extent);
    let group = server.metric("sledge_commit_events_sum") / server.metric("sledge_commit_events_count");
    Figures { group, ..figures }
}

fn limit(folder: &Path, load: Load, lines: &Arc<Lines>, extent: &Extent) -> Figures {
    let home = tempfile::tempdir_in(folder).unwrap();
    let server = Server::limit(home.path(), !matches!(load, Load::Unacked { .. }));
    run(&server, Speech::Limit, load, lines, extent)
}

/// This build and another, turn and turn about: this one's figures over the other's, the median of all rounds.
pub(crate) fn compared(folder: &Path, extent: &Extent, against: &Path) {
    let lines = Arc::new(Lines::new());
    let mut rows = Vec::new();
    for (name, load) in LOADS.iter().filter(|(name, _)| name.contains(&extent.load)) {
        let pairs: Vec<(Figures, Figures)> = (0..extent.rounds)
            .map(|_| {
                let theirs = sledge_of(against, folder, *load, &lines, extent);
                (sledge(folder, *load, &lines, extent), theirs)
            })
            .collect();
        let ratio = |figure: fn(&Figures) -> f64| {
            short(median(pairs.iter().map(|(ours, theirs)| figure(ours) / figure(theirs)).collect()))
        };
        rows.push(vec![
            (*name).to_owned(),
            ratio(|figures| figures.per_second),
            ratio(|figures| figures.p50),
            ratio(|figures| figures.p99),
            ratio(|figures| figures.cpu_us),
            ratio(|figures| figures.peak_mib),
        ]);
        eprintln!("  {}", rows[rows.len() - 1].join("  "));
    }
    let head = ["this build over the other", "acked events/s", "p50", "p99", "CPU/event", "peak RSS"];
    print("Compared", &head, &rows);
}

/// What a request over HTTP is to the limit server: a line, or as many lines in flight.
fn as_lines(load: Load) -> Load {
    match load {
        Load::HttpCallers { callers, events: 1 } => Load::Callers(callers),
        Load::HttpCallers { callers, events } => Load::Pipelined { connections: callers, in_flight: events },
        load => load,
    }
}

/// The journal alone: Polar is down, everything stays.
pub(crate) fn journal_alone(folder: &Path, extent: &Extent) {
    let lines = Arc::new(Lines::new());
    let (mut sledge_rows, mut limit_rows) = (Vec::new(), Vec::new());
    for (name, load) in LOADS.iter().filter(|(name, _)| name.contains(&extent.load)) {
        let (mut ours, mut theirs, mut of_limit, mut of_raw) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..extent.rounds {
            let figures = sledge(folder, *load, &lines, extent);
            let limit = limit(folder, as_lines(*load), &lines, extent);
            let group_bytes = figures.group * lines.line_bytes() as f64;
            let raw = groups_per_second(folder, group_bytes as usize, extent.each / 4) * figures.group;
            of_limit.push(figures.per_second / limit.per_second);
            of_raw.push(figures.per_second / raw);
            ours.push(figures);
            theirs.push(limit);
        }
        let group = short(median(ours.iter().map(|figures| figures.group).collect()));
        let ratios = [short(median(of_limit)), short(median(of_raw))];
        let is_paced = matches!(load, Load::Paced { .. });
        let [of_limit, of_raw] = if is_paced { [String::from("–"), String::from("–")] } else { ratios };
        sledge_rows.push([vec![(*name).to_owned(), of_limit, of_raw], cells(&ours), vec![group]].concat());
        limit_rows.push([vec![(*name).to_owned()], cells(&theirs)].concat());
        eprintln!("  {}", sledge_rows[sledge_rows.len() - 1].join("  "));
    }
    let figures = ["acked events/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU µs/event", "peak RSS MiB"];
    let head = [&["sledge", "of the limit", "of a raw file"], &figures[..], &["events per sync"]].concat();
    print("Acknowledged events, Polar down", &head, &sledge_rows);
    print("The limit server, same loads as lines", &[&["limit"], &figures[..]].concat(), &limit_rows);
}

fn cells(all: &[Figures]) -> Vec<String> {
    let of = |figure: fn(&Figures) -> f64| median(all.iter().map(figure).collect());
    vec![
        count(of(|figures| figures.per_second)),
        short(of(|figures| figures.p50)),
        short(of(|figures| figures.p99)),
        short(of(|figures| figures.p999)),
        short(of(|figures| figures.cpu_us)),
        short(of(|figures| figures.peak_mib)),
    ]
}

/// The whole way: taken, kept, and delivered to a Polar in memory at the same time.
pub(crate) fn while_delivering(folder: &Path, extent: &Extent) {
    let lines = Arc::new(Lines::new());
    let loads: Vec<_> = LOADS
        .iter()
        .filter(|(name, load)| name.contains(&extent.load) && !matches!(load, Load::Callers(1)))
        .collect();
    let mut rows = Vec::new();
    for (name, load) in loads {
        let rounds = extent.rounds.min(3);
        let all: Vec<Figures> = (0..rounds).map(|_| delivering(folder, *load, &lines, extent)).collect();
        let of = |figure: fn(&Figures) -> f64| median(all.iter().map(figure).collect());
        let mut row = [vec![(*name).to_owned()], cells(&all)].concat();
        row.push(count(of(|figures| figures.delivered_per_second)));
        row.push(short(of(|figures| figures.polar_us)));
        rows.push(row);
        eprintln!("  {}", rows[rows.len() - 1].join("  "));
    }
    let head = [
        "sledge",
        "acked events/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "CPU µs/event, delivery included",
        "peak RSS MiB",
        "end to end events/s",
        "CPU µs/event of the simulator",
    ];
    print("Acknowledged and delivered at the same time", &head, &rows);
}

fn delivering(folder: &Path, load: Load, lines: &Arc<Lines>, extent: &Extent) -> Figures {
    let home = tempfile::tempdir_in(folder).unwrap();
    let polar = Polar::start();
    let server = Server::sledge(home.path(), &polar.url());
    let (cpu_before, begun) = (cpu(server.id()), std::time::Instant::now());
    let figures = run(&server, Speech::Sledge, load, lines, extent);
    let events = server.metric("sledge_events_accepted_total");
    polar.wait_for(events as u64);
    let took = begun.elapsed();
    Figures {
        cpu_us: (cpu(server.id()) - cpu_before).as_secs_f64() * 1e6 / events,
        peak_mib: rss_and_peak_mib(server.id()).1,
        delivered_per_second: events / took.as_secs_f64(),
        polar_us: cpu(polar.id()).as_secs_f64() * 1e6 / events,
        ..figures
    }
}
