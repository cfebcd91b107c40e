//! What goes wrong for somebody who is new to sledge: each mistake is told with what to do about it.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use sledge::doctor::Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;

use crate::dev_process::DevProcess;
use crate::doctor::examination::{assert_finds, doctor, doctor_at, without_json};
use crate::fake_polar::FakePolar;
use crate::one_command::{run, run_sledge, shell, sledge};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";
/// How a connection begins that a client takes for TLS.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\x00\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_named_instead_of_read_is_not_charged_as_an_event() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let file = home.path().join("usage.ndjson");
    std::fs::write(&file, "").unwrap();
    let (file, socket) = (file.to_str().unwrap(), home.socket());
    let named =
        run_sledge(&["send", file, "--customer", "user_123", "--socket", socket.to_str().unwrap()]).await;
    assert_eq!(named.code, Some(64), "{named:?}");
    assert!(named.err.contains(&format!("sledge send < {file}")), "{named:?}");
    assert_eq!(sledge.scrape().await.sum("sledge_events_accepted_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_waits_for_somebody_to_type_says_so() {
    if !tool::is_there("script", &["--version"]) {
        return;
    }
    let polar = FakePolar::start().await;
    let home = Home::new();
    let _sledge = home.start(&polar.url()).await;
    // Ctrl-D, as a terminal takes it at the beginning of a line.
    let in_a_terminal = shell(&format!(
        "script --quiet --return --command 'sledge send --socket {}' /dev/null",
        home.socket().display()
    ));
    let told = run(in_a_terminal, "\u{4}").await;
    assert!(
        told.out.starts_with("what is typed here is sent, one event on each line, until Ctrl-D"),
        "{told:?}"
    );
    let mut piped = sledge(&["send", "--socket"]);
    piped.arg(home.socket());
    assert_eq!(run(piped, "").await.err, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_line_has_one_number_and_it_is_the_one_of_the_file() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let _sledge = home.start(&polar.url()).await;
    let mut command = sledge(&["send", "--socket"]);
    command.arg(home.socket());
    let line = r#"{"name":"api_usage","external_customer_id":"user_123"}"#;
    let told = run(command, &format!("{line}\n{{\"name\" api_usage}}\n")).await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(
        told.err,
        "line 2: malformed_json: is not valid JSON (column 9); send one JSON object per event\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_on_a_plain_socket_is_told_to_the_log_and_is_no_event() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut command = home.run_command(&polar.url());
    command.args(["--http", "127.0.0.1:0"]);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let tcp = TcpStream::connect(sledge.listener("http").await).await.unwrap();
    for (listener, answer) in [
        ("tcp", answer_to_tls(tcp).await),
        ("http", answer_to_tls(UnixStream::connect(home.socket()).await.unwrap()).await),
    ] {
        assert!(answer.starts_with("HTTP/1.1 400 "), "{listener}: {answer:?}");
        let refused =
            format!("sledge_events_refused_total{{listener=\"{listener}\",reason=\"tls_on_plain_socket\"}}");
        sledge.scrape_until(|scrape| scrape.get(&refused) == Some(1.0)).await;
    }
    let scrape = sledge.scrape().await;
    assert_eq!((scrape.sum("sledge_dead_letters"), scrape.sum("sledge_events_refused_total")), (0.0, 2.0));
    let (_, _, log) = sledge.stop().await;
    assert!(log.contains("TLS was spoken to a plain socket") && log.contains("http://"), "{log}");
}

/// What comes back to a client that begins to speak TLS.
async fn answer_to_tls(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> String {
    stream.write_all(CLIENT_HELLO).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("no answer in time").unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_without_events_names_no_file_that_it_did_not_make() {
    let home = Home::new();
    assert!(home.start(NOWHERE).await.stop().await.0.success());
    let file = home.path().join("pending.ndjson");
    let (data, journal) = (home.path().join("data"), home.journal());
    let word = |path: &Path| path.to_str().unwrap().to_owned();
    for words in [
        ["journal", "export", "--data-dir", &word(&data)],
        ["journal", "salvage", &word(&journal), "--lane=usage"],
    ] {
        let mut command = sledge(&words);
        command.arg("-o").arg(&file);
        let told = run(command, "").await;
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.err.contains(&format!("0 events: {} was not made", file.display())), "{told:?}");
        assert!(!file.exists());
    }
}

/// The variables that a `sledge dev` tells other terminals to set.
const TOLD_BY_DEV: [&str; 5] =
    ["SLEDGE_SOCKET", "SLEDGE_DATA_DIR", "SLEDGE_ADMIN", "SLEDGE_POLAR_URL", "POLAR_ACCESS_TOKEN"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_do_not_go_to_a_polar_in_memory_because_a_line_of_dev_was_pasted_here() {
    let dev = DevProcess::start().await;
    let unset = format!("unset {}", TOLD_BY_DEV.join(" "));
    let mut pasted = sledge(&["run"]);
    for name in TOLD_BY_DEV {
        pasted.env(name, dev.word_after(&format!("{name}=")));
    }
    let told = run(pasted, "").await;
    assert_eq!(told.code, Some(78), "{told:?}");
    assert!(told.err.contains(&unset) && told.err.contains("POLAR_ACCESS_TOKEN is what"), "{told:?}");
    // What is left of it beside settings of one's own.
    let home = Home::new();
    let polar_url = dev.word_after("SLEDGE_POLAR_URL=");
    let with_address = |polar_url: &str| {
        let mut command = sledge(&["run", "--admin", "127.0.0.1:0", "--log-format", "json", "--data-dir"]);
        command.arg(home.path().join("data")).arg("--socket").arg(home.socket());
        command.env("SLEDGE_POLAR_URL", polar_url).env("POLAR_ACCESS_TOKEN", "polar_oat_test");
        command.env("SLEDGE_JOURNAL_LOW_WATER_BYTES", "1");
        command
    };
    let told = run(with_address(&polar_url), "").await;
    assert_eq!(told.code, Some(78), "{told:?}");
    assert!(told.err.contains(&unset) && told.err.contains("SLEDGE_POLAR_URL is what"), "{told:?}");
    assert!(!home.path().join("data").exists(), "it makes nothing");
    dev.end_by(Signal::TERM).await;
    let sledge = SledgeProcess::start(with_address(&polar_url), home.socket()).await;
    let (_, _, log) = sledge.stop().await;
    assert!(log.contains("nobody is there") && log.contains(&unset), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_sees_that_a_running_sledge_delivers_to_a_dev_or_to_nobody() {
    let dev = DevProcess::start().await;
    let polar_url = dev.word_after("SLEDGE_POLAR_URL=");
    let home = Home::new();
    let sledge = home.start(&polar_url).await;
    // Whoever names that Polar, and whoever learns of it from the daemon.
    assert_finds(doctor(&home, &polar_url), &[Code::PolarOfDev]).await;
    let at_admin = || doctor_at(&home, sledge.admin(), None);
    assert_finds(at_admin(), &[Code::PolarOfDev]).await;
    dev.end_by(Signal::TERM).await;
    assert_finds(doctor(&home, &polar_url), &[Code::PolarUnreachable]).await;
    let told = run(without_json(&at_admin()), "").await;
    assert!(
        told.out.starts_with("polar_unreachable: ") && told.out.contains(&TOLD_BY_DEV.join(" ")),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_dev_that_was_not_pasted_is_missed_by_every_command_that_finds_no_sledge() {
    if !tool::is_there("unshare", &["--mount", "true"]) {
        return;
    }
    // Where dev listens by itself is one place of the whole machine; here it is one of this test.
    let lines = "
        mount -t tmpfs tmpfs /tmp
        sledge dev > /tmp/dev.out 2>&1 &
        until grep -q 'what arrives' /tmp/dev.out; do kill -0 $!; done
        for command in 'send api_usage --customer u' 'grant 1 --customer u --event e --property p --no-check' \
            status 'explain some-id' 'dead-letters list' 'balance --customer u' 'journal check' doctor; do
            echo \"$command\"
            sledge $command && exit 1 || echo \"exit $?\"
        done
        kill $!";
    let mut command = Command::new("unshare");
    let inner = shell(&format!("exec 2>&1\n{}", lines.replace("\\\"", "\"")));
    command.args(["--mount"]).arg(inner.as_std().get_program()).args(inner.as_std().get_args()).env_clear();
    command
        .envs(inner.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("HOME", "/tmp/home");
    let told = run(command, "").await;
    let hint = "a `sledge dev` answers at /tmp/sledge-dev.sock: if that is meant, paste the line";
    assert_eq!(told.out.matches("exit 69").count(), 5, "{told:?}");
    assert_eq!(told.out.matches("exit 78").count(), 2, "{told:?}");
    assert_eq!(told.out.matches(hint).count(), 8, "{told:?}");
}

/// The same command in a process that may open so many files.
fn with_files(command: &Command, files: u32) -> Command {
    let command = command.as_std();
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={files}:{files}")).arg(command.get_program()).args(command.get_args());
    limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_descriptors_are_told_at_the_start_after_a_reload_in_dev_and_by_doctor() {
    if !tool::is_there("prlimit", &["--version"]) {
        return;
    }
    let polar = FakePolar::start().await;
    let home = Home::new();
    let found = [Code::TooFewDescriptors];
    assert_finds(with_files(&doctor(&home, &polar.url()), 500), &found).await;
    let sledge = SledgeProcess::start(with_files(&home.run_command(&polar.url()), 500), home.socket()).await;
    let told = "connections may take all of the 500 files";
    assert!(sledge.get("/readyz").await.1.contains(&format!("descriptors: degraded, {told}")));
    assert_finds(doctor(&home, &polar.url()), &found).await;
    assert!(sledge.stop().await.2.contains(told));

    let file = home.path().join("sledge.toml");
    std::fs::write(&file, "intake.connections_max = 384\n").unwrap();
    let mut command = home.run_command(&polar.url());
    command.arg("--config").arg(&file);
    let sledge = SledgeProcess::start(with_files(&command, 1_024), home.socket()).await;
    assert!(sledge.get("/readyz").await.1.contains("descriptors: ready"));
    assert_finds(doctor(&home, &polar.url()), &[]).await;
    std::fs::write(&file, "intake.connections_max = 3000\n").unwrap();
    kill_process(Pid::from_raw(i32::try_from(sledge.id()).unwrap()).unwrap(), Signal::HUP).unwrap();
    let told = "connections may take all of the 1024 files";
    sledge.get_until("/readyz", |_, ready| ready.contains(&format!("descriptors: degraded, {told}"))).await;
    assert_finds(doctor(&home, &polar.url()), &found).await;
    assert!(sledge.stop().await.2.contains(told));

    let mut dev = DevProcess::spawn(|command| {
        *command = with_files(command, 500);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    });
    dev.says("what arrives at Polar").await;
    let (_, _, log, _) = dev.end_by(Signal::TERM).await;
    assert!(log.contains("connections may take all of the 500 files"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_is_told_by_readiness_status_and_doctor_and_stays_ready() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut command = home.run_command(&polar.url());
    let disk = rustix::fs::statvfs(home.path()).unwrap();
    let nearly_all = disk.f_blocks * disk.f_frsize - disk.f_frsize;
    command.env("SLEDGE_JOURNAL_LOW_WATER_BYTES", nearly_all.to_string());
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let told = "new events are refused with journal_full; see what keeps Polar";
    let ready = sledge.get_until("/readyz", |_, ready| ready.contains(told)).await;
    assert!(ready.contains("space: degraded, ") && ready.ends_with("\nready\n"), "{ready}");
    let status = run_sledge(&["status", "--admin", sledge.admin()]).await;
    assert_eq!(status.code, Some(1), "{status:?}");
    assert!(status.out.contains("finding: space is degraded: ") && status.out.contains(told), "{status:?}");
    assert_finds(doctor(&home, &polar.url()), &[Code::JournalFull]).await;
}
