//! The configuration as a person meets it: what is said of a broken one, what is shown of a good one, and a reload that
//! nobody notices.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use sledge::simulator::Change;

use crate::fake_polar::FakePolar;
use crate::senders::Senders;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config")
}

/// `sledge config …` with these variables and a home, and with nothing of the tester's own environment.
fn config(words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sledge"));
    command.arg("config").args(words).current_dir(fixtures()).env_clear();
    command.env("HOME", "/home/nobody").env("XDG_RUNTIME_DIR", "/run/user/nobody");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What lies beside a broken file: its variables (a token alone when there is no such file), its arguments.
fn lines_beside(broken: &Path, extension: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(broken.with_extension(extension)).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

/// After a change of words: `SLEDGE_BLESS=1 cargo test --test it broken`, and read the difference.
#[test]
fn every_broken_configuration_is_refused_in_the_expected_words() {
    let mut broken: Vec<PathBuf> =
        fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    broken.retain(|path| path.extension() == Some(OsStr::new("toml")));
    broken.sort();
    assert!(broken.len() >= 25, "only {} broken configurations", broken.len());
    let mut differences = Vec::new();
    for path in &broken {
        let name = path.file_name().unwrap().to_str().unwrap();
        let args = lines_beside(path, "args").unwrap_or_default();
        let mut words = vec!["check"];
        if !args.iter().any(|arg| arg == "--config") {
            words.extend(["--config", name]);
        }
        words.extend(args.iter().map(String::as_str));
        let variables =
            lines_beside(path, "env").unwrap_or_else(|| vec!["POLAR_ACCESS_TOKEN=polar_oat_test".to_owned()]);
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|line| line.split_once('=').unwrap()).collect();
        let output = config(&words, &variables);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(78), ""), "{name}: {said}");
        assert!(!said.contains("secret"), "{name} tells a secret: {said}");
        let expected = path.with_extension("expected");
        if std::env::var_os("SLEDGE_BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != said {
            differences.push(format!("{name}:\n{said}"));
        }
    }
    println!("{} broken configurations", broken.len());
    assert!(differences.is_empty(), "other words than expected:\n{}", differences.join("\n"));
}

#[test]
fn a_file_is_checked_elsewhere_without_variables_and_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sledge.toml");
    fs::write(&path, "environment = \"sandbox\"\n[delivery]\nlinger_ms = 20\n").unwrap();
    let path = path.to_str().unwrap();
    let variables = [("SLEDGE_DELIVERY_LINGER_MS", "soon")];
    let alone = config(&["check", "--no-environment", "--config", path], &variables);
    assert_eq!(
        (alone.status.code(), text(&alone.stdout).as_str()),
        (Some(0), "ok\n"),
        "{}",
        text(&alone.stderr)
    );
    let here = config(&["check", "--config", path], &variables);
    assert_eq!(here.status.code(), Some(78));
    let said = text(&here.stderr);
    assert!(said.contains("SLEDGE_DELIVERY_LINGER_MS") && said.contains("no token was given"), "{said}");
}

#[test]
fn every_value_is_shown_with_its_origin_and_the_token_never() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sledge.toml");
    fs::write(
        &path,
        "log_level = \"warn\"\n\n[intake]\n  connections_max = 7\n  frame_bytes_max = 2_097_152\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let variables = [
        ("SLEDGE_CONFIG", path),
        ("POLAR_ACCESS_TOKEN", "polar_oat_secret"),
        ("POLAR_MODE", "sandbox"),
        ("SLEDGE_LOG", "debug"),
        ("SLEDGE_INTAKE_FRAME_BYTES_MAX", ""),
    ];
    let shown = config(&["show", "--origin", "--data-dir", "/data", "--log-level", "error"], &variables);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let shown = text(&shown.stdout);
    let line = |start: &str| {
        let line = shown
            .lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("no {start} in {shown}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("data_dir"), "data_dir = \"/data\" # from the command line");
    assert_eq!(line("log_level"), "log_level = \"error\" # from the command line");
    assert_eq!(line("environment"), "environment = \"sandbox\" # from POLAR_MODE");
    assert_eq!(line("connections_max"), format!("connections_max = 7 # at {path}:4:21"));
    assert_eq!(
        line("frame_bytes_max"),
        format!("frame_bytes_max = 2097152 # at {path}:5:21"),
        "empty is not set"
    );
    assert_eq!(line("requests_per_minute"), "requests_per_minute = 100 # by default");
    assert_eq!(line("# the token"), "# the token is set, by POLAR_ACCESS_TOKEN");
    assert!(!shown.contains("secret"), "{shown}");

    let json = text(&config(&["show", "--json"], &variables).stdout);
    assert!(!json.contains("secret"), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["token"], serde_json::json!({ "set": true, "source": "POLAR_ACCESS_TOKEN" }));
    let log_level =
        serde_json::json!({ "value": "debug", "origin": { "kind": "variable", "name": "SLEDGE_LOG" } });
    assert_eq!(json["settings"]["log_level"], log_level);
    assert_eq!(json["settings"]["intake.connections_max"]["origin"]["line"], 4);

    // What is shown is a configuration, and the same one.
    let again = folder.path().join("again.toml");
    fs::write(&again, &shown).unwrap();
    let variables = [("POLAR_ACCESS_TOKEN", "polar_oat_secret")];
    let again = text(&config(&["show", "--config", again.to_str().unwrap()], &variables).stdout);
    let bare = |text: &str| {
        text.lines().map(|line| line.split("  #").next().unwrap().trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(bare(&again), bare(&shown));
}

/// Reloads in one run. The long form: `SLEDGE_RELOADS=10000 cargo test --test it -- --nocapture reloads_under_load`.
fn reloads() -> u32 {
    std::env::var("SLEDGE_RELOADS")
        .map_or(1_000, |reloads| reloads.parse().expect("SLEDGE_RELOADS is a number"))
}

/// How many reloads make a round; between two rounds the load goes on for as long without any, to compare with.
const ROUND: u32 = 100;
/// A wait that an app would notice.
const STALL: Duration = Duration::from_millis(100);

/// The file of the given reload: two that are right in turn, and now and then one with a mistake.
fn file_of(reload: u32) -> &'static str {
    match reload % 10 {
        9 => "[intake]\nframe_bytes_max = \"1 MiB\"\n",
        even if even % 2 == 0 => {
            "drain_deadline_seconds = 30\n[event]\nbytes_max = 524288\n[intake]\nconnections_max = 100\nin_flight_bytes_max = 524288\n\
             [delivery]\nbatch_events_max = 200\nlinger_ms = 5\nrequests_in_flight_max = 2\n"
        }
        _ => {
            "[delivery]\nlinger_ms = 50\nunsettled_bytes_max = 16777216\n[journal]\nretention_seconds = 60\n"
        }
    }
}

fn hang_up(sledge: &SledgeProcess) {
    let id = Pid::from_raw(i32::try_from(sledge.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
}

/// Asks for a reload and waits until it is counted.
async fn reload(sledge: &SledgeProcess, reloads: u32) {
    hang_up(sledge);
    sledge.scrape_until(|scrape| scrape.sum("sledge_config_reloads_total") >= f64::from(reloads)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_lose_nothing_refuse_nothing_and_hold_nobody_up() {
    let polar = FakePolar::start().await;
    let home = Home::in_memory();
    let file = home.path().join("sledge.toml");
    fs::write(&file, "").unwrap();
    let mut command = home.run_command(&polar.url());
    command.arg("--config").arg(&file);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let journal_before = journal_folder(&home);
    let mut senders = Senders::to(&home.socket(), Duration::from_millis(1));
    senders.acked_lines(1).acked_lines(16).http();

    let (mut done, mut rounds) = (0, Vec::new());
    while done < reloads() {
        let begun = Instant::now();
        for _ in 0..ROUND {
            fs::write(&file, file_of(done)).unwrap();
            done += 1;
            reload(&sledge, done).await;
        }
        let (ended, took) = (Instant::now(), begun.elapsed());
        rounds.push((begun, ended));
        // The same scrapes, without reloads between them.
        while ended.elapsed() < took {
            sledge.scrape().await;
        }
    }
    let promises = senders.stop().await;
    let sent = promises.acked.lock().unwrap().len() as u64;
    polar.has_events(sent, PATIENCE).await;
    let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let wrong = scrape.get("sledge_config_reloads_total{result=\"refused\"}").unwrap();
    assert!((wrong - f64::from(done / 10)).abs() < 0.5, "{wrong} refused reloads");
    assert!(promises.refused.lock().unwrap().is_empty() && scrape.sum("sledge_events_refused_total") < 0.5);
    assert_eq!(polar.simulator.state().events_inserted, sent);
    assert_eq!(polar.simulator.state().events_duplicate, 0);
    assert_eq!(journal_folder(&home), journal_before, "the journal was not opened again");

    let waits = std::mem::take(&mut *promises.waits.lock().unwrap());
    let is_within = |at: Instant| rounds.iter().any(|(begun, ended)| (*begun..*ended).contains(&at));
    let (with, without): (Vec<_>, Vec<_>) = waits.iter().partition(|(sent, _)| is_within(*sent));
    let (with, without) = (Waits::of(&with), Waits::of(&without));
    println!("{done} reloads, {sent} events acknowledged; with reloads: {with}; without: {without}");
    // What a loaded machine does to both counts for neither. A reload that held somebody up would do so a thousand times,
    // to three senders; ten may meet a hiccup.
    let (stalls, stalls_without) = (with.over(STALL), without.over(STALL));
    assert!(
        stalls <= 10 + 2 * stalls_without,
        "{stalls} waits over {STALL:?}, {stalls_without} without reloads"
    );
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    assert!(log.contains("journal.retention_seconds") && log.contains("restart"), "what must wait is named");
    assert!(log.contains("write 1048576, the unit is in the name"), "a mistake is told as at the start");
}

/// What identifies the journal's folder and its lock: a journal that was opened again would have others.
fn journal_folder(home: &Home) -> Vec<(PathBuf, u64)> {
    use std::os::unix::fs::MetadataExt;
    let mut found: Vec<_> = fs::read_dir(home.journal())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| (path.clone(), fs::metadata(&path).unwrap().ino()))
        .collect();
    found.sort();
    found
}

/// How long senders waited for their acks, the shortest first.
struct Waits {
    sorted: Vec<Duration>,
}

impl Waits {
    fn of(waits: &[&(Instant, Duration)]) -> Self {
        let mut sorted: Vec<Duration> = waits.iter().map(|(_, wait)| *wait).collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    fn at(&self, percent: usize) -> Duration {
        self.sorted[(self.sorted.len() - 1) * percent / 100]
    }

    fn over(&self, limit: Duration) -> usize {
        self.sorted.iter().filter(|wait| **wait > limit).count()
    }
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (samples, p50, p99, max) = (self.sorted.len(), self.at(50), self.at(99), self.at(100));
        let stalls = self.over(STALL);
        write!(f, "{samples} waits, p50 {p50:?} p99 {p99:?} max {max:?}, {stalls} over {STALL:?}")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_what_it_can_at_once() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let file = home.path().join("sledge.toml");
    fs::write(&file, "").unwrap();
    let mut command = home.run_command(&polar.url());
    command.arg("--config").arg(&file);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let event = format!(
        r#"{{"events":[{{"name":"api_usage","external_customer_id":"user_1","metadata":{{"text":"{}"}}}}]}}"#,
        "x".repeat(450)
    );
    let long = event.replace(r#""text""#, &format!(r#""more":"{0}","most":"{0}","text""#, "y".repeat(450)));
    assert_eq!(sledge.ingest(&long).await.0, 200);
    fs::write(&file, "log_level = \"debug\"\n[event]\nbytes_max = 1024\n").unwrap();
    reload(&sledge, 1).await;
    assert_eq!(sledge.ingest(&event).await.0, 200);
    let (status, body) = sledge.ingest(&long).await;
    assert!(status == 422 && body.contains("1024"), "{status} {body}");
    fs::remove_file(&file).unwrap();
    reload(&sledge, 2).await;
    assert_eq!(sledge.ingest(&long).await.0, 422, "without the file everything stays as it was");
    let (_, _, log) = sledge.stop().await;
    assert!(log.contains("event.bytes_max") && log.contains("can't be read"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_token_file_is_used_though_polar_still_takes_the_old_token() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let token_file = home.path().join("token");
    fs::write(&token_file, "polar_oat_first\n").unwrap();
    let mut command = home.run_command(&polar.url());
    command.env_remove("POLAR_ACCESS_TOKEN").env("SLEDGE_TOKEN_FILE", &token_file);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let event = r#"{"events":[{"name":"api_usage","external_customer_id":"user_1"}]}"#;
    assert_eq!(sledge.ingest(event).await.0, 200);
    polar.has_events(1, PATIENCE).await;
    fs::write(&token_file, "polar_oat_second\n").unwrap();
    reload(&sledge, 1).await;
    // From here on the first token would be refused.
    let second = Some(vec!["polar_oat_second".to_owned()]);
    polar.simulator.change(Change { accepted_tokens: second, ..Change::default() });
    assert_eq!(sledge.ingest(event).await.0, 200);
    polar.has_events(2, PATIENCE).await;
    assert_eq!(polar.simulator.state().requests_by_status.get(&401), None);
    let (_, _, log) = sledge.stop().await;
    assert!(log.contains("another token was put in place") && !log.contains("polar_oat_"), "{log}");
}
