//! Who may send, as the socket's file says it: tried by processes of other users.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::one_command::{Ended, run};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool;

/// Numbers of users and groups that nobody has.
const SLEDGE: u32 = 48_001;
const APP: u32 = 48_002;
const APP_GROUP: u32 = 48_003;
const FOREIGN_GROUP: u32 = 48_004;

/// `program` as this user, in its own group and these others.
fn as_user(program: &str, user: u32, groups: &[u32]) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={user}"));
    match groups {
        [] => command.arg("--clear-groups"),
        groups => {
            let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
            command.arg(format!("--groups={}", groups.join(",")))
        }
    };
    command.arg(program).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// Only root can become somebody else.
fn others_can_be_tried() -> bool {
    tool::is_there("setpriv", &["--reuid=48001", "--clear-groups", "true"])
}

/// A home that `SLEDGE` owns and anybody may pass through, and the socket in a folder that is not there yet.
fn home_of_sledge() -> (Home, PathBuf) {
    let home = Home::new();
    chown(home.path(), Some(SLEDGE), Some(SLEDGE)).unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o711)).unwrap();
    let socket = home.path().join("run/deep/sledge.sock");
    (home, socket)
}

/// `sledge run` as the user `SLEDGE`, with its own of these groups.
fn run_as_sledge(home: &Home, socket: &Path, polar_url: &str, groups: &[u32]) -> Command {
    let mut command = as_user(env!("CARGO_BIN_EXE_sledge"), SLEDGE, groups);
    command.arg("run").arg("--data-dir").arg(home.path().join("data")).arg("--socket").arg(socket);
    command.args(["--admin", "127.0.0.1:0", "--polar-url", polar_url, "--log-format", "json"]);
    command.env("POLAR_ACCESS_TOKEN", "polar_oat_test");
    command
}

async fn send_as(user: u32, groups: &[u32], socket: &Path) -> Ended {
    let mut command = as_user(env!("CARGO_BIN_EXE_sledge"), user, groups);
    command
        .args(["send", "api_usage", "--customer", "user_123", "--meta", "units=1", "--socket"])
        .arg(socket);
    run(command, "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_group_that_the_configuration_names_may_send_and_nobody_else() {
    if !others_can_be_tried() {
        return;
    }
    let polar = FakePolar::start().await;
    let (home, socket) = home_of_sledge();
    let mut command = run_as_sledge(&home, &socket, &polar.url(), &[APP_GROUP]);
    command.env("SLEDGE_SOCKET_GROUP", APP_GROUP.to_string());
    let datagrams = home.path().join("run/deep/sledge.dgram");
    command.arg("--datagram-socket").arg(&datagrams);
    let sledge = SledgeProcess::start(command, socket.clone()).await;

    for file in [&socket, &datagrams] {
        let file = fs::metadata(file).unwrap();
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (SLEDGE, APP_GROUP, 0o660));
    }
    let sent = send_as(APP, &[APP_GROUP], &socket).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let sent = send_as(APP, &[FOREIGN_GROUP], &socket).await;
    assert_eq!(sent.code, Some(69), "a stranger was let in: {sent:?}");
    polar.has_events(1, PATIENCE).await;
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_may_send_where_the_mode_says_so() {
    if !others_can_be_tried() {
        return;
    }
    let polar = FakePolar::start().await;
    let (home, socket) = home_of_sledge();
    let folder = socket.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    chown(folder, Some(SLEDGE), None).unwrap();
    let mut command = run_as_sledge(&home, &socket, &polar.url(), &[]);
    command.env("SLEDGE_SOCKET_MODE", "0666");
    let sledge = SledgeProcess::start(command, socket.clone()).await;
    let sent = send_as(APP, &[], &socket).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    sledge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_or_group_that_cannot_be_given_is_a_fault_of_the_configuration() {
    if !others_can_be_tried() {
        return;
    }
    for (variable, value, words) in [
        (
            "SLEDGE_SOCKET_GROUP",
            "no-such-group",
            "names the group \"no-such-group\", which this machine does not know",
        ),
        (
            "SLEDGE_SOCKET_OWNER",
            "no-such-user",
            "names the user \"no-such-user\", which this machine does not know",
        ),
        ("SLEDGE_SOCKET_GROUP", "48004", "must name a group of the user sledge runs as"),
        ("SLEDGE_SOCKET_OWNER", "48002", "socket_owner that user"),
    ] {
        let (home, socket) = home_of_sledge();
        let mut command = run_as_sledge(&home, &socket, "http://127.0.0.1:9", &[APP_GROUP]);
        command.env(variable, value);
        let ended = run(command, "").await;
        assert_eq!(ended.code, Some(78), "{variable}={value}: {ended:?}");
        assert!(ended.err.contains(words), "{variable}={value}: {ended:?}");
        assert!(!socket.exists(), "a socket that was refused was left behind");
    }
}
