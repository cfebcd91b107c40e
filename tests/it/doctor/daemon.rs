//! The daemon and its journal.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::process::Signal;
use serde_json::Value;
use sledge::clock::Clock;
use sledge::doctor::Code;
use sledge::event::{EventBuf, PerLane};
use sledge::journal::{Append, Journal, Settings};
use sledge::metrics::{Listener, Metrics};
use sledge::simulator::{Change, Scripted};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::examination::{
    TOKEN, USE, api_calls, assert_finds, assert_is_silent, codes, doctor, is_drained, send, with_sent,
    with_words, without_json, words,
};
use crate::dev_process::DevProcess;
use crate::fake_polar::FakePolar;
use crate::one_command::{run, sledge};
use crate::sledge_process::{Home, SledgeProcess};

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
async fn a_socket_that_was_named_and_is_not_the_daemons_is_found_though_nobody_is_there() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let running = home.start(&polar.url()).await;
    let mut command = sledge(&["doctor", "--json", "--admin", running.admin(), "--polar-url", &polar.url()]);
    command.env("POLAR_ACCESS_TOKEN", TOKEN).env("SLEDGE_SOCKET", home.path().join("typo.sock"));
    let found = codes(command).await;
    assert!(found.iter().any(|code| code == Code::TwoDaemons.as_str()), "{found:?}");
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
async fn a_token_that_a_sledge_with_nothing_to_deliver_has_not_tried_yet_is_found_wanting() {
    let polar = FakePolar::start().await;
    let scopes = [(TOKEN.to_owned(), vec!["meters:read".to_owned()])].into();
    polar.simulator.change(Change { token_scopes: Some(scopes), ..Change::default() });
    let home = Home::new();
    let _sledge = home.start(&polar.url()).await;
    assert_finds(doctor(&home, &polar.url()), &[Code::ScopeMissing]).await;
}

/// A Polar that answers 503 to whatever is ingested, and so keeps events waiting.
async fn polar_that_takes_nothing() -> FakePolar {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(api_calls());
    polar.simulator.script([Scripted { times: u32::MAX, ..Scripted::status(503) }]);
    polar
}

/// What is found beside what such a Polar leads to by itself, once delivery has seen it.
async fn beside_that(command: Command) -> Vec<String> {
    let mut found = codes(command).await;
    assert!(found.contains(&Code::PolarUnreachable.as_str().to_owned()), "{found:?}");
    found.retain(|code| {
        ![Code::PolarUnreachable, Code::PartInTrouble].map(Code::as_str).contains(&code.as_str())
    });
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_has_waited_for_long_is_found() {
    let polar = polar_that_takes_nothing().await;
    let home = Home::new();
    // An event of ten minutes ago, in the journal of a sledge that was stopped then.
    let then = Clock::system().now() - 600_000;
    let clock = Clock::by_hand(Arc::new(AtomicU64::new(then)));
    let journal =
        Journal::open(&Settings::in_folder(home.journal()), clock, Metrics::new().unwrap()).unwrap();
    let mut usage = EventBuf::new();
    usage.push(br#"{"external_id":"long-ago","timestamp":"2026-08-22T12:00:00Z","name":"api_usage","external_customer_id":"user_123","metadata":{"units":3}}"#, 0);
    let append = Append { listener: Listener::Ndjson, events: PerLane { usage, ..PerLane::default() } };
    journal.appender().try_append(append).unwrap().committed().await.unwrap();
    journal.close().await.unwrap();
    let sledge = home.start(&polar.url()).await;
    assert_eq!(beside_that(doctor(&home, &polar.url())).await, ["lagging"]);
    polar.simulator.clear_script();
    is_drained(&sledge).await;
    assert_finds(doctor(&home, &polar.url()), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_nearly_full_is_found() {
    let polar = polar_that_takes_nothing().await;
    let home = Home::new();
    let mut command = home.run_command(&polar.url());
    command
        .env("SLEDGE_JOURNAL_BYTES_MAX", (64 << 20).to_string())
        .env("SLEDGE_JOURNAL_RETENTION_BYTES_MAX", "0");
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let mut random = fastrand::Rng::with_seed(17);
    loop {
        let scrape = sledge.scrape().await;
        if scrape.sum("sledge_journal_bytes") > 0.81 * scrape.sum("sledge_journal_limit_bytes") {
            break;
        }
        // Texts that can't be made smaller.
        let texts: Vec<String> = (0..1_600)
            .map(|key| {
                let text: String = std::iter::repeat_with(|| random.alphanumeric()).take(480).collect();
                format!(r#""{key}":"{text}""#)
            })
            .collect();
        let event = format!(
            r#"{{"events":[{{"name":"api_usage","external_customer_id":"user_123","metadata":{{"units":1,{}}}}}]}}"#,
            texts.join(",")
        );
        let (status, answer) = sledge.ingest(&event).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(beside_that(doctor(&home, &polar.url())).await, ["journal_nearly_full"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_can_not_do_all_it_is_for_is_found() {
    let (polar, home, sledge) = {
        let polar = FakePolar::start().await;
        polar.simulator.create_meter(api_calls());
        let home = Home::new();
        let mut command = home.run_command(&polar.url());
        command.env("SLEDGE_JOURNAL_DEAD_BYTES_MAX", (1 << 20).to_string());
        let sledge = SledgeProcess::start(command, home.socket()).await;
        (polar, home, sledge)
    };
    // More refused lines than dead letters may hold: from then on they are only counted.
    let line = format!("{{\"name\":\"{}\"}}\n", "long".repeat(5_000));
    let mut stream = sledge.connect().await;
    for _ in 0..80 {
        stream.write_all(line.as_bytes()).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    sledge.scrape_until(|scrape| scrape.sum("sledge_dead_letters_not_kept_total") > 0.5).await;
    assert_finds(doctor(&home, &polar.url()), &[Code::PartInTrouble, Code::DeadLettersWaiting]).await;
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

/// `sledge doctor` in a terminal where the line that this dev printed was pasted.
fn doctor_where_pasted(dev: &DevProcess) -> Command {
    let mut command = sledge(&["doctor", "--json"]);
    for name in ["SLEDGE_SOCKET", "SLEDGE_DATA_DIR", "SLEDGE_ADMIN", "SLEDGE_POLAR_URL", "POLAR_ACCESS_TOKEN"]
    {
        command.env(name, dev.word_after(&format!("{name}=")));
    }
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_of_a_dev_that_has_ended_are_found_and_nothing_is_said_of_what_they_name() {
    let dev = DevProcess::start().await;
    let pasted = || with_words(&doctor_where_pasted(&dev), |_| true);
    assert_finds(pasted(), &[]).await;
    let (ended, without_json) = (pasted(), without_json(&pasted()));
    let (status, ..) = dev.end_by(Signal::KILL).await;
    assert!(!status.success());
    assert_finds(ended, &[Code::DevEnded]).await;
    let told = run(without_json, "").await;
    assert!(told.out.starts_with("dev_ended: ") && told.out.contains("paste the line"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_sledge_runs_the_first_thing_said_is_what_to_do() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let first = "no sledge runs here: start it with `sledge run`, or `systemctl start sledge`; from then on events are kept";
    polar
        .simulator
        .change(Change { accepted_tokens: Some(vec!["polar_oat_other".to_owned()]), ..Change::default() });
    let told = run(without_json(&doctor(&home, &polar.url())), "").await;
    assert_eq!(told.out.lines().next(), Some(first), "{told:?}");
    assert!(!told.out.contains("are kept, and none is delivered"), "nobody is there to keep them: {told:?}");
    let report: Value = serde_json::from_str(&run(doctor(&home, &polar.url()), "").await.out).unwrap();
    assert_eq!(report["first"], first);
    // What never starts, or would lose events, is mended before.
    polar.simulator.change(Change { accepted_tokens: Some(vec![TOKEN.to_owned()]), ..Change::default() });
    let mut tokenless = without_json(&doctor(&home, &polar.url()));
    tokenless.env_remove("POLAR_ACCESS_TOKEN");
    let told = run(tokenless, "").await;
    assert!(told.out.starts_with("no sledge runs here: mend what is found, then start it with "), "{told:?}");
    polar
        .simulator
        .change(Change { accepted_tokens: Some(vec!["polar_oat_other".to_owned()]), ..Change::default() });
    let _sledge = home.start(&polar.url()).await;
    let report: Value = serde_json::from_str(&run(doctor(&home, &polar.url()), "").await.out).unwrap();
    assert_eq!((&report["findings"][0]["code"], report.get("first")), (&"token_unknown".into(), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_in_place_of_the_journals_lock_keeps_nobody_waiting() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    fs::create_dir_all(home.journal()).unwrap();
    let lock = home.journal().join("lock");
    rustix::fs::mknodat(rustix::fs::CWD, lock, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let ended = assert_is_silent(doctor(&home, &polar.url())).await;
    assert!(!ended.out.contains("everything else"), "what is no lock is nobody's: {ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_that_were_put_aside_are_found() {
    let (polar, home, _sledge) = with_sent(api_calls(), &USE).await;
    fs::create_dir_all(home.journal().join("quarantine/usage-volume-00000001-0")).unwrap();
    assert_finds(doctor(&home, &polar.url()), &[Code::JournalDamaged]).await;
}
