//! Which system calls sledge makes, and what it does where one of them is refused.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command as Blocking;

use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::one_command::{run, sledge};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool;

/// The command under strace, which runs as its grandchild, and where the trace goes.
fn under_strace(home: &Home, polar: &FakePolar, more: &[&str]) -> (Command, std::path::PathBuf) {
    let trace = home.path().join("trace");
    let mut command = home.run_command(&polar.url());
    command.env("POLAR_ACCESS_TOKEN", "polar_oat_test");
    let command = command.as_std();
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-o"]).arg(&trace).args(more);
    strace.arg(command.get_program()).args(command.get_args());
    strace.env("POLAR_ACCESS_TOKEN", "polar_oat_test");
    (strace, trace)
}

async fn told(home: &Home, words: &[&str]) -> String {
    let mut command = sledge(words);
    command.arg("--data-dir").arg(home.path().join("data"));
    let ended = run(command, "").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out
}

const EVENT: &str =
    r#"{"events":[{"name":"api_usage","external_customer_id":"user_1","external_id":"looked-for"}]}"#;

/// Everything at once that is out of the ordinary: events, a look back, a replay, a reload and a clean end.
async fn a_life(home: &Home, polar: &FakePolar, more: &[&str]) -> String {
    let (command, trace) = under_strace(home, polar, more);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    assert_eq!(sledge.ingest(EVENT).await.0, 200);
    polar.has_events(1, PATIENCE).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    assert!(told(home, &["explain", "looked-for"]).await.contains("delivered"));
    told(home, &["replay", "--since", "1h"]).await;
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    std::fs::read_to_string(trace).unwrap()
}

/// The names of the calls in a trace, with their results.
fn calls(trace: &str) -> impl Iterator<Item = (&str, &str)> {
    trace.lines().filter_map(|line| {
        let (name, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
        name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_').then_some((name, rest))
    })
}

/// What the filter of the unit lets through, its lines taken in their order as systemd takes them.
fn allowed(unit: &str) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (takes_away, words) = line.strip_prefix('~').map_or((false, line), |words| (true, words));
        for call in words.split(' ').flat_map(members) {
            if takes_away {
                allowed.remove(&call);
            } else {
                allowed.insert(call);
            }
        }
    }
    // Always let through, whatever a unit says.
    allowed.extend(members("@default"));
    allowed
}

/// The calls in a group of systemd's, those of the groups in it included.
fn members(word: &str) -> Vec<String> {
    if !word.starts_with('@') {
        return vec![word.to_owned()];
    }
    let listed = Blocking::new("systemd-analyze").args(["syscall-filter", word]).output().unwrap();
    assert!(listed.status.success(), "{word}: {}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let lines = listed.lines().filter_map(|line| line.strip_prefix("    "));
    lines.filter(|line| !line.starts_with('#')).flat_map(members).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_of_the_unit_does_not_end_a_sledge_that_somebody_asks_for_an_explanation() {
    if !tool::strace_is_there() || !tool::is_there("systemd-analyze", &["--version"]) {
        return;
    }
    let (home, polar) = (Home::new(), FakePolar::start().await);
    let trace = a_life(&home, &polar, &[]).await;
    let made: BTreeSet<&str> = calls(&trace).map(|(name, _)| name).collect();
    let makes_way = |(name, rest): (&str, &str)| {
        name == "sched_setscheduler" && rest.contains("SCHED_IDLE") && rest.ends_with(" = 0")
    };
    assert!(
        calls(&trace).any(makes_way),
        "whoever looks back takes the processor from those who take events in"
    );
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/sledge.service");
    let allowed = allowed(&std::fs::read_to_string(unit).unwrap());
    let refused: Vec<_> = made.iter().filter(|name| !allowed.contains(**name)).collect();
    assert!(refused.is_empty(), "the unit's filter would end sledge for {refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_thread_may_make_way_the_past_is_looked_up_all_the_same() {
    if !tool::strace_is_there() {
        return;
    }
    let (home, polar) = (Home::new(), FakePolar::start().await);
    let refusing = ["-e", "inject=sched_setscheduler,setpriority:error=EPERM"];
    let trace = a_life(&home, &polar, &refusing).await;
    let refused = |name| calls(&trace).any(|(call, rest)| call == name && rest.ends_with("(INJECTED)"));
    assert!(refused("sched_setscheduler") && refused("setpriority"));
}
