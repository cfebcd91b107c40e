//! Examining a set-up, and what is expected to be found.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use sledge::doctor::Code;
use sledge::simulator::NewMeter;
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::one_command::{Ended, run, sledge};
use crate::sledge_process::{Home, SledgeProcess};

pub(crate) const TOKEN: &str = "polar_oat_test";
pub(crate) const GRANT: [&str; 9] =
    ["grant", "10", "--customer", "user_123", "--event", "api_usage", "--property", "units", "--no-check"];
pub(crate) const USE: [&str; 6] = ["send", "api_usage", "--customer", "user_123", "--meta", "units=3"];

/// The words of `sledge doctor` for this home and this Polar.
pub(crate) fn words(home: &Home, polar_url: &str) -> Vec<String> {
    let socket = home.socket().display().to_string();
    let data = home.path().join("data").display().to_string();
    let words = ["doctor", "--json", "--data-dir", &data, "--socket", &socket];
    let more = ["--admin", "127.0.0.1:0", "--polar-url", polar_url];
    words.iter().chain(&more).map(|word| (*word).to_owned()).collect()
}

/// `sledge doctor` for this home and this Polar, with the token that the home's daemon has.
pub(crate) fn doctor(home: &Home, polar_url: &str) -> Command {
    let words = words(home, polar_url);
    let mut command = sledge(&words.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("POLAR_ACCESS_TOKEN", TOKEN);
    command
}

/// `sledge doctor` by somebody who names nothing but the daemon's admin address, and has this token, or none.
pub(crate) fn doctor_at(home: &Home, admin: &str, token: Option<&str>) -> Command {
    let mut command = sledge(&["doctor", "--json", "--admin", admin]);
    command.env("HOME", home.path()).envs(token.map(|token| ("POLAR_ACCESS_TOKEN", token)));
    command
}

/// What it found, by code. No token is ever shown, and every finding says why it matters and what to do.
pub(crate) async fn codes(command: Command) -> Vec<String> {
    let ended = run(command, "").await;
    assert!(!format!("{ended:?}").contains("polar_oat_"), "a token is shown: {ended:?}");
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"));
    let findings = report["findings"].as_array().unwrap();
    for finding in findings {
        for part in ["seen", "why", "fix"] {
            assert!(finding[part].as_str().is_some_and(|text| text.len() > 8), "{finding}");
        }
    }
    assert_eq!(ended.code, Some(i32::from(!findings.is_empty())), "{ended:?}");
    let found: Vec<String> = findings.iter().map(|it| it["code"].as_str().unwrap().to_owned()).collect();
    println!("found {found:?}");
    found
}

/// That it finds this and nothing else.
pub(crate) async fn assert_finds(command: Command, expected: &[Code]) {
    let found = codes(command).await;
    assert_eq!(found, expected.iter().map(|code| code.as_str().to_owned()).collect::<Vec<_>>());
}

/// That it finds nothing, and says so to people in one line.
pub(crate) async fn assert_is_silent(command: Command) -> Ended {
    let ended = run(without_json(&command), "").await;
    assert_finds(command, &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.starts_with("nothing found; ") && ended.out.lines().count() == 1, "{ended:?}");
    assert_eq!(ended.err, "");
    ended
}

pub(crate) fn without_json(command: &Command) -> Command {
    with_words(command, |word| word != "--json")
}

pub(crate) fn with_words(command: &Command, is_kept: impl Fn(&str) -> bool) -> Command {
    let command = command.as_std();
    let mut again = Command::new(command.get_program());
    again.args(command.get_args().filter(|word| is_kept(word.to_str().unwrap()))).env_clear();
    again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        again.current_dir(folder);
    }
    again
}

pub(crate) fn api_calls() -> NewMeter {
    NewMeter::sum("API Calls", "api_usage", "units")
}

/// A file with a token that only its owner may read.
pub(crate) fn token_file(home: &Home, token: &str) -> PathBuf {
    let path = home.path().join("token");
    fs::write(&path, token).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Has the home's sledge take what `sledge` with these words sends.
pub(crate) async fn send(home: &Home, words: &[&str]) {
    let socket = home.socket();
    let ended = run(sledge(&[words, &["--socket", socket.to_str().unwrap()]].concat()), "").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// Waits until nothing is owed to Polar.
pub(crate) async fn is_drained(sledge: &SledgeProcess) {
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
}

/// A Polar with the guide's meter, and a sledge that has delivered to it what these words send.
pub(crate) async fn with_sent(meter: NewMeter, words: &[&str]) -> (FakePolar, Home, SledgeProcess) {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(meter);
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    send(&home, words).await;
    is_drained(&sledge).await;
    (polar, home, sledge)
}

/// `sledge doctor` in a mount namespace of its own, after this was done there.
pub(crate) fn doctor_after_mounting(home: &Home, polar: &FakePolar, mount: &str) -> Command {
    let mut command = Command::new("unshare");
    let mount = format!("{mount} && exec \"$@\"");
    command.args(["--mount", "sh", "-ec", &mount, "sh", env!("CARGO_BIN_EXE_sledge")]);
    command.args(words(home, &polar.url())).env_clear();
    command.env("POLAR_ACCESS_TOKEN", TOKEN).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command
}
