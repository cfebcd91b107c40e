//! What somebody who tries sledge sees in the first minute: `sledge dev`, and every way to send it an event.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::dev_process::DevProcess;
use crate::one_command::{Ended, run, run_sledge, shell};
use crate::sledge_process::PATIENCE;
use crate::tool;

/// What is wanted of a quick thing on a machine of its own. One of three tries must do: another process may take the
/// machine for a moment, but not each time.
const TRIES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_is_up_within_a_second() {
    let mut waits = Vec::new();
    for _ in 0..TRIES {
        let begun = Instant::now();
        let mut dev = DevProcess::spawn(|_| ());
        dev.says("sledge listens at").await;
        let said = begun.elapsed();
        let socket = dev.socket();
        let sent = send(&["send", "api_usage", "--customer", "user_123", "--meta", "units=1"], &dev).await;
        assert_eq!(sent.code, Some(0), "{sent:?}");
        assert!(socket.exists());
        waits.push((said, begun.elapsed()));
    }
    println!("from the start of dev to its first line, and to its first ack: {waits:?}");
    let best = waits.iter().map(|(said, _)| *said).min().unwrap();
    assert!(best < Duration::from_secs(1), "{waits:?}");
}

/// `sledge` with these words and the socket of this dev.
async fn send(words: &[&str], dev: &DevProcess) -> Ended {
    let socket = dev.socket();
    run_sledge(&[words, &["--socket", socket.to_str().unwrap()]].concat()).await
}

/// Has an event sent `TRIES` times, and expects each at Polar, one of them within two seconds.
async fn arrives_in_time(dev: &DevProcess, way: &str, command: impl Fn() -> (Command, String), answer: &str) {
    let events =
        || async { serde_json::from_str::<Value>(&dev.ask_polar("GET", "/simulator/state", "").await) };
    let mut waits = Vec::new();
    for _ in 0..TRIES {
        let before = events().await.unwrap()["events_inserted"].as_u64().unwrap();
        let (command, input) = command();
        let begun = Instant::now();
        let ended = run(command, &input).await;
        assert_eq!(ended.code, Some(0), "{way}: {ended:?}");
        assert!(ended.out.contains(answer), "{way}: {ended:?}");
        dev.has_events(before + 1).await;
        waits.push(begun.elapsed());
    }
    println!("from {way} to Polar: {waits:?}");
    assert!(waits.iter().min().unwrap() < &Duration::from_secs(2), "{way}: {waits:?}");
}

const EVENT: &str = r#"{"name":"api_usage","external_customer_id":"user_123","metadata":{"units":1}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_by_curl_is_at_polar_within_two_seconds() {
    if !tool::is_there("curl", &["--version"]) {
        return;
    }
    let dev = DevProcess::start().await;
    let curl = || {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--unix-socket"]).arg(dev.socket());
        curl.args(["http://localhost/v1/events/ingest", "-H", "content-type: application/json"]);
        curl.args(["-d", &format!(r#"{{"events":[{EVENT}]}}"#)]);
        (curl, String::new())
    };
    arrives_in_time(&dev, "curl", curl, r#"{"inserted":1,"duplicates":0}"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_by_socat_is_at_polar_within_two_seconds_with_and_without_ack() {
    if !tool::is_there("socat", &["-V"]) {
        return;
    }
    let dev = DevProcess::start().await;
    let socat = |input: String| {
        let mut socat = Command::new("socat");
        // Time to hear the ack after the end of the input; it ends earlier, when sledge closes.
        socat.args(["-t", "30", "-"]).arg(format!("UNIX-CONNECT:{}", dev.socket().display()));
        (socat, input)
    };
    arrives_in_time(&dev, "socat", || socat(format!("{EVENT}\n")), "").await;
    let hello = r#"{"sledge":{"ack":"each"}}"#;
    arrives_in_time(
        &dev,
        "socat with ack",
        || socat(format!("{hello}\n{EVENT}\n")),
        r#"{"ok":true,"external_id":""#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_by_sledge_send_is_at_polar_within_two_seconds() {
    let dev = DevProcess::start().await;
    let named = || {
        let mut command =
            crate::one_command::sledge(&["send", "api_usage", "--customer", "user_123", "--meta", "units=1"]);
        command.arg("--socket").arg(dev.socket());
        (command, String::new())
    };
    arrives_in_time(&dev, "sledge send NAME", named, "accepted ").await;
    let piped = || {
        let mut command = crate::one_command::sledge(&["send", "--socket"]);
        command.arg(dev.socket());
        (command, format!("{EVENT}\n"))
    };
    arrives_in_time(&dev, "sledge send", piped, "accepted 1 event").await;
}

/// The lines that dev tells to copy are run as they stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_that_dev_tells_to_copy_work() {
    if !tool::is_there("curl", &["--version"]) || !tool::is_there("nc", &["-h"]) {
        return;
    }
    let dev = DevProcess::start().await;
    let is_command =
        |line: &&String| ["export ", "sledge ", "curl ", "echo "].iter().any(|start| line.starts_with(start));
    let lines: Vec<String> = dev
        .said
        .iter()
        .filter(is_command)
        .filter(|line| !line.starts_with("sledge listens"))
        .cloned()
        .collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(lines[0].starts_with("export SLEDGE_SOCKET="), "{lines:?}");
    for (sent, line) in (0..).zip(&lines[1..]) {
        let ended = run(shell(line), "").await;
        assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
        if !line.starts_with("sledge status") {
            dev.has_events(sent + 1).await;
        }
    }
}

/// Whoever has a token of their own set, and pastes the line that begins with export, reaches nobody but this dev.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_pasted_line_every_command_means_this_dev_and_its_polar() {
    // What is tried out need not stay: where it lies in memory, as a temporary folder may, nothing is found wrong with that.
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let mut dev = DevProcess::spawn(|command| {
        command.args(["--http", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("data"));
    });
    dev.says("what arrives at Polar").await;
    let export = dev.said.iter().find(|line| line.starts_with("export ")).unwrap().clone();
    let http = dev.word_after(" and at http://");
    let typed = |line: &str| {
        let mut command = shell(&format!("{export}\n{line}"));
        command.env("POLAR_ACCESS_TOKEN", "polar_oat_of_the_reader");
        run(command, "")
    };
    for (line, shown) in [
        ("sledge polar meter list", "API Calls"),
        ("sledge grant 10 --customer user_123 --event api_usage --property units", "accepted: 10 credits"),
        ("sledge send api_usage --customer user_123 --meta units=1 --id pasted-1", "accepted pasted-1"),
        ("sledge status", "pending "),
        ("sledge explain pasted-1", "accepted "),
        ("sledge polar customer show --customer user_123", "John Doe"),
    ] {
        let ended = typed(line).await;
        assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
        assert!(ended.out.contains(shown), "{line}: {ended:?}");
        assert!(!ended.err.contains("not checked"), "{line}: {ended:?}");
    }
    dev.has_events(2).await;
    let shown = typed("sledge balance --customer user_123").await;
    assert!(shown.out.contains("API Calls: 9 at Polar"), "{shown:?}");
    let doctor = typed("sledge doctor").await;
    assert_eq!((doctor.code, doctor.out.starts_with("nothing found; ")), (Some(0), true), "{doctor:?}");
    let listening = TcpStream::connect(&http).await;
    assert!(listening.is_ok(), "dev listens at {http}, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_listens_where_the_variable_says_and_only_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = crate::one_command::sledge(&["dev", "--http", "0.0.0.0:0"]);
    command.env("SLEDGE_SOCKET", folder.path().join("named.sock"));
    let refused = run(command, "").await;
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.err.contains("is not loopback"), "{refused:?}");
    let mut command = crate::one_command::sledge(&["dev"]);
    command.env("SLEDGE_SOCKET", folder.path().join("named.sock")).env("TMPDIR", folder.path());
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let mut dev = command.spawn().unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(first.contains(folder.path().join("named.sock").to_str().unwrap()), "{first}");
}

/// The credits that the simulator's API says are left.
async fn balance(dev: &DevProcess) -> f64 {
    let meters = dev.ask_polar("GET", "/v1/customer-meters/?external_customer_id=user_123", "").await;
    let meters: Value = serde_json::from_str(&meters).unwrap();
    assert_eq!(meters["items"].as_array().unwrap().len(), 1, "{meters}");
    meters["items"][0]["balance"].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_credits_granted_three_and_eight_used_leave_one_owed() {
    let mut dev = DevProcess::start().await;
    let grant = &["grant", "10", "--customer", "user_123", "--event", "api_usage", "--property", "units"][..];
    let three = &["send", "api_usage", "--customer", "user_123", "--meta", "units=3"][..];
    let eight = &["send", "api_usage", "--customer", "user_123", "--meta", "units=8"][..];
    for (words, units, left) in [(grant, "-10", 10), (three, "3", 7), (eight, "8", -1)] {
        let sent = send(words, &dev).await;
        assert_eq!(sent.code, Some(0), "{sent:?}");
        let line = dev.says("api_usage user_123").await;
        assert!(line.contains(&format!(" units={units} ")), "{line}");
        assert!(line.contains(&format!(" balance {left} (API Calls)")), "{line}");
        assert!((balance(&dev).await - f64::from(left)).abs() < 1e-9);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_c_ends_dev_and_leaves_nothing_behind() {
    let dev = DevProcess::start().await;
    let socket = dev.socket();
    let sent = send(&["send", "api_usage", "--customer", "user_123", "--meta", "units=1"], &dev).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert!(socket.exists());
    let (status, said, log, left) = dev.end_by(Signal::INT).await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(said.last().unwrap().starts_with("delivered 1, left 0"), "{said:?}");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_never_uses_or_shows_a_token_of_the_user() {
    const MARKER: &str = "polar_oat_marker_of_a_real_token";
    let credentials = tempfile::tempdir().unwrap();
    let file = credentials.path().join("polar_access_token");
    std::fs::write(&file, MARKER).unwrap();
    let mut dev = DevProcess::spawn(|command| {
        command.env("POLAR_ACCESS_TOKEN", MARKER).env("SLEDGE_TOKEN_FILE", &file);
        command.env("CREDENTIALS_DIRECTORY", credentials.path()).env("SLEDGE_LOG", "trace");
    });
    dev.says("what arrives at Polar").await;
    // Its Polar now lets in whoever has the user's token, and nobody else: so nothing may arrive.
    dev.ask_polar("PATCH", "/simulator/settings", &format!(r#"{{"accepted_tokens":["{MARKER}"]}}"#)).await;
    let sent = send(&["send", "api_usage", "--customer", "user_123", "--meta", "units=1"], &dev).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let admin = dev.word_after("sledge status --admin ");
    let held = async {
        loop {
            let status = run_sledge(&["status", "--admin", &admin]).await;
            assert!(!format!("{status:?}").contains(MARKER));
            if status.out.contains("delivery is held: unauthorized") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.expect("dev's own token to be refused");
    let (status, said, log, _) = dev.end_by(Signal::INT).await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(said.last().unwrap().starts_with("delivered 0, left 1"), "{said:?}");
    assert!(!said.join("\n").contains(MARKER) && !log.contains(MARKER));
    assert!(!log.is_empty(), "at the level trace there is a log that could hold it");
}
