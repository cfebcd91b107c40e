//! The real binary under load, beside what this disk and a server that does nothing else can do.
//!
//! `cargo bench --bench end_to_end` takes about five minutes, `cargo bench --bench end_to_end -- --quick` half a
//! minute. The words `acks`, `delivery`, `backlog` and `idle` choose parts, `--load TEXT` the loads with this in their
//! names, `--seconds N` how long each runs; `--against PATH` compares with another build instead. `singles` is a backlog
//! of events that came one by one, `past` looks back at what was delivered and sends it again, `pending` has counted what
//! each customer has pending, and asks, `waiting` keeps a few events while the others pass: these run only when they are
//! asked for. `--events N` says how large a backlog is, and how much was delivered. Absolute figures follow the disk's mood; compare those of one run only.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench prints, counts in floats, and may stop at the first surprise"
)]

mod ack_tables;
mod backlog;
mod children;
mod events;
mod limit_server;
mod load;
mod past;
mod pending;
mod proc_files;
mod raw_file;
mod table;
mod waiting;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long everything runs.
struct Extent {
    rounds: usize,
    each: Duration,
    idle: Duration,
    backlog_events: u64,
    /// Only loads with this in their names.
    load: String,
    /// Another build of sledge to compare with.
    against: Option<PathBuf>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, socket, file, acks] = arguments.as_slice()
        && word == limit_server::WORD
    {
        return limit_server::serve(socket.as_ref(), file.as_ref(), acks == limit_server::ACKS);
    }
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let only = |part: &str| {
        let parts = ["acks", "delivery", "backlog", "idle", "singles", "past", "pending", "waiting"];
        !parts.into_iter().any(has) || has(part)
    };
    let after = |word: &str| arguments.iter().skip_while(|argument| *argument != word).nth(1).cloned();
    let load = after("--load").unwrap_or_default();
    let against = after("--against").map(PathBuf::from);
    let mut extent = if has("--quick") {
        Extent {
            rounds: 1,
            each: Duration::from_millis(900),
            idle: Duration::from_secs(3),
            backlog_events: 1_000_000,
            load,
            against,
        }
    } else {
        Extent {
            rounds: 5,
            each: Duration::from_millis(1_500),
            idle: Duration::from_secs(10),
            backlog_events: 1_000_000,
            load,
            against,
        }
    };
    if let Some(seconds) = after("--seconds") {
        extent.each = Duration::from_secs_f64(seconds.parse().unwrap());
    }
    if let Some(events) = after("--events") {
        extent.backlog_events = events.parse().unwrap();
    }
    let folder = tempfile::Builder::new().prefix("end-to-end-").tempdir_in(home()).unwrap();
    let begun = Instant::now();
    println!("{}\n", proc_files::machine(folder.path()));
    if let Some(against) = extent.against.clone() {
        return ack_tables::compared(folder.path(), &extent, &against);
    }
    if only("acks") {
        ack_tables::journal_alone(folder.path(), &extent);
    }
    if only("delivery") {
        ack_tables::while_delivering(folder.path(), &extent);
    }
    if only("backlog") {
        backlog::poured(folder.path(), &extent);
    }
    if has("singles") {
        backlog::one_by_one(folder.path(), &extent);
    }
    if has("past") {
        past::measure(folder.path(), &extent);
    }
    if has("pending") {
        pending::measure(folder.path(), &extent);
    }
    if has("waiting") {
        waiting::measure(folder.path(), &extent);
    }
    if only("idle") {
        backlog::idle(folder.path(), &extent);
    }
    println!("took {:.0} s", begun.elapsed().as_secs_f64());
}

/// Where the journals lie: on the disk of the build, not in a temporary folder that may be memory.
fn home() -> PathBuf {
    let given = std::env::var_os("SLEDGE_BENCH_DIR").map(PathBuf::from);
    let home = given.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    std::fs::create_dir_all(&home).unwrap();
    home
}
