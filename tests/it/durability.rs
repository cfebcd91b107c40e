//! An ack means on disk: seen at the system calls of the real binary, with controls in which it is not so.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::one_command::run_sledge;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool;
use crate::trace::Trace;

const TRACED: &str = "trace=fdatasync,fsync,sync_file_range,pwrite64,pwritev,write,writev,sendto,sendmsg";

/// The same command under strace, which runs as its grandchild: the process is still sledge, with its own exit code.
fn under_strace(command: &Command, trace: &Path, more: &[String]) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-y", "-ttt", "-s", "8192", "-e", TRACED, "-o"]).arg(trace).args(more);
    strace.env("POLAR_ACCESS_TOKEN", "polar_oat_test");
    let command = command.as_std();
    strace.arg(command.get_program()).args(command.get_args());
    strace
}

/// The trace of a process that has ended, once strace has written all of it.
async fn finished(trace: &Path, process: u32) -> Trace {
    let begun = Instant::now();
    loop {
        let text = String::from_utf8_lossy(&fs::read(trace).unwrap()).into_owned();
        let is_its_end = |line: &str| {
            line.split_once(' ').is_some_and(|(id, _)| id == process.to_string())
                && (line.contains("+++ exited with") || line.contains("+++ killed by"))
        };
        if text.lines().rev().take(64).any(is_its_end) {
            return Trace::parse(&text);
        }
        assert!(begun.elapsed() < PATIENCE, "the trace never came to its end");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// An app that waits for the ack of each event before it sends the next.
struct Patient {
    writer: OwnedWriteHalf,
    acks: Lines<BufReader<OwnedReadHalf>>,
}

impl Patient {
    async fn connect(socket: &Path) -> Self {
        let (reader, mut writer) = UnixStream::connect(socket).await.unwrap().into_split();
        writer.write_all(b"{\"sledge\":{\"ack\":\"each\"}}\n").await.unwrap();
        Self { writer, acks: BufReader::new(reader).lines() }
    }

    /// The answer to one event; `None` when the connection ended instead.
    async fn send(&mut self, line: &str) -> Option<String> {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.ok()?;
        let answer = tokio::time::timeout(PATIENCE, self.acks.next_line()).await.expect("an answer in time");
        answer.unwrap_or_default()
    }
}

fn event(id: &str) -> String {
    format!(r#"{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}"}}"#)
}

fn ack(id: &str) -> String {
    format!(r#"{{"ok":true,"external_id":"{id}"}}"#)
}

/// What each of the three ways to be told yes said, and which event it was about. The ids begin as no other text of an
/// event does, so that compression leaves them in one piece.
const ANSWERED: [(&str, &str); 3] = [
    ("Qline", r#"{"ok":true,"external_id":"Qline"}"#),
    ("Qhttp", r#"{"inserted":1,"duplicates":0}"#),
    ("Qgrant", r#"{"ok":true,"external_id":"Qgrant"}"#),
];

/// One event by NDJSON, one by HTTP, one grant, and `singles` more events one after another; all acknowledged.
async fn trace_of(more: &[String], singles: usize) -> Trace {
    let mut polar = FakePolar::start().await;
    // Nothing is settled, so that every sync is for an event.
    polar.go_away().await;
    let home = Home::new();
    let trace = home.path().join("trace");
    let command = under_strace(&home.run_command(&polar.url()), &trace, more);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let process = sledge.id();
    let mut app = Patient::connect(&home.socket()).await;
    assert_eq!(app.send(&event("Qline")).await, Some(ack("Qline")));
    let (status, body) = sledge.ingest(&format!(r#"{{"events":[{}]}}"#, event("Qhttp"))).await;
    assert_eq!((status, body.as_str()), (200, ANSWERED[1].1));
    let socket = home.socket();
    let words = [
        "grant",
        "10",
        "--customer",
        "user_1",
        "--event",
        "api_usage",
        "--property",
        "units",
        "--id",
        "Qgrant",
    ];
    let granted = run_sledge(&[&words[..], &["--socket", socket.to_str().unwrap()]].concat()).await;
    assert_eq!(granted.code, Some(0), "{granted:?}");
    for number in 0..singles {
        let id = format!("Qsingle-{number}");
        assert_eq!(app.send(&event(&id)).await, Some(ack(&id)));
    }
    drop(app);
    sledge.stop().await;
    finished(&trace, process).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ack_follows_a_real_sync_of_the_file_its_event_is_in() {
    const SINGLES: usize = 50;
    if !tool::strace_is_there() {
        return;
    }
    let trace = trace_of(&[], SINGLES).await;
    for (event, ack) in ANSWERED {
        trace.acked_after_sync(event, ack).unwrap();
    }
    for number in 0..SINGLES {
        let id = format!("Qsingle-{number}");
        trace.acked_after_sync(&id, &ack(&id)).unwrap();
    }
    let syncs = trace.real_journal_syncs();
    println!("{} events acknowledged one after another, {syncs} real syncs", SINGLES + ANSWERED.len());
    assert!(syncs >= SINGLES + ANSWERED.len(), "{syncs} syncs can't be one for each");
}

/// The check must see it when the sync is only made believe.
fn assert_unsynced(trace: &Trace) {
    for (event, ack) in ANSWERED {
        let verdict = trace.acked_after_sync(event, ack).expect_err("the sync was made believe");
        assert!(verdict.contains("was sent before"), "everything else was there: {verdict}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_strace_leaves_out_is_seen_to_be_missing() {
    if !tool::strace_is_there() {
        return;
    }
    let trace = trace_of(&["-e".to_owned(), "inject=fdatasync:retval=0".to_owned()], 0).await;
    assert_unsynced(&trace);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_a_library_swallows_is_seen_to_be_missing() {
    if !tool::strace_is_there() || !tool::is_there("cc", &["--version"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("swallow.c"), folder.path().join("swallow.so"));
    fs::write(&source, "int fdatasync(int fd) { (void)fd; return 0; }\n").unwrap();
    let mut cc = Command::new("cc");
    let built = cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output().await.unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let preload = format!("LD_PRELOAD={}", library.display());
    let trace = trace_of(&["-E".to_owned(), preload], 0).await;
    assert_unsynced(&trace);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_sync_that_failed_nothing_is_acknowledged_and_nothing_acknowledged_is_lost() {
    if !tool::strace_is_there() {
        return;
    }
    let mut polar = FakePolar::start().await;
    // Without settlements, whatever is written and synced after the start is an event.
    polar.go_away().await;
    let home = Home::new();
    let trace = home.path().join("trace");
    // strace counts for each thread, and several of them sync: the first to come to its fourth fails, once.
    let failing = ["-e".to_owned(), "inject=fdatasync:error=EIO:when=4".to_owned()];
    let sledge =
        SledgeProcess::start(under_strace(&home.run_command(&polar.url()), &trace, &failing), home.socket())
            .await;
    let process = sledge.id();
    let mut app = Patient::connect(&home.socket()).await;
    let mut acked = Vec::new();
    let last = loop {
        let id = format!("Qacked-{}", acked.len());
        match app.send(&event(&id)).await {
            Some(answer) if answer == ack(&id) => acked.push(id),
            other => break other,
        }
        assert!(acked.len() < 1_000, "no sync failed");
    };
    // A second app that comes now is not told yes either.
    if let Ok((_, mut writer)) = UnixStream::connect(home.socket()).await.map(UnixStream::into_split) {
        drop(
            writer
                .write_all(format!("{{\"sledge\":{{\"ack\":\"each\"}}}}\n{}\n", event("Qlate")).as_bytes())
                .await,
        );
    }
    let (status, _, log) = sledge.end().await;
    println!("{} acks, then {last:?}, and {status}", acked.len());
    assert_eq!(status.code(), Some(74), "{log}");
    assert!(log.contains("restart sledge once the disk is healthy"), "{log}");
    assert!(!acked.is_empty());
    let trace = finished(&trace, process).await;
    for id in &acked {
        trace.acked_after_sync(id, &ack(id)).unwrap();
    }
    assert_eq!(trace.sent_after_failure(r#"{"ok":true"#), Some(Vec::new()));

    polar.come_back();
    let sledge = home.start(&polar.url()).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let at_polar = polar.simulator.external_ids(0, usize::MAX);
    let at_polar: HashSet<&str> = at_polar.iter().map(|record| record.external_id.as_str()).collect();
    let lost: Vec<_> = acked.iter().filter(|id| !at_polar.contains(id.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

/// Files that sled moved out of its log in any volume of a journal, and how many volumes were looked at.
fn blobs(journal: &Path) -> (Vec<PathBuf>, usize) {
    let (mut found, mut volumes) = (Vec::new(), 0);
    let mut folders = vec![journal.to_owned()];
    while let Some(folder) = folders.pop() {
        // A settled volume may be removed while it is looked at.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                volumes += usize::from(path.file_name().is_some_and(|name| name == "blobs"));
                folders.push(path);
            } else if folder.file_name().is_some_and(|name| name == "blobs") {
                found.push(path);
            }
        }
    }
    (found, volumes)
}

/// Text that does not compress.
fn noise(rng: &mut fastrand::Rng, chars: usize) -> String {
    (0..chars).map(|_| rng.alphanumeric()).collect()
}

/// An event just below the 1 MiB that one may have.
fn huge_event(rng: &mut fastrand::Rng, id: &str) -> String {
    let metadata: Vec<String> =
        (0..2_000).map(|key| format!(r#""k{key:04}":"{}""#, noise(rng, 500))).collect();
    let event = event(id);
    format!(r#"{},"metadata":{{{}}}}}"#, event.trim_end_matches('}'), metadata.join(","))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_however_large_leaves_the_one_file_that_is_synced() {
    let mut polar = FakePolar::start().await;
    polar.go_away().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let mut rng = fastrand::Rng::with_seed(7);
    let mut app = Patient::connect(&home.socket()).await;
    let mut looked_at = 0;
    let mut sent = 0;
    for round in 0..6 {
        let id = format!("huge-{round}");
        let huge = huge_event(&mut rng, &id);
        assert!(huge.len() > 1_000_000 && huge.len() <= 1 << 20, "{} bytes", huge.len());
        assert_eq!(app.send(&huge).await, Some(ack(&id)));
        // The same without an ack, and with a fault: it is kept among the dead letters.
        let faulty = huge.replace("\"k0000\":\"", "\"k0000\":null,\"k\":\"");
        sledge.connect().await.write_all(format!("{faulty}\n").as_bytes()).await.unwrap();
        let events: Vec<String> = (0..4_000)
            .map(|number| {
                let event = event(&format!("group-{round}-{number}"));
                format!(
                    r#"{},"metadata":{{"noise":"{}"}}}}"#,
                    event.trim_end_matches('}'),
                    noise(&mut rng, 200)
                )
            })
            .collect();
        let (status, body) = sledge.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await;
        assert_eq!(status, 200, "{body}");
        sent += 4_001;
        let (found, volumes) = blobs(&home.journal());
        assert!(found.is_empty(), "{found:?}");
        looked_at = looked_at.max(volumes);
    }
    sledge.scrape_until(|scrape| scrape.sum("sledge_events_refused_total") >= 6.0).await;
    polar.come_back();
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    polar.has_events(sent, PATIENCE).await;
    let (found, volumes) = blobs(&home.journal());
    assert!(found.is_empty(), "{found:?}");
    assert!(volumes > 0 && looked_at >= 2, "only {looked_at} volumes were looked at");
    println!("{sent} events up to 1 MiB, {looked_at} volumes, no blob");
}
