//! `sledge run` as a machine meets it: settings, locks, sockets, metrics, the unit, and what it must never say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sledge::metrics::CATALOGUE;
use sledge::simulator::Change;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::one_command::{run, run_sledge, sledge};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool;

const EVENT: &str =
    r#"{"events":[{"name":"api_usage","external_customer_id":"user_1","metadata":{"units":1}}]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_setting_is_told_at_once_with_its_key_its_origin_and_its_fix() {
    let long = format!("/tmp/{}/sledge.sock", "deep/".repeat(30));
    let mut command =
        sledge(&["run", "--data-dir", "/dev/null", "--socket", &long, "--environment", "staging"]);
    command.env("SLEDGE_ADMIN", "localhost").env("POLAR_ACCESS_TOKEN", "a secret that is no token");
    let ended = run(command, "").await;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert_eq!(ended.out, "");
    let mut lines = ended.err.lines();
    assert_eq!(lines.next(), Some("sledge: 5 settings can't be used:"));
    let told: Vec<&str> = lines.collect();
    for (start, problem, fix) in [
        ("  environment (from the command line): ", "\"staging\"", "write production or sandbox"),
        ("  data_dir (from the command line): ", "/dev/null is not a folder", "name a folder"),
        ("  socket (from the command line): ", "may have 107", "give a shorter --socket PATH"),
        ("  admin (from SLEDGE_ADMIN): ", "\"localhost\" has no port", "write HOST:PORT"),
        ("  token (from POLAR_ACCESS_TOKEN): ", "words or lines", "leave the token alone there"),
    ] {
        let line = told.iter().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("nothing begins with {start:?}: {told:#?}"));
        assert!(line.contains(problem) && line.contains(fix), "{line}");
    }
    assert!(!ended.err.contains("a secret"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_path_the_kernel_can_not_hold_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for bytes in [108, 200] {
        let start = folder.path().join("s").to_str().unwrap().to_owned();
        let path = format!("{start}{}", "x".repeat(bytes - start.len()));
        let mut command =
            sledge(&["run", "--socket", &path, "--polar-url", "http://127.0.0.1:1", "--data-dir"]);
        let ended = run(
            {
                command.arg(&data);
                command
            },
            "",
        )
        .await;
        assert_eq!(ended.code, Some(78), "{ended:?}");
        assert!(
            ended.err.contains(&format!("is {bytes} bytes long")) && ended.err.contains("107"),
            "{ended:?}"
        );
        assert!(!data.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_exits_75_and_names_the_first() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let first = home.start(&polar.url()).await;
    let process = format!("process {}", first.id());
    let elsewhere = Home::new();

    for (data, socket, fix) in [
        (home.path().join("data"), elsewhere.socket(), "data folder"),
        (elsewhere.path().join("data"), home.socket(), "--socket"),
        (home.path().join("data"), home.socket(), "--socket"),
    ] {
        let mut second =
            sledge(&["run", "--admin", "127.0.0.1:0", "--polar-url", &polar.url(), "--data-dir"]);
        second.arg(data).arg("--socket").arg(socket);
        let ended = run(second, "").await;
        assert_eq!(ended.code, Some(75), "{ended:?}");
        assert!(ended.err.contains(&process), "{process}: {ended:?}");
        assert!(ended.err.contains(fix), "{ended:?}");
    }
    assert_eq!(first.ingest(EVENT).await.0, 200, "the first one goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_of_a_killed_daemon_is_taken_over() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    home.start(&polar.url()).await.kill_nine().await;
    assert!(home.socket().exists(), "a killed process removes nothing");
    let second = home.start(&polar.url()).await;
    assert_eq!(second.ingest(EVENT).await.0, 200);
    polar.has_events(1, PATIENCE).await;
    let (status, _, log) = second.stop().await;
    assert!(status.success(), "{log}");
    assert!(!home.socket().exists(), "one that stops does");
}

/// The names after `# TYPE`.
fn names(exposition: &str) -> BTreeSet<&str> {
    exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_page_is_what_the_catalogue_and_prometheus_expect() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    // One of each: delivered, refused without an ack, and held. Some figures are there only while they mean something,
    // so the names of two moments are put together.
    assert_eq!(sledge.ingest(EVENT).await.0, 200);
    sledge.connect().await.write_all(b"{not json}\n").await.unwrap();
    sledge
        .scrape_until(|scrape| {
            scrape.sum("sledge_events_refused_total") > 0.0
                && scrape.get("sledge_time_to_drain_seconds") == Some(0.0)
        })
        .await;
    let (_, drained) = sledge.get("/metrics").await;
    polar
        .simulator
        .change(Change { accepted_tokens: Some(vec!["polar_oat_other".to_owned()]), ..Change::default() });
    let mut rng = fastrand::Rng::with_seed(1);
    // What is not compressed away makes the journal grow.
    let events: Vec<String> = (0..5_000)
        .map(|_| {
            let text: String = (0..400).map(|_| rng.alphanumeric()).collect();
            format!(
                r#"{{"name":"api_usage","external_customer_id":"user_1","metadata":{{"text":"{text}"}}}}"#
            )
        })
        .collect();
    assert_eq!(sledge.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await.0, 200);
    sledge
        .scrape_until(|scrape| {
            scrape.sum("sledge_held") > 0.0 && scrape.get("sledge_time_to_full_seconds").is_some()
        })
        .await;

    let (_, page) = sledge.get("/metrics").await;
    let ours = names(&page).into_iter().chain(names(&drained));
    let ours: BTreeSet<&str> = ours.filter(|name| name.starts_with("sledge_")).collect();
    let listed: BTreeSet<&str> = CATALOGUE.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, listed);
    assert!(names(&page).contains("process_resident_memory_bytes"));

    if tool::is_there("promtool", &["--version"]) {
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "metrics"]);
        let checked = run(promtool, &page).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
        assert_eq!(checked.err, "", "promtool has remarks");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alerts_of_the_page_on_metrics_are_rules_that_prometheus_takes() {
    if !tool::is_there("promtool", &["--version"]) {
        return;
    }
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yaml");
    let (_, block) = page.split_once("```yaml\n").unwrap();
    fs::write(&rules, block.split("```").next().unwrap()).unwrap();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "rules"]).arg(&rules);
    let checked = run(promtool, "").await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_has_nothing_to_say_against_the_unit() {
    if !tool::is_there("systemd-analyze", &["--version"]) {
        return;
    }
    let unit =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/sledge.service")).unwrap();
    // It complains of a program that is not installed, so it is shown one that is there.
    assert!(unit.contains("ExecStart=/usr/bin/sledge run"));
    let folder = tempfile::tempdir().unwrap();
    let verify = |text: String| {
        let path = folder.path().join("sledge.service");
        fs::write(&path, text).unwrap();
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["verify", "--man=no"]).arg(path);
        analyze
    };
    let unit = unit.replace("/usr/bin/sledge", env!("CARGO_BIN_EXE_sledge"));
    let verified = run(verify(unit.clone()), "").await;
    assert_eq!((verified.code, verified.err.as_str()), (Some(0), ""), "{verified:?}");
    let wrong = run(verify(unit.replace("NoNewPrivileges=yes", "NoNewPrivilegs=yes")), "").await;
    assert!(wrong.err.contains("NoNewPrivilegs"), "a wrong unit would be seen: {wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_token_nor_customer_nor_event_is_ever_said() {
    const SECRETS: [&str; 4] = ["polar_oat_secret", "customer-secret", "name-secret", "metadata-secret"];
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut command = home.run_command(&polar.url());
    command.args(["--log-level", "trace"]).env("POLAR_ACCESS_TOKEN", "polar_oat_secret");
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let event = r#"{"name":"name-secret","external_customer_id":"customer-secret","metadata":{"metadata-secret":"metadata-secret"}}"#;
    assert_eq!(sledge.ingest(&format!(r#"{{"events":[{event}]}}"#)).await.0, 200);
    polar.has_events(1, PATIENCE).await;
    // Refused here, with and without an answer; refused there; and held.
    let bad = event.replace("\"metadata-secret\"}", "null}");
    assert_eq!(sledge.ingest(&format!(r#"{{"events":[{bad}]}}"#)).await.0, 422);
    sledge.connect().await.write_all(format!("{bad}\n").as_bytes()).await.unwrap();
    let unknown = event.replace(
        r#""external_customer_id":"customer-secret""#,
        r#""customer_id":"0190163d-8694-4a5b-ab01-2f5d3b5e8a00""#,
    );
    assert_eq!(sledge.ingest(&format!(r#"{{"events":[{unknown}]}}"#)).await.0, 200);
    sledge.scrape_until(|scrape| scrape.sum("sledge_events_dead_lettered_total") > 0.0).await;
    polar
        .simulator
        .change(Change { accepted_tokens: Some(vec!["polar_oat_other".to_owned()]), ..Change::default() });
    assert_eq!(sledge.ingest(&format!(r#"{{"events":[{event}]}}"#)).await.0, 200);
    sledge.scrape_until(|scrape| scrape.sum("sledge_held") > 0.0).await;

    let mut said = String::new();
    for page in ["/metrics", "/status", "/readyz", "/livez"] {
        said.push_str(&sledge.get(page).await.1);
    }
    for json in [&["--json"][..], &[]] {
        let status = run_sledge(&[&["status", "--admin", sledge.admin()][..], json].concat()).await;
        said.push_str(&format!("{status:?}"));
    }
    let (_, printed, log) = sledge.stop().await;
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is as detailed as it gets: {log}");
    for secret in SECRETS {
        for (place, text) in [("pages", &said), ("output", &printed), ("log", &log)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in the {place}: {line:?}");
        }
    }
}
