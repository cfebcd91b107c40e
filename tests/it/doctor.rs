//! `sledge doctor`: every fault it can find is planted for real, one at a time, and found; set-ups that are well are silent.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sledge::doctor::Code;
use sledge::simulator::{Aggregation, Change, NewMeter, RateLimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::fake_polar::FakePolar;
use crate::one_command::{Ended, run, sledge};
use crate::readme::{assert_as_shown, blocks};
use crate::sledge_process::{Home, SledgeProcess, http};
use crate::tool;

const TOKEN: &str = "polar_oat_test";
const GRANT: [&str; 9] =
    ["grant", "10", "--customer", "user_123", "--event", "api_usage", "--property", "units", "--no-check"];
const USE: [&str; 6] = ["send", "api_usage", "--customer", "user_123", "--meta", "units=3"];

/// The words of `sledge doctor` for this home and this Polar.
fn words(home: &Home, polar_url: &str) -> Vec<String> {
    let socket = home.socket().display().to_string();
    let data = home.path().join("data").display().to_string();
    let words = ["doctor", "--json", "--data-dir", &data, "--socket", &socket];
    let more = ["--admin", "127.0.0.1:0", "--polar-url", polar_url];
    words.iter().chain(&more).map(|word| (*word).to_owned()).collect()
}

/// `sledge doctor` for this home and this Polar, with the token that the home's daemon has.
fn doctor(home: &Home, polar_url: &str) -> Command {
    let words = words(home, polar_url);
    let mut command = sledge(&words.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("POLAR_ACCESS_TOKEN", TOKEN);
    command
}

/// What it found, by code. No token is ever shown, and every finding says why it matters and what to do.
async fn codes(command: Command) -> Vec<String> {
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
async fn assert_finds(command: Command, expected: &[Code]) {
    let found = codes(command).await;
    assert_eq!(found, expected.iter().map(|code| code.as_str().to_owned()).collect::<Vec<_>>());
}

/// That it finds nothing, and says so to people in one line.
async fn assert_is_silent(command: Command) -> Ended {
    let ended = run(without_json(&command), "").await;
    assert_finds(command, &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.starts_with("nothing found; ") && ended.out.lines().count() == 1, "{ended:?}");
    assert_eq!(ended.err, "");
    ended
}

fn without_json(command: &Command) -> Command {
    with_words(command, |word| word != "--json")
}

fn with_words(command: &Command, is_kept: impl Fn(&str) -> bool) -> Command {
    let command = command.as_std();
    let mut again = Command::new(command.get_program());
    again.args(command.get_args().filter(|word| is_kept(word.to_str().unwrap()))).env_clear();
    again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    again
}

fn api_calls() -> NewMeter {
    NewMeter::sum("API Calls", "api_usage", "units")
}

/// A file with a token that only its owner may read.
fn token_file(home: &Home, token: &str) -> PathBuf {
    let path = home.path().join("token");
    fs::write(&path, token).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Has the home's sledge take what `sledge` with these words sends.
async fn send(home: &Home, words: &[&str]) {
    let socket = home.socket();
    let ended = run(sledge(&[words, &["--socket", socket.to_str().unwrap()]].concat()), "").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// Waits until nothing is owed to Polar.
async fn is_drained(sledge: &SledgeProcess) {
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
}

/// A Polar with the guide's meter, and a sledge that has delivered to it what these words send.
async fn with_sent(meter: NewMeter, words: &[&str]) -> (FakePolar, Home, SledgeProcess) {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(meter);
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    send(&home, words).await;
    is_drained(&sledge).await;
    (polar, home, sledge)
}

// Set-ups that are well.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_up_that_was_never_started_is_well() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    assert_is_silent(doctor(&home, &polar.url())).await;
    assert!(!home.path().join("data").exists(), "it makes nothing");
    let state = polar.simulator.state();
    assert_eq!((state.events_received, state.events_inserted), (0, 0), "no event was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sledge_at_work_is_well_and_so_is_its_journal_once_it_has_stopped() {
    let (polar, home, sledge) = with_sent(api_calls(), &GRANT).await;
    send(&home, &USE).await;
    is_drained(&sledge).await;
    assert_is_silent(doctor(&home, &polar.url())).await;
    let mut for_root = doctor(&home, &polar.url());
    for_root.args(["--uid", "0", "--event", "api_usage", "--property", "units"]);
    assert_is_silent(for_root).await;
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    assert_is_silent(doctor(&home, &polar.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemons_token_that_may_only_write_events_is_enough() {
    let (polar, home, _sledge) = with_sent(api_calls(), &GRANT).await;
    let scopes = [(TOKEN.to_owned(), vec!["events:write".to_owned()])].into();
    polar.simulator.change(Change { token_scopes: Some(scopes), ..Change::default() });
    let ended = assert_is_silent(doctor(&home, &polar.url())).await;
    assert!(
        ended.out.contains("could not be made"),
        "meters were not looked at, and that is said: {ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemons_and_a_callers_token_of_one_organization_are_well() {
    let (polar, home, _sledge) = with_sent(api_calls(), &GRANT).await;
    let file = token_file(&home, "polar_oat_daemon");
    let scopes = [("polar_oat_daemon".to_owned(), vec!["events:write".to_owned()])].into();
    polar.simulator.change(Change { token_scopes: Some(scopes), ..Change::default() });
    let mut command = doctor(&home, &polar.url());
    command.arg("--token-file").arg(&file);
    let ended = assert_is_silent(command).await;
    assert!(!ended.out.contains("could not be made"), "everything was looked at: {ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_whose_token_is_not_to_be_seen_is_well_and_the_units_credential_is_found_by_itself() {
    let (polar, home, sledge) = with_sent(api_calls(), &USE).await;
    let only = vec![TOKEN.to_owned()];
    polar.simulator.change(Change { accepted_tokens: Some(only), ..Change::default() });
    let mut blind = doctor(&home, &polar.url());
    blind.env_remove("POLAR_ACCESS_TOKEN");
    let ended = assert_is_silent(blind).await;
    assert!(ended.out.contains("could not be made"), "Polar was not asked, and that is said: {ended:?}");
    sledge.stop().await;
    if !tool::is_there("unshare", &["--mount", "true"]) {
        return;
    }
    // Laid over the machine's own, so that certificates and the like stay.
    let etc = home.path().join("etc");
    fs::create_dir(home.path().join("work")).unwrap();
    fs::create_dir_all(etc.join("sledge")).unwrap();
    fs::write(etc.join("sledge/polar_access_token"), TOKEN).unwrap();
    fs::set_permissions(etc.join("sledge/polar_access_token"), fs::Permissions::from_mode(0o600)).unwrap();
    let layers =
        format!("lowerdir=/etc,upperdir={},workdir={}", etc.display(), home.path().join("work").display());
    let over = format!("mount -t overlay overlay -o '{layers}' /etc");
    let with_credential = || {
        let mut command = doctor_after_mounting(&home, &polar, &over);
        command.env_remove("POLAR_ACCESS_TOKEN");
        command
    };
    assert_finds(with_credential(), &[]).await;
    fs::write(etc.join("sledge/polar_access_token"), "polar_oat_revoked").unwrap();
    assert_finds(with_credential(), &[Code::TokenUnknown]).await;
}

// The token, and Polar.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_other_environment_is_found_and_where_it_is_good() {
    let (production, sandbox) = (FakePolar::start().await, FakePolar::start().await);
    let only = |token: &str| Change { accepted_tokens: Some(vec![token.to_owned()]), ..Change::default() };
    production.simulator.change(only("polar_oat_production"));
    sandbox.simulator.change(only(TOKEN));
    let home = Home::new();
    let mut command = doctor(&home, &production.url());
    command.args(["--other-polar-url", &sandbox.url()]);
    assert_finds(command, &[Code::TokenOfOtherEnvironment]).await;
    assert_finds(doctor(&home, &production.url()), &[Code::TokenUnknown]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_scope_is_found() {
    let polar = FakePolar::start().await;
    let scopes = [(TOKEN.to_owned(), vec!["meters:read".to_owned()])].into();
    polar.simulator.change(Change { token_scopes: Some(scopes), ..Change::default() });
    assert_finds(doctor(&Home::new(), &polar.url()), &[Code::ScopeMissing]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_organization_is_found() {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(api_calls());
    let theirs = polar.simulator.another_organization(vec!["polar_oat_theirs".to_owned()]);
    theirs.create_meter(api_calls());
    let home = Home::new();
    let file = token_file(&home, "polar_oat_theirs");
    let mut command = doctor(&home, &polar.url());
    command.arg("--token-file").arg(&file);
    assert_finds(command, &[Code::TokenOfAnotherOrganization]).await;
    let mut named = doctor(&home, &polar.url());
    named.args(["--organization", "7d9c36b1-5f3e-4c1a-9c55-0123456789ab"]);
    assert_finds(named, &[Code::TokenOfAnotherOrganization]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_with_a_token_of_their_own_are_found() {
    let (polar, home, sledge) = with_sent(api_calls(), &USE).await;
    let body =
        r#"{"events":[{"name":"api_usage","external_customer_id":"user_123","metadata":{"units":1}}]}"#;
    let head =
        "POST /v1/events/ingest HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer polar_oat_theirs\r\n";
    let length = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let (status, answer) =
        http(sledge.connect().await, &format!("{head}{length}connection: close\r\n\r\n{body}")).await;
    assert_eq!(status, 200, "{answer}");
    is_drained(&sledge).await;
    assert_finds(doctor(&home, &polar.url()), &[Code::ForeignTokenInUse]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_token_a_placeholder_and_a_file_that_others_may_read_are_found() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let with_file = |file: &Path| {
        let mut command = doctor(&home, &polar.url());
        command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(file);
        command
    };
    assert_finds(with_file(&home.path().join("missing")), &[Code::TokenMissing]).await;
    assert_finds(with_file(&token_file(&home, "undefined")), &[Code::TokenMissing]).await;
    let file = token_file(&home, TOKEN);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_finds(with_file(&file), &[Code::TokenReadableByOthers]).await;

    let mut none = sledge(&["doctor", "--json", "--environment", "sandbox", "--admin", "127.0.0.1:0"]);
    none.arg("--data-dir").arg(home.path().join("data")).arg("--socket").arg(home.socket());
    assert_finds(none, &[Code::TokenMissing]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off_is_found_in_either_direction() {
    let polar = FakePolar::start().await;
    for offset in [-90_000, 90_000] {
        polar.simulator.change(Change { clock_offset_ms: Some(offset), ..Change::default() });
        assert_finds(doctor(&Home::new(), &polar.url()), &[Code::ClockSkewed]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_polar_does_not_know_is_told_from_a_wrong_address() {
    let polar = FakePolar::start().await;
    let mut command = doctor(&Home::new(), &polar.url());
    command.env("SLEDGE_POLAR_VERSION", "2019-01");
    assert_finds(command, &[Code::PolarVersionUnknown]).await;
    let elsewhere = format!("{}/api", polar.url());
    assert_finds(doctor(&Home::new(), &elsewhere), &[Code::PolarAddressWrong]).await;
}

/// Something that answers every request with a page of its own, as a login page or a proxy does.
async fn page(status: u16) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = "<html>Please log in</html>";
    let answer = format!(
        "HTTP/1.1 {status} Page\r\ncontent-type: text/html\r\nlocation: http://login.example/\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            // Whoever hangs up early gets no page.
            if stream.read(&mut head).await.is_ok() {
                drop(stream.write_all(answer.as_bytes()).await);
            }
        }
    });
    (url, serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_answers_in_polars_place_is_found() {
    for status in [200, 302, 403, 405, 407, 511] {
        let (url, _serving) = page(status).await;
        let expected = if status == 511 { Code::PolarUnreachable } else { Code::ProxyInTheWay };
        assert_finds(doctor(&Home::new(), &url), &[expected]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polar_that_is_away_is_found_and_a_proxy_that_sledge_does_not_use_is_named() {
    let mut polar = FakePolar::start().await;
    polar.go_away().await;
    let mut command = doctor(&Home::new(), &polar.url());
    command.env("HTTPS_PROXY", "http://127.0.0.1:1");
    let told = run(without_json(&command), "").await;
    assert!(told.out.contains("HTTPS_PROXY is set, and sledge takes no proxy"), "{told:?}");
    assert_finds(command, &[Code::PolarUnreachable]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_certificates_can_not_reach_polar_and_that_is_found() {
    if !tool::is_there("unshare", &["--mount", "true"]) {
        return;
    }
    let polar = FakePolar::start().await;
    let home = Home::new();
    fs::create_dir(home.path().join("etc")).unwrap();
    let bind = format!("mount --bind '{}' /etc", home.path().join("etc").display());
    assert_finds(doctor_after_mounting(&home, &polar, &bind), &[Code::PolarUnreachable]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_others_use_up_is_found() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let _sledge = home.start(&polar.url()).await;
    polar.simulator.change(Change { rate_limit: Some(RateLimit::PerMinute(20)), ..Change::default() });
    let host = polar.url().strip_prefix("http://").unwrap().to_owned();
    let get = format!(
        "GET /v1/customers/ HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer polar_oat_others\r\nconnection: close\r\n\r\n"
    );
    for _ in 0..25 {
        http(TcpStream::connect(&host).await.unwrap(), &get).await;
    }
    assert_finds(doctor(&home, &polar.url()), &[Code::BudgetUsedByOthers]).await;
}

// What is sent, and what counts.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_on_a_meter_that_is_no_sum_are_found() {
    let count = NewMeter { aggregation: Aggregation::Count, ..api_calls() };
    let (polar, home, _sledge) = with_sent(count, &GRANT).await;
    assert_finds(doctor(&home, &polar.url()), &[Code::MeterNotSum]).await;
    let mut before_any = doctor(&Home::new(), &polar.url());
    before_any.args(["--event", "api_usage", "--property", "units"]);
    assert_finds(before_any, &[Code::MeterNotSum]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_on_no_meter_credits_on_another_property_and_numbers_in_quotes_are_found() {
    for (meter, words, code) in [
        (NewMeter::sum("Calls", "api-usage", "units"), &USE[..], Code::EventOnNoMeter),
        (NewMeter::sum("Calls", "api_usage", "tokens"), &GRANT[..], Code::CreditsOnOtherProperty),
        (
            api_calls(),
            &["send", "api_usage", "--customer", "user_123", "--meta-text", "units=3"],
            Code::ValueSentAsText,
        ),
    ] {
        let (polar, home, _sledge) = with_sent(meter, words).await;
        assert_finds(doctor(&home, &polar.url()), &[code]).await;
    }
}

// The machine.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_use_the_socket_is_told_what_stops_it() {
    let (polar, home, _sledge) = with_sent(api_calls(), &USE).await;
    let for_user = |more: &[&str]| {
        let mut command = doctor(&home, &polar.url());
        command.args(["--uid", "54321"]).args(more);
        command
    };
    let told = run(without_json(&for_user(&[])), "").await;
    assert!(told.out.contains(&format!("user 54321 is stopped by {}", home.path().display())), "{told:?}");
    assert_finds(for_user(&[]), &[Code::SocketNotAllowed]).await;
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let told = run(without_json(&for_user(&[])), "").await;
    assert!(told.out.contains(&format!("stopped by {}", home.socket().display())), "{told:?}");
    let group =
        fs::metadata(home.socket()).map(|socket| std::os::unix::fs::MetadataExt::gid(&socket)).unwrap();
    assert_finds(for_user(&["--gid", &group.to_string()]), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_use_the_socket_is_what_the_kernel_says() {
    if !tool::is_there("setpriv", &["--reuid=54321", "--clear-groups", "true"]) {
        return;
    }
    let (polar, home, _sledge) = with_sent(api_calls(), &USE).await;
    let (folder, socket) = (home.path(), home.socket());
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    std::os::unix::fs::chown(folder, Some(54_321), Some(60_001)).unwrap();
    let mut verdicts = Vec::new();
    for (folder_mode, socket_mode) in
        [(0o755, 0o660), (0o750, 0o666), (0o711, 0o662), (0o070, 0o666), (0o001, 0o602)]
    {
        mode(folder, folder_mode);
        mode(&socket, socket_mode);
        for (uid, gid) in [("54321", "54321"), ("54322", "60001"), ("54322", "0"), ("54323", "54323")] {
            let mut kernel = Command::new("setpriv");
            kernel.args([
                &format!("--reuid={uid}"),
                &format!("--regid={gid}"),
                "--clear-groups",
                "test",
                "-w",
            ]);
            kernel.arg(&socket);
            let may = run(kernel, "").await.code == Some(0);
            let mut command = doctor(&home, &polar.url());
            command.args(["--uid", uid, "--gid", gid]);
            let found = codes(command).await;
            assert_eq!(found.is_empty(), may, "{uid}:{gid} {folder_mode:o} {socket_mode:o}: {found:?}");
            verdicts.push(may);
        }
    }
    assert!(verdicts.contains(&true) && verdicts.contains(&false), "{verdicts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_a_dead_sledge_left_is_found_and_told_as_the_page_has_it() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    sledge.kill_nine().await;
    assert_finds(doctor(&home, &polar.url()), &[Code::SocketStale]).await;

    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md")).unwrap();
    let blocks = blocks(&page);
    let [(shell, block), (text, shown)] = &blocks[..] else {
        panic!("two blocks are on the page: {blocks:?}")
    };
    assert_eq!((shell.as_str(), text.as_str()), ("sh", "text"));
    let binary = Path::new(env!("CARGO_BIN_EXE_sledge")).parent().unwrap();
    let mut command = Command::new("sh");
    command.args(["-ec", block]).env_clear().env("PATH", format!("{}:/usr/bin:/bin", binary.display()));
    command.env("SLEDGE_DATA_DIR", home.path().join("data")).env("SLEDGE_SOCKET", home.socket());
    command
        .env("SLEDGE_ADMIN", "127.0.0.1:0")
        .env("SLEDGE_POLAR_URL", polar.url())
        .env("POLAR_ACCESS_TOKEN", TOKEN);
    let ended = run(command, "").await;
    assert_as_shown(&ended.out.lines().collect::<Vec<_>>(), shown, block);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_whose_file_was_removed_under_a_living_sledge_is_found() {
    let (polar, home, _sledge) = with_sent(api_calls(), &USE).await;
    fs::remove_file(home.socket()).unwrap();
    assert_finds(doctor(&home, &polar.url()), &[Code::SocketMissing]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_in_memory_is_found() {
    if !Path::new("/dev/shm").is_dir() {
        return;
    }
    let polar = FakePolar::start().await;
    let home = Home::in_memory();
    let _sledge = home.start(&polar.url()).await;
    assert_finds(doctor(&home, &polar.url()), &[Code::JournalInMemory]).await;
}

/// `sledge doctor` in a mount namespace of its own, after this was done there.
fn doctor_after_mounting(home: &Home, polar: &FakePolar, mount: &str) -> Command {
    let mut command = Command::new("unshare");
    let mount = format!("{mount} && exec \"$@\"");
    command.args(["--mount", "sh", "-ec", &mount, "sh", env!("CARGO_BIN_EXE_sledge")]);
    command.args(words(home, &polar.url())).env_clear();
    command.env("POLAR_ACCESS_TOKEN", TOKEN).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_in_an_empty_dir_or_in_a_containers_layer_is_found() {
    if !tool::is_there("unshare", &["--mount", "true"]) {
        return;
    }
    let polar = FakePolar::start().await;
    let home = Home::new();
    let at = |path: &str| home.path().join(path).display().to_string();
    let volume = at("pods/1f/volumes/kubernetes.io~empty-dir/data");
    for folder in [&volume, &at("data"), &at("lower"), &at("upper"), &at("work")] {
        fs::create_dir_all(folder).unwrap();
    }
    let bind = format!("mount --bind '{volume}' '{}'", at("data"));
    assert_finds(doctor_after_mounting(&home, &polar, &bind), &[Code::JournalInEmptyDir]).await;
    let layers = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    let overlay = format!("mount -t overlay overlay -o '{layers}' '{}'", at("data"));
    assert_finds(doctor_after_mounting(&home, &polar, &overlay), &[Code::JournalInContainer]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_with_less_free_than_is_to_stay_free_is_found() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let disk = rustix::fs::statvfs(home.path()).unwrap();
    let mut command = doctor(&home, &polar.url());
    let nearly_all = disk.f_blocks * disk.f_frsize - disk.f_frsize;
    command.env("SLEDGE_JOURNAL_LOW_WATER_BYTES", nearly_all.to_string());
    assert_finds(command, &[Code::DiskLow]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_syncs_slowly_is_found() {
    if !tool::strace_is_there() {
        return;
    }
    let polar = FakePolar::start().await;
    let home = Home::new();
    fs::create_dir(home.path().join("data")).unwrap();
    let mut command = Command::new("strace");
    // Every sync of the real process takes 150 ms longer.
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]);
    command.args(["-e", "inject=fdatasync:delay_exit=150000", env!("CARGO_BIN_EXE_sledge")]);
    command.args(words(&home, &polar.url())).env_clear().env("POLAR_ACCESS_TOKEN", TOKEN);
    assert_finds(command, &[Code::SyncSlow]).await;
    assert_eq!(fs::read_dir(home.path().join("data")).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_contradict_each_other_are_found() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut command = doctor(&home, &polar.url());
    command.env("SLEDGE_EVENT_BYTES_MAX", "2097152").env("SLEDGE_DELIVERY_RETRY_INTERVAL_MS_MAX", "1");
    let found = codes(command).await;
    assert!(found.len() >= 2 && found.iter().all(|code| code == "config_invalid"), "{found:?}");
}

// The daemon and its journal.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_that_are_taken_for_one_are_found() {
    let polar = FakePolar::start().await;
    let (home, other) = (Home::new(), Home::new());
    let _first = home.start(&polar.url()).await;
    let second = other.start(&polar.url()).await;
    let words: Vec<String> = words(&home, &polar.url())
        .into_iter()
        .map(|word| {
            if word == home.socket().to_str().unwrap() { other.socket().display().to_string() } else { word }
        })
        .collect();
    let mut mixed = sledge(&words.iter().map(String::as_str).collect::<Vec<_>>());
    mixed.env("POLAR_ACCESS_TOKEN", TOKEN);
    assert_finds(mixed, &[Code::TwoDaemons]).await;
    // The second one's admin address beside the first one's socket and data folder.
    let mut command =
        with_words(&doctor(&home, &polar.url()), |word| word != "--admin" && word != "127.0.0.1:0");
    command.args(["--admin", second.admin()]);
    assert_finds(command, &[Code::TwoDaemons]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_delivery_is_found_with_what_holds_it() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let other = vec!["polar_oat_other".to_owned()];
    polar.simulator.change(Change { accepted_tokens: Some(other), ..Change::default() });
    send(&home, &USE).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_held") > 0.0).await;
    assert_finds(doctor(&home, &polar.url()), &[Code::DeliveryHeld, Code::TokenUnknown]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_found_whether_sledge_runs_or_not() {
    let (polar, home, sledge) = with_sent(api_calls(), &USE).await;
    let unknown = "7d9c36b1-5f3e-4c1a-9c55-0123456789ab";
    send(&home, &["send", "api_usage", "--customer-id", unknown, "--meta", "units=3"]).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_dead_letters") > 0.5).await;
    assert_finds(doctor(&home, &polar.url()), &[Code::DeadLettersWaiting]).await;
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    assert_finds(doctor(&home, &polar.url()), &[Code::DeadLettersWaiting]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_wait_without_a_daemon_are_found() {
    let mut polar = FakePolar::start().await;
    polar.simulator.create_meter(api_calls());
    polar.go_away().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    send(&home, &USE).await;
    sledge.stop().await;
    polar.come_back();
    assert_finds(doctor(&home, &polar.url()), &[Code::PendingWithoutDaemon]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_that_were_put_aside_are_found() {
    let (polar, home, _sledge) = with_sent(api_calls(), &USE).await;
    fs::create_dir_all(home.journal().join("quarantine/usage-volume-00000001-0")).unwrap();
    assert_finds(doctor(&home, &polar.url()), &[Code::JournalDamaged]).await;
}
