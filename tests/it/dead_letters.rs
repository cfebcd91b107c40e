//! Dead letters from the outside: looked at, sent again, dropped, taken away and brought back, whether sledge runs or
//! not, and whatever becomes of it meanwhile.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use sledge::simulator::{AlsoRefuse, Change, RefusedAs, RefusedField};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::one_command::{Ended, run, shell, sledge};
use crate::readme::blocks;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool;

/// What this Polar refuses until [`relent`]: every event with one of these names.
fn refuse(polar: &FakePolar, names: &[&str]) {
    let rule = |name: &&str| AlsoRefuse {
        field: RefusedField::Name,
        containing: (*name).to_owned(),
        refused_as: RefusedAs::Schema,
    };
    let rules = names.iter().map(rule).collect();
    polar.simulator.change(Change { also_refuse: Some(rules), ..Change::default() });
}

fn relent(polar: &FakePolar) {
    refuse(polar, &[]);
}

fn event(name: &str, id: &str) -> String {
    format!(
        r#"{{"name":"{name}","external_customer_id":"user_1","external_id":"{id}","metadata":{{"units":1}}}}"#
    )
}

/// `sledge dead-letters` with these words, for the sledge at home here.
async fn dead_letters(home: &Home, words: &[&str]) -> Ended {
    dead_letters_given(home, words, "").await
}

async fn dead_letters_given(home: &Home, words: &[&str], input: &str) -> Ended {
    let mut command = sledge(&["dead-letters"]);
    command.args(words).arg("--data-dir").arg(home.path().join("data"));
    run(command, input).await
}

/// Waits until so many letters are kept.
async fn kept(sledge: &SledgeProcess, letters: f64) {
    sledge.scrape_until(|scrape| (scrape.sum("sledge_dead_letters") - letters).abs() < 0.5).await;
}

/// A line from a sender who hears nothing back.
async fn mutter(sledge: &SledgeProcess, line: &str) {
    let mut stream = sledge.connect().await;
    stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
}

/// What Polar has of each id; each must be there once.
fn inserted_once(polar: &FakePolar, ids: &[String]) {
    for id in ids {
        let record = polar.simulator.external_id(id).unwrap_or_else(|| panic!("{id} never came"));
        assert_eq!(record.inserted, 1, "{id}");
    }
}

/// The letters of an export, without their numbers.
fn letters_of(export: &str) -> Vec<Value> {
    let mut letters: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for letter in &mut letters {
        assert!(letter.as_object_mut().unwrap().remove("number").is_some());
    }
    letters
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_trip_loses_and_doubles_nothing() {
    let polar = FakePolar::start().await;
    refuse(&polar, &["retired"]);
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let ids: Vec<String> = (0..20).map(|number| format!("r{number}")).collect();
    let events: Vec<String> = ids.iter().map(|id| event("retired", id)).collect();
    let body = format!(r#"{{"events":[{},{}]}}"#, events.join(","), event("api_usage", "good"));
    assert_eq!(sledge.ingest(&body).await.0, 200);
    mutter(&sledge, r#"{"name":"nobody's"}"#).await;
    kept(&sledge, 21.0).await;

    let listed = dead_letters(&home, &["list"]).await;
    assert_eq!((listed.code, listed.err.as_str()), (Some(0), "21 dead letters\n"), "{listed:?}");
    assert_eq!(listed.out.lines().count(), 22, "{listed:?}");
    assert!(!listed.out.contains("user_1"), "a list shows nothing of a customer: {listed:?}");
    let some = dead_letters(&home, &["list", "--limit", "3"]).await;
    assert_eq!((some.code, some.err.as_str()), (Some(0), "3 dead letters, and there are more\n"), "{some:?}");
    let other = dead_letters(&home, &["list", "--code", "no_such_code"]).await;
    assert_eq!((other.code, other.out.as_str()), (Some(1), ""), "{other:?}");
    assert_eq!(other.err, "no dead letter matches these filters\n");
    let filtered = dead_letters(&home, &["list", "--origin", "intake", "--json"]).await;
    let refused: Value = serde_json::from_str(&filtered.out).unwrap();
    assert_eq!(
        (&refused["reason"], &refused["event_name"]),
        (&"refused_at_intake".into(), &"nobody's".into())
    );
    let number = refused["number"].to_string();
    let shown = dead_letters(&home, &["show", &number]).await;
    assert!(shown.out.ends_with("{\"name\":\"nobody's\"}\n"), "{shown:?}");
    assert_eq!(dead_letters(&home, &["show", "9999"]).await.code, Some(1));

    let file = home.path().join("letters.ndjson");
    let path = file.to_str().unwrap();
    let exported = dead_letters(&home, &["export", "-o", path]).await;
    assert_eq!((exported.code, exported.out.as_str()), (Some(0), ""), "{exported:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = dead_letters(&home, &["export", "-o", path]).await;
    assert_eq!(again.code, Some(74), "an export overwrites nothing: {again:?}");
    let export = std::fs::read_to_string(&file).unwrap();

    let unasked = dead_letters(&home, &["drop", "--all"]).await;
    assert_eq!(unasked.code, Some(64), "{unasked:?}");
    let dropped = dead_letters(&home, &["drop", "--all", "--yes"]).await;
    assert_eq!((dropped.code, dropped.out.as_str()), (Some(0), "dropped 21 dead letters\n"), "{dropped:?}");
    let none = dead_letters(&home, &["list"]).await;
    assert_eq!((none.code, none.out.as_str()), (Some(1), ""), "{none:?}");
    assert_eq!(none.err, "there are no dead letters\n");
    kept(&sledge, 0.0).await;

    let imported = dead_letters(&home, &["import", path]).await;
    assert_eq!(
        (imported.code, imported.out.as_str()),
        (Some(0), "imported 21 dead letters\n"),
        "{imported:?}"
    );
    let doubled = dead_letters_given(&home, &["import", "-"], &format!("{export}not a letter\n")).await;
    assert_eq!(doubled.code, Some(1), "{doubled:?}");
    assert_eq!(doubled.out, "imported 0 dead letters, 21 there already, 1 line refused\n");
    assert!(doubled.err.starts_with("line 22: "), "{doubled:?}");
    let returned = dead_letters(&home, &["export"]).await.out;
    assert_eq!(letters_of(&returned), letters_of(&export), "the letters are as they were");

    relent(&polar);
    let retried = dead_letters(&home, &["retry", "--all"]).await;
    assert_eq!(retried.code, Some(1), "{retried:?}");
    assert_eq!(retried.out, "20 events are pending again, 1 could not be retried\n");
    assert!(
        retried.err.contains("missing_field") && retried.err.contains("export the letter"),
        "{retried:?}"
    );
    polar.has_events(21, PATIENCE).await;
    inserted_once(&polar, &ids);
    let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    assert_eq!(scrape.get("sledge_events_restored_total{source=\"requeue\"}"), Some(20.0));
    kept(&sledge, 1.0).await;
    sledge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_and_offline_give_the_same_answers() {
    let polar = FakePolar::start().await;
    refuse(&polar, &["retired"]);
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let events: Vec<String> = (0..12).map(|number| event("retired", &format!("r{number}"))).collect();
    assert_eq!(sledge.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await.0, 200);
    // One after the other, so that their numbers are known.
    kept(&sledge, 12.0).await;
    mutter(&sledge, "{\u{7}not json").await;
    kept(&sledge, 13.0).await;
    mutter(&sledge, r#"{"name":"api_usage","external_id":"late"}"#).await;
    kept(&sledge, 14.0).await;
    let questions: &[&[&str]] = &[
        &["list"],
        &["list", "--json"],
        &["list", "--json", "--code", "missing_field", "--limit", "3"],
        &["list", "--since", "2999-01-01T00:00:00Z"],
        &["show", "3"],
        &["show", "12", "--json"],
        &["show", "99"],
        &["export"],
        &["export", "--events", "--event-name", "retired"],
        &["retry", "99", "12", "--json"],
        &["retry", "13"],
        &["drop", "99", "--yes", "--json"],
        &["import", "/nowhere/letters.ndjson"],
    ];
    let mut online = Vec::new();
    for question in questions {
        online.push(dead_letters(&home, question).await);
    }
    sledge.stop().await;
    for (question, online) in questions.iter().zip(&online) {
        let offline = dead_letters(&home, question).await;
        assert_eq!(format!("{offline:?}"), format!("{online:?}"), "{question:?}");
    }
    // What is changed offline is there online, and the other way round.
    let retried = dead_letters(&home, &["retry", "0", "1", "2"]).await;
    assert_eq!(
        (retried.code, retried.out.as_str()),
        (Some(0), "3 events are pending again\n"),
        "{retried:?}"
    );
    assert_eq!(dead_letters(&home, &["drop", "13", "--yes"]).await.code, Some(0));
    relent(&polar);
    let sledge = home.start(&polar.url()).await;
    polar.has_events(3, PATIENCE).await;
    let listed = dead_letters(&home, &["list", "--json"]).await;
    assert_eq!(listed.out.lines().count(), 10, "{listed:?}");
    assert_eq!(dead_letters(&home, &["retry", "--all", "--origin", "delivery"]).await.code, Some(0));
    polar.has_events(12, PATIENCE).await;
    sledge.stop().await;
    assert_eq!(dead_letters(&home, &["list", "--json"]).await.out.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_a_retry_each_event_is_still_inserted_once() {
    const EVENTS: usize = 4_000;
    let mut polar = FakePolar::start().await;
    refuse(&polar, &["retired"]);
    let home = Home::new();
    let mut sledge = home.start(&polar.url()).await;
    let ids: Vec<String> = (0..EVENTS).map(|number| format!("r{number}")).collect();
    for chunk in ids.chunks(1_000) {
        let events: Vec<String> = chunk.iter().map(|id| event("retired", id)).collect();
        assert_eq!(sledge.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await.0, 200);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    kept(&sledge, EVENTS as f64).await;
    relent(&polar);
    polar.go_away().await;
    let (mut kills, mut interrupted) = (0, 0);
    loop {
        let mut command = sledge_retry(&home);
        let mut retrying = command.kill_on_drop(true).spawn().unwrap();
        // The first letters are on their way, most are not.
        let scrape = sledge
            .scrape_until(|scrape| {
                scrape.sum("sledge_events_restored_total") > 0.0 || scrape.sum("sledge_dead_letters") == 0.0
            })
            .await;
        sledge.kill_nine().await;
        kills += 1;
        let ended = tokio::time::timeout(PATIENCE, retrying.wait()).await.unwrap().unwrap();
        interrupted += u32::from(ended.code() == Some(75));
        sledge = home.start(&polar.url()).await;
        if scrape.sum("sledge_dead_letters") == 0.0 || kills == 12 {
            break;
        }
    }
    println!("{interrupted} of {kills} retries were cut off by a kill");
    let last = dead_letters(&home, &["retry", "--all"]).await;
    assert!(matches!(last.code, Some(0 | 1)), "{last:?}");
    kept(&sledge, 0.0).await;
    polar.come_back();
    polar.has_events(EVENTS as u64, PATIENCE).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    inserted_once(&polar, &ids);
    assert_eq!(polar.simulator.state().events_inserted, EVENTS as u64);
    assert!(interrupted > 0, "no kill came in the middle: nothing was proven");
    sledge.stop().await;
}

fn sledge_retry(home: &Home) -> Command {
    let mut command = sledge(&["dead-letters", "retry", "--all", "--data-dir"]);
    command.arg(home.path().join("data")).stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_their_owners_and_the_address_shows_and_changes_none() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    mutter(&sledge, "{refused").await;
    kept(&sledge, 1.0).await;
    let socket = home.path().join("data/admin.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(sledge.get("/dead-letters").await.0, 404);
    assert_eq!(sledge.get("/dead-letters/0").await.0, 404);
    sledge.stop().await;
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sledge_and_without_a_journal_nothing_is_made_and_the_way_is_told() {
    let home = Home::new();
    let told = dead_letters(&home, &["list"]).await;
    assert_eq!(told.code, Some(69), "{told:?}");
    assert!(told.err.contains("--data-dir"), "{told:?}");
    assert!(!home.path().join("data").exists(), "a look makes no folder");

    // A sledge whose admin socket lies elsewhere has the journal; that is said, not waited for.
    let polar = FakePolar::start().await;
    let mut command = home.run_command(&polar.url());
    command.arg("--admin-socket").arg(home.path().join("elsewhere.sock"));
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let told = dead_letters(&home, &["list"]).await;
    assert_eq!(told.code, Some(75), "{told:?}");
    assert!(told.err.contains(&sledge.id().to_string()) && told.err.contains("--admin-socket"), "{told:?}");
    let elsewhere = home.path().join("elsewhere.sock");
    let found = dead_letters(&home, &["list", "--admin-socket", elsewhere.to_str().unwrap()]).await;
    assert_eq!((found.code, found.err.as_str()), (Some(1), "there are no dead letters\n"), "{found:?}");
    sledge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_there_is_no_more_room_the_status_says_so_until_there_is() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut command = home.run_command(&polar.url());
    command.env("SLEDGE_JOURNAL_DEAD_BYTES_MAX", "1048576");
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let line = format!(r#"{{"name":"{}"}}"#, "x".repeat(20_000));
    for _ in 0..80 {
        mutter(&sledge, &line).await;
    }
    let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_events_refused_total") > 79.5).await;
    let kept_now = scrape.sum("sledge_dead_letters");
    let scrape = sledge.scrape_until(|scrape| {
        let both = scrape.sum("sledge_dead_letters") + scrape.sum("sledge_dead_letters_not_kept_total");
        (both - 80.0).abs() < 0.5
    });
    let scrape = scrape.await;
    assert!(scrape.sum("sledge_dead_letters_not_kept_total") > 20.0, "{kept_now} kept: {scrape:?}");
    let (ready, body) = sledge.get("/readyz").await;
    assert_eq!(ready, 200, "{body}");
    assert!(body.contains("dead letters: degraded, "), "{body}");

    assert_eq!(dead_letters(&home, &["drop", "--all", "--yes"]).await.code, Some(0));
    let (_, body) = sledge.get("/readyz").await;
    assert!(!body.contains("dead letters"), "{body}");
    mutter(&sledge, "{one more").await;
    kept(&sledge, 1.0).await;
    let (_, _, log) = sledge.stop().await;
    let said = log.lines().filter(|line| line.contains("there is no more room for dead letters")).count();
    assert_eq!(said, 1, "said, and not said eighty times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_dead_letters_does_what_it_says() {
    if !tool::is_there("curl", &["--version"]) {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dead-letters.md");
    let page = std::fs::read_to_string(page).unwrap();
    let polar = FakePolar::start().await;
    refuse(&polar, &["gpu_minutes", "api_usge"]);
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let events = [event("gpu_minutes", "g1"), event("api_usge", "a1"), event("api_usge", "a2")];
    assert_eq!(sledge.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await.0, 200);
    mutter(&sledge, r#"{"name":"page_view","customer":"user_1","external_id":"m1"}"#).await;
    mutter(&sledge, "{left over").await;
    kept(&sledge, 5.0).await;
    let mut left = 2.0;
    // What the page calls the cause is gone for one of the two names.
    refuse(&polar, &["api_usge"]);
    let mut blocks = blocks(&page);
    blocks.retain(|(kind, _)| kind == "sh");
    assert!(blocks.len() >= 6, "{blocks:#?}");
    for (_, block) in blocks {
        let mut command = shell(&block);
        command.current_dir(home.path()).env("SLEDGE_DATA_DIR", home.path().join("data"));
        command.env("SLEDGE_SOCKET", home.socket());
        let ended = run(command, "").await;
        assert_eq!(ended.code, Some(0), "{block}\n{ended:?}");
        if block.contains("api_usge") || block.contains("--events") {
            // What came under the same name meanwhile is not dropped with those that were corrected, nor is what is no event.
            assert!(block.contains("--until"), "{block}");
            kept(&sledge, left).await;
            left = 1.0;
        }
    }
    polar.has_events(4, PATIENCE).await;
    inserted_once(&polar, &["g1", "a1", "a2", "m1"].map(str::to_owned));
    sledge.stop().await;
}
