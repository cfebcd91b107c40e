//! A core of the daemon would hold the token and events, so there is none; and nobody but root looks into it.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::fake_polar::FakePolar;
use crate::sledge_process::{Home, SledgeProcess};
use crate::tool;

/// The same command, started by a shell that allows cores of any size, in the home where they would fall.
fn with_cores(command: &Command, home: &Home) -> Command {
    let inner = command.as_std();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\""]).arg(inner.get_program());
    shell.args(inner.get_args()).current_dir(home.path()).env_clear();
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

fn crash(id: u32, signal: Signal) {
    let sent = kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal);
    assert!(matches!(sent, Ok(()) | Err(Errno::SRCH)), "{sent:?}");
}

/// Sends the signal again and again: the first SIGSEGV only ends Rust's own look at it.
async fn crash_for_good(id: u32, signal: Signal) {
    loop {
        crash(id, signal);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process without protection leaves a core here, so that the test can tell the difference.
async fn cores_fall_here(home: &Home) -> bool {
    let mut command = Command::new("sleep");
    command.arg("600");
    let mut child = with_cores(&command, home).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    until_it_is(&child, "sleep").await;
    crash(child.id().unwrap(), Signal::ABORT);
    child.wait().await.unwrap().core_dumped()
}

/// Waits until the shell has become the program.
async fn until_it_is(child: &Child, program: &str) {
    let path = format!("/proc/{}/comm", child.id().unwrap());
    while std::fs::read_to_string(&path).unwrap().trim() != program {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_no_core() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    if !cores_fall_here(&home).await {
        tool::say_skipped("no process leaves a core on this machine; the limits are checked all the same");
    }
    for signal in [Signal::ABORT, Signal::SEGV] {
        let command = with_cores(&home.run_command(&polar.url()), &home);
        let sledge = SledgeProcess::start(command, home.socket()).await;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", sledge.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..], ["0", "0", "bytes"], "{core}");
        let id = sledge.id();
        let (status, _, _) = tokio::select! {
            ended = sledge.end() => ended,
            () = crash_for_good(id, signal) => unreachable!("it goes on until the process is gone"),
        };
        assert_eq!(status.signal(), Some(signal.as_raw()), "it crashed");
        assert!(!status.core_dumped(), "{signal:?} left a core");
    }
    let left: Vec<_> =
        std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let cores = left.iter().filter(|name| name.to_string_lossy().starts_with("core")).count();
    // The one of the process without protection is a core by this name or lies elsewhere.
    assert!(cores <= 1, "{left:?}");
}
