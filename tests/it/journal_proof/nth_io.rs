//! The n-th write, sync, creation, renaming or removal fails, whichever it is: at the start, in a commit, while volumes
//! are begun, closed, settled and deleted, at the end.

use std::collections::{BTreeMap, HashSet};
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;

use super::aftermath::Aftermath;
use super::disk_shim::{DiskShim, Trouble, root_of};
use super::platter::{Fate, Platter};
use super::recording::{EIO, ENOSPC, Failure, Recording};
use crate::fake_polar::FakePolar;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool::number_from;

/// Every so many operations one is made to fail; 0 spreads a few over the life. The long form, all of them:
/// `SLEDGE_NTH_STRIDE=1 cargo test --test it -- --nocapture nth_io`.
fn stride() -> usize {
    number_from("SLEDGE_NTH_STRIDE", 0)
}

/// Runs of each kind of failure where no stride is given.
const FEW: usize = 4;
/// Lives at a time: most of each is waiting.
const AT_ONCE: usize = 3;
/// A process that can't write says so and goes.
const EXITS_WITHIN: Duration = Duration::from_secs(5);
/// `sysexits.h`: a disk that fails, and one that has no room to start on.
const EX_IOERR: i32 = 74;
const EX_TEMPFAIL: i32 = 75;

/// How a life ended.
struct Life {
    acked: Vec<String>,
    status: ExitStatus,
    log: String,
    ended: SystemTime,
    recording: Recording,
    home: Home,
    polar: FakePolar,
}

#[expect(clippy::disallowed_methods, reason = "the shim's log has the system's time too")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// A short life that does everything once: it starts, commits single events and bursts that fill volumes while Polar is
/// away, has them read, settled and deleted when Polar is back, commits again, and stops.
async fn live(shim: &DiskShim, name: &str, trouble: Trouble) -> Life {
    let mut polar = FakePolar::start().await;
    polar.go_away().await;
    let home = Home::in_memory();
    let command = shim.under(command(&home, &polar), &home, name, trouble);
    let mut acked = Vec::new();
    let (status, log) = match SledgeProcess::try_start(command, home.socket()).await {
        Err(ended) => ended,
        Ok(mut sledge) => {
            drop(send(&home, &["single-0", "single-1"], 10, &mut acked).await);
            for burst in 0..6 {
                let ids: Vec<String> = (0..48).map(|at| format!("burst-{burst}-{at}")).collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                drop(send(&home, &ids, 9_000, &mut acked).await);
            }
            polar.come_back();
            let begun = Instant::now();
            while sledge.is_running() && polar.simulator.state().events_inserted < acked.len() as u64 {
                assert!(begun.elapsed() < PATIENCE, "what was acknowledged is not delivered");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            drop(send(&home, &["last"], 10, &mut acked).await);
            let (status, _, log) = if sledge.is_running() { sledge.stop().await } else { sledge.end().await };
            (status, log)
        }
    };
    let ended = now();
    Life { acked, status, log, ended, recording: shim.recording(name), home, polar }
}

fn command(home: &Home, polar: &FakePolar) -> Command {
    let mut command = home.run_command(&polar.url());
    command.env("SLEDGE_JOURNAL_VOLUME_BYTES", "1048576").env("SLEDGE_JOURNAL_RETENTION_SECONDS", "0");
    command.env("SLEDGE_JOURNAL_BALLAST_BYTES", "65536");
    command
}

/// Sends these events together and notes which are acknowledged; ends when sledge does.
async fn send(home: &Home, ids: &[&str], noise_chars: usize, acked: &mut Vec<String>) -> std::io::Result<()> {
    let mut lines = "{\"sledge\":{\"ack\":\"each\"}}\n".to_owned();
    for (number, id) in ids.iter().enumerate() {
        let units = if number % 10 == 0 { -1 } else { 1 };
        let noise: String = (0..noise_chars.div_ceil(400))
            .map(|at| {
                let chars: String = (0..400).map(|_| fastrand::alphanumeric()).collect();
                format!(",\"noise{at}\":\"{chars}\"")
            })
            .collect();
        lines.push_str(&format!(
            "{{\"name\":\"api_usage\",\"external_customer_id\":\"user_1\",\"external_id\":\"{id}\",\"metadata\":{{\"units\":{units}{noise}}}}}\n"
        ));
    }
    let mut stream = UnixStream::connect(home.socket()).await?;
    let (reader, mut writer) = stream.split();
    let mut acks = BufReader::new(reader).lines();
    writer.write_all(lines.as_bytes()).await?;
    for id in ids {
        let ack = tokio::time::timeout(PATIENCE, acks.next_line()).await.expect("an answer in time")?;
        if ack == Some(format!("{{\"ok\":true,\"external_id\":\"{id}\"}}")) {
            acked.push((*id).to_owned());
        }
    }
    Ok(())
}

/// What became of the operation that failed.
#[derive(Debug)]
struct Verdict {
    what: String,
    failure: Option<Failure>,
    exited: bool,
    took: Duration,
    log: String,
}

/// Lives with this trouble and checks everything that must hold.
async fn suffer(shim: &DiskShim, nth: usize, errno: i32, on: bool) -> Verdict {
    let name = format!("{nth}-{errno}-{on}");
    let mut life = live(shim, &name, Trouble::Failing { nth, errno, on }).await;
    let failure = life.recording.failures().into_iter().next();
    let what = format!("SHIM_FAIL=\"{nth} {errno} {on}\" ({failure:?})");
    let failed_at = failure
        .as_ref()
        .map_or(life.ended, |failure| UNIX_EPOCH + Duration::from_nanos(failure.nanos_since_1970));
    let exited = match life.status.code() {
        Some(0) => false,
        Some(EX_IOERR) => true,
        Some(EX_TEMPFAIL) if errno != EIO && life.acked.is_empty() => true,
        _ => panic!("{what}: {}\n{}", life.status, life.log),
    };
    let took = life.ended.duration_since(failed_at).unwrap_or_default();
    // No ack without a sync that was done: the worst disk holds everything that was acknowledged.
    let told = life.recording.told(life.recording.happened.len());
    let place = Home::in_memory();
    let disk = place.path().join("disk");
    let platter = Platter::at(&life.recording, life.recording.happened.len());
    platter.lay_out(&mut Fate::AllLost, &root_of(&life.home), &disk);
    let found = Aftermath::of(&disk).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let lost: Vec<_> =
        found.lacks(&told.acked).into_iter().filter(|id| !told.sent_to_polar.contains(*id)).collect();
    assert!(lost.is_empty(), "{what}: acknowledged and not on the worst disk: {lost:?}\n{}", life.log);
    // And the next start, on a disk that works again, delivers all of it.
    life.polar.go_away().await;
    life.polar.come_back();
    let sledge = SledgeProcess::start(command(&life.home, &life.polar), life.home.socket()).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    sledge.stop().await;
    let at_polar: HashSet<String> = life
        .polar
        .simulator
        .external_ids(0, usize::MAX)
        .into_iter()
        .map(|record| record.external_id)
        .collect();
    let lost: Vec<_> = life.acked.iter().filter(|id| !at_polar.contains(*id)).collect();
    assert!(lost.is_empty(), "{what}: acknowledged and lost after a restart: {lost:?}\n{}", life.log);
    Verdict { what, failure, exited, took, log: life.log }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_nth_io_fails_nothing_unsynced_is_acknowledged_and_nothing_acknowledged_is_lost() {
    let Some(shim) = DiskShim::build() else { return };
    let whole = live(&shim, "whole", Trouble::None).await;
    assert!(whole.status.success() && whole.acked.len() == 2 + 6 * 48 + 1, "{}", whole.log);
    let mut survived: BTreeMap<String, usize> = BTreeMap::new();
    let (mut runs, mut exits, mut unmet) = (0, 0, 0);
    for (errno, words) in [(EIO, "EIO"), (ENOSPC, "ENOSPC"), (0, "a short write")] {
        let operations = whole.recording.operations_that_can_fail(errno);
        for on in [false, true] {
            let stride = if stride() == 0 { operations.div_ceil(FEW) } else { stride() };
            let first = if stride == 1 { 1 } else { fastrand::usize(1..=stride) };
            let lives = (first..=operations).step_by(stride).map(|nth| suffer(&shim, nth, errno, on));
            let verdicts: Vec<Verdict> =
                futures_util::stream::iter(lives).buffer_unordered(AT_ONCE).collect().await;
            println!(
                "{words}{}: {} of {operations} operations",
                if on { " from then on" } else { "" },
                verdicts.len()
            );
            for verdict in verdicts {
                runs += 1;
                exits += usize::from(verdict.exited);
                match &verdict.failure {
                    None => unmet += 1,
                    Some(failure) if !verdict.exited => {
                        // A write that takes less than it was given is taken up again.
                        let is_lost = failure.operation == "write"
                            && failure.path.ends_with("db")
                            && (errno != 0 || on);
                        assert!(!is_lost, "{}: sledge went on\n{}", verdict.what, verdict.log);
                        let kind =
                            failure.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                        *survived.entry(format!("{} {kind}", failure.operation)).or_default() += 1;
                    }
                    Some(_) => {
                        let Verdict { what, took, log, .. } = &verdict;
                        assert!(*took < EXITS_WITHIN, "{what}: exited after {took:?}\n{log}");
                    }
                }
            }
        }
    }
    println!(
        "{runs} lives: {exits} ended with {EX_IOERR}, {unmet} never came to that operation, survived: {survived:#?}"
    );
}
