//! What was delivered, looked up and sent again from the outside, whether sledge runs or not, and whatever becomes of
//! either side meanwhile.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sledge::clock::Clock;
use sledge::simulator::{AlsoRefuse, Change, NewMeter, RefusedAs, RefusedField};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::one_command::{Ended, run, shell, sledge};
use crate::readme::blocks;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool;

fn event(name: &str, id: &str) -> String {
    format!(
        r#"{{"name":"{name}","external_customer_id":"user_1","external_id":"{id}","metadata":{{"units":1}}}}"#
    )
}

fn body(ids: &[String]) -> String {
    let events: Vec<String> = ids.iter().map(|id| event("api_usage", id)).collect();
    format!(r#"{{"events":[{}]}}"#, events.join(","))
}

/// Hands events over, and waits until Polar has confirmed all there are.
async fn deliver(sledge: &SledgeProcess, ids: &[String]) {
    for chunk in ids.chunks(500) {
        let (status, answer) = sledge.ingest(&body(chunk)).await;
        assert_eq!(status, 200, "{answer}");
    }
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

/// `sledge` with these words, for the sledge at home here.
async fn command(home: &Home, words: &[&str]) -> Ended {
    let mut command = sledge(words);
    command.arg("--data-dir").arg(home.path().join("data"));
    run(command, "").await
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("no JSON: {ended:?}"))
}

/// A moment as the command line takes it, to the millisecond.
fn moment(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1_000).unwrap();
    let time = speedate::DateTime::from_timestamp(seconds, u32::try_from(millis % 1_000 * 1_000).unwrap());
    time.unwrap().with_timezone_offset(Some(0)).unwrap().to_string()
}

/// What Polar will not take from now on: events of this name; nothing in particular when there is none.
fn refuse(polar: &FakePolar, name: Option<&str>) {
    let rule = |name: &str| AlsoRefuse {
        field: RefusedField::Name,
        containing: name.to_owned(),
        refused_as: RefusedAs::Schema,
    };
    let rules = name.map(rule).into_iter().collect();
    polar.simulator.change(Change { also_refuse: Some(rules), ..Change::default() });
}

/// Of so many events a replay knows that an earlier one sent them again; those beyond are sent twice, which is harmless.
const COPIES_REMEMBERED: u64 = 500_000;

/// The outage of June 2026: Polar is restored from a snapshot, and a replay gives back exactly what it lost, while new
/// events come in, and nothing of what had been refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_gives_a_restored_polar_exactly_what_it_lost() {
    let seconds = tool::number_from("SLEDGE_REPLAY_SECONDS", 3);
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    let home = Home::new();
    let mut command_line = home.run_command(&polar.url());
    // However long it goes on and however fast the machine is, all of it is kept, and twice.
    command_line.env("SLEDGE_JOURNAL_RETENTION_BYTES_MAX", (8_u64 << 30).to_string());
    command_line.env("SLEDGE_JOURNAL_BYTES_MAX", (16_u64 << 30).to_string());
    let sledge = SledgeProcess::start(command_line, home.socket()).await;
    deliver(&sledge, &ids("before", 400)).await;
    refuse(&polar, Some("retired"));
    let refused: Vec<String> = ids("refused", 6).iter().map(|id| event("retired", id)).collect();
    assert_eq!(sledge.ingest(&format!(r#"{{"events":[{}]}}"#, refused.join(","))).await.0, 200);
    sledge.scrape_until(|scrape| scrape.sum("sledge_dead_letters") == 6.0).await;
    assert_eq!(command(&home, &["dead-letters", "drop", "0", "1", "2", "--yes"]).await.code, Some(0));

    let (snapshot, since) = (polar.simulator.snapshot(), Clock::system().now());
    let began = std::time::Instant::now();
    let (mut rounds, mut lost) = (0, 0_u64);
    while began.elapsed() < Duration::from_secs(seconds as u64) {
        let count = 50 + rounds % 7 * 100;
        deliver(&sledge, &ids(&format!("after-{rounds}"), count)).await;
        lost += count as u64;
        rounds += 1;
    }
    polar.simulator.restore(snapshot).unwrap();
    let state = polar.simulator.state();
    assert_eq!((state.external_ids_lost, state.events_present), (lost, 400));
    // All is well again at Polar's, so whatever comes is taken.
    refuse(&polar, None);

    let counted = command(&home, &["replay", "--since", &moment(since), "--dry-run"]).await;
    assert_eq!(counted.code, Some(0), "{counted:?}");
    assert_eq!(polar.simulator.state().external_ids_lost, lost, "a dry run sends nothing");
    let (since, until, meanwhile) = (moment(since), moment(Clock::system().now()), ids("meanwhile", 300));
    let words = ["replay", "--since", &since, "--json"];
    // Who is quicker, the command or the new events, is not told in advance.
    let until_now = [&words[..], &["--until", &until]].concat();
    let (replayed, ()) = tokio::join!(command(&home, &until_now), deliver(&sledge, &meanwhile));
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let report = json(&replayed);
    assert_eq!((report["events"].as_u64(), report["unreadable"].as_u64()), (Some(lost), Some(0)), "{report}");
    let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let expected = lost as f64;
    assert_eq!(scrape.get("sledge_events_restored_total{source=\"replay\"}"), Some(expected));

    let state = polar.simulator.state();
    assert_eq!(state.external_ids_lost, 0, "the missing set is back, all of it");
    assert_eq!(state.events_present, 400 + 300 + lost, "and nothing else is there");
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let balance = -((400 + 300 + lost) as f64);
    assert_eq!(polar.simulator.balance("user_1", "API Calls"), Some(balance), "nothing counts twice");
    assert_eq!(state.external_ids_in_two_requests_at_once, 0);
    let is_there = |id: &str| polar.simulator.external_id(id).is_some_and(|record| record.present);
    assert!(
        (0..6).all(|number| !is_there(&format!("refused-{number}"))),
        "neither kept letters nor dropped ones"
    );
    println!("{lost} events of {seconds} s were lost and came back; {rounds} rounds");

    // A second replay of the same span finds each event twice, sends it once, and changes nothing at Polar's.
    let again = command(&home, &words).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let not_remembered = lost.saturating_sub(COPIES_REMEMBERED);
    assert_eq!(json(&again)["events"].as_u64(), Some(lost + 300 + not_remembered));
    assert_eq!(polar.simulator.balance("user_1", "API Calls"), Some(balance));
    let (_, _, log) = sledge.stop().await;
    assert!(
        !log.contains("two applications use the same external_id"),
        "duplicates of a replay are no surprise"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_a_replay_it_is_run_again_and_nothing_is_doubled() {
    const EVENTS: usize = 20_000;
    let mut polar = FakePolar::start().await;
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    let home = Home::new();
    let mut sledge = home.start(&polar.url()).await;
    let snapshot = polar.simulator.snapshot();
    deliver(&sledge, &ids("e", EVENTS)).await;
    polar.simulator.restore(snapshot).unwrap();
    // Nothing is delivered meanwhile, so that only what is pending already tells what was put back.
    polar.go_away().await;
    let mut interrupted = 0;
    for _ in 0..8 {
        let mut replaying = sledge_replay(&home).spawn().unwrap();
        sledge
            .scrape_until(|scrape| {
                scrape.sum("sledge_events_restored_total") > 0.0
                    || replaying.try_wait().is_ok_and(|ended| ended.is_some())
            })
            .await;
        sledge.kill_nine().await;
        let ended = tokio::time::timeout(PATIENCE, replaying.wait()).await.unwrap().unwrap();
        interrupted += u32::from(ended.code() == Some(75));
        sledge = home.start(&polar.url()).await;
    }
    println!("{interrupted} of 8 replays were cut off by a kill");
    let last = command(&home, &["replay", "--since", "1h", "--json"]).await;
    assert_eq!(last.code, Some(0), "{last:?}");
    let report = json(&last);
    let restored = report["events"].as_u64().unwrap() + report["pending_again"].as_u64().unwrap();
    assert_eq!(restored, EVENTS as u64, "{report}");
    let scrape = sledge.scrape().await;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let pending = EVENTS as f64;
    assert_eq!(
        scrape.sum("sledge_pending_events"),
        pending,
        "each is pending once, however often it was tried"
    );
    polar.come_back();
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let state = polar.simulator.state();
    assert_eq!((state.external_ids_lost, state.events_present), (0, EVENTS as u64));
    assert_eq!(polar.simulator.balance("user_1", "API Calls"), Some(-pending));
    assert!(interrupted > 0, "no kill came in the middle: nothing was proven");
    sledge.stop().await;
}

fn sledge_replay(home: &Home) -> Command {
    let mut command = sledge(&["replay", "--since", "1h", "--data-dir"]);
    command.arg(home.path().join("data")).stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_explained_from_its_accept_to_its_end_by_every_road() {
    let mut polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    deliver(&sledge, &ids("http", 3)).await;
    let mut stream = sledge.connect().await;
    stream.write_all(format!("{}\n", event("api_usage", "line")).as_bytes()).await.unwrap();
    drop(stream);
    polar.has_events(4, PATIENCE).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;

    for (id, road) in [("http-1", "http"), ("line", "ndjson")] {
        let told = command(&home, &["explain", id]).await;
        assert_eq!(told.code, Some(0), "{told:?}");
        let lines: Vec<&str> = told.out.lines().map(|line| line.split_once(' ').unwrap().0).collect();
        assert_eq!(lines, ["accepted", "sent", "delivered"], "{told:?}");
        assert!(told.out.contains(&format!(" by {road}, ")) && told.out.contains("answered 200"), "{told:?}");
        assert!(told.err.contains("searched 0 events of the lane of grants, 4 events of the lane of usage"));
    }

    // While Polar is away, only delivery knows what it has tried.
    polar.go_away().await;
    assert_eq!(sledge.ingest(&body(&ids("away", 2))).await.0, 200);
    let pending = loop {
        let told = command(&home, &["explain", "away-0", "--json"]).await;
        let explanation = json(&told);
        if explanation["events"][0]["answers"].as_array().is_some_and(|answers| !answers.is_empty()) {
            break explanation;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let waiting = &pending["events"][0];
    assert_eq!((&waiting["state"], &waiting["source"]), (&"pending".into(), &"http".into()), "{pending}");
    assert_eq!(waiting["answers"][0]["status"], 0, "nobody answered: {pending}");
    refuse(&polar, Some("retired"));
    polar.come_back();
    assert_eq!(sledge.ingest(&format!(r#"{{"events":[{}]}}"#, event("retired", "dead"))).await.0, 200);
    sledge.scrape_until(|scrape| scrape.sum("sledge_dead_letters") == 1.0).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let dead = command(&home, &["explain", "dead"]).await;
    assert!(dead.out.contains("answered 422") && dead.out.contains("\ndead  "), "{dead:?}");
    assert!(dead.out.contains("dead letter 0: given up ") && dead.out.contains("came by http"), "{dead:?}");
    assert!(!dead.out.contains("user_1"), "the event's own text is not shown: {dead:?}");

    let unknown = command(&home, &["explain", "never"]).await;
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(1), "nothing is known of never\n"), "{unknown:?}");
    assert!(unknown.err.contains("searched 0 events of the lane of grants, 7 events"), "{unknown:?}");
    let searched = json(&command(&home, &["explain", "never", "--json"]).await);
    let oldest = moment(searched["usage"]["oldest_accepted"].as_u64().unwrap() / 1_000 * 1_000);
    let since = format!("7 events of the lane of usage since {oldest}, 1 dead letter since ");
    assert!(unknown.err.contains(&since), "how far back it looked is told: {unknown:?}");
    let past = ["replay", "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"];
    let nothing =
        "nothing that is still kept was delivered between 2020-01-01T00:00:00Z and 2020-01-02T00:00:00Z";
    let empty = command(&home, &past).await;
    assert_eq!(empty.code, Some(1), "{empty:?}");
    assert!(empty.out.ends_with(&format!("{nothing}\n")), "{empty:?}");
    let empty = json(&command(&home, &[&past[..], &["--json"]].concat()).await);
    assert_eq!(empty["findings"], serde_json::json!([nothing]));

    // The same is told when sledge does not run.
    let questions: &[&[&str]] = &[
        &["explain", "http-1"],
        &["explain", "dead", "--json"],
        &["explain", "never"],
        &["replay", "--since", "1h", "--dry-run"],
        &["replay", "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z", "--dry-run"],
    ];
    let mut online = Vec::new();
    for question in questions {
        online.push(command(&home, question).await);
    }
    sledge.stop().await;
    for (question, online) in questions.iter().zip(&online) {
        let offline = command(&home, question).await;
        assert_eq!(format!("{offline:?}"), format!("{online:?}"), "{question:?}");
    }
    let replayed = command(&home, &["replay", "--since", "1h"]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.out.starts_with("6 events ("), "{replayed:?}");
    let sledge = home.start(&polar.url()).await;
    let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    assert_eq!(scrape.get("sledge_events_delivered_total{result=\"duplicate\"}"), Some(6.0), "{scrape:?}");
    sledge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_kept_is_told_and_the_address_neither_explains_nor_replays() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut command_line = home.run_command(&polar.url());
    command_line.env("SLEDGE_JOURNAL_RETENTION_SECONDS", "0");
    let sledge = SledgeProcess::start(command_line, home.socket()).await;
    // Enough for several volumes, of which none is kept once it is settled.
    let mut rng = fastrand::Rng::with_seed(1);
    for round in 0..40 {
        let events: Vec<String> = ids(&format!("noise-{round}"), 500)
            .iter()
            .map(|id| {
                let note: String = (0..480).map(|_| rng.alphanumeric()).collect();
                event("api_usage", id).replace(r#""units":1"#, &format!(r#""units":1,"note":"{note}""#))
            })
            .collect();
        assert_eq!(sledge.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await.0, 200);
    }
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let told = command(&home, &["replay", "--since", "1h", "--dry-run"]).await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.out.contains("are no longer kept") && told.out.contains("journal.retention"), "{told:?}");
    let unknown = command(&home, &["explain", "noise-0-0"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("are no longer known"), "{unknown:?}");
    for path in ["/explain", "/replay"] {
        assert_eq!(sledge.get(path).await.0, 404, "{path}");
    }
    let empty = command(&home, &["replay", "--since", "1h", "--until", "2h"]).await;
    assert_eq!(empty.code, Some(64), "{empty:?}");
    sledge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_delivered_events_does_what_it_says() {
    if !tool::is_there("curl", &["--version"]) {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/delivered.md");
    let page = std::fs::read_to_string(page).unwrap();
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    deliver(&sledge, &["call-81".to_owned(), "call-82".to_owned()]).await;
    let mut blocks = blocks(&page);
    blocks.retain(|(kind, _)| kind == "sh");
    assert_eq!(blocks.len(), 4, "{blocks:#?}");
    for (_, block) in blocks {
        let mut command = shell(&block);
        command.current_dir(home.path()).env("SLEDGE_DATA_DIR", home.path().join("data"));
        let ended = run(command, "").await;
        assert_eq!(ended.code, Some(0), "{block}\n{ended:?}");
        assert!(
            ended.out.contains("200") || ended.out.contains("2 events") || ended.out.contains(":2,"),
            "{ended:?}"
        );
    }
    sledge.scrape_until(|scrape| scrape.sum("sledge_events_delivered_total") > 3.5).await;
    assert_eq!(polar.simulator.state().events_inserted, 2);
    sledge.stop().await;
}
