//! Events taken out of a journal and brought back, by the commands a person would use.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::one_command::{Ended, run, shell, sledge};
use crate::readme::blocks;
use crate::sledge_process::{Home, PATIENCE};
use crate::tool;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

async fn journal(words: &[&str], data_dir: Option<&Path>, input: &str) -> Ended {
    let mut command = sledge(&["journal"]);
    command.args(words);
    if let Some(data_dir) = data_dir {
        command.arg("--data-dir").arg(data_dir);
    }
    run(command, input).await
}

/// An ingest request of so many events, each with an id that begins so; every tenth is a grant.
fn request(id: &str, events: usize) -> String {
    let event = |number: usize| {
        let units = if number.is_multiple_of(10) { -5 } else { 3 };
        format!(
            "{{\"name\":\"api_usage\",\n\"external_customer_id\":\"user_1\",\"external_id\":\"{id}{number}\",\"metadata\":{{\"units\":{units}}}}}"
        )
    };
    let events: Vec<String> = (0..events).map(event).collect();
    format!("{{\"events\":[{}]}}", events.join(","))
}

/// A home whose sledge took so many events, delivered none, and was stopped.
async fn home_with(events: usize) -> Home {
    let home = Home::new();
    let sledge = home.start(NOWHERE).await;
    assert_eq!(sledge.ingest(&request("e", events)).await.0, 200);
    assert!(sledge.stop().await.0.success());
    home
}

/// Polar has each of these, once.
fn inserted_once(polar: &FakePolar, id: &str, events: usize) {
    for number in 0..events {
        let record = polar.simulator.external_id(&format!("{id}{number}"));
        assert_eq!(record.unwrap_or_else(|| panic!("{id}{number} never came")).inserted, 1, "{id}{number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_fed_back_and_every_event_counts_once() {
    let home = home_with(120).await;
    let data = home.path().join("data");
    let file = home.path().join("pending.ndjson");
    let path = file.to_str().unwrap();
    let exported = journal(&["export", "-o", path, "--json"], Some(&data), "").await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    assert_eq!(exported.out, "{\"exported\":120,\"lost_events\":0,\"unreadable_bytes\":0}\n");
    let lines = std::fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 120, "one event on each line, whatever it came as");
    let event: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(event["external_id"].is_string() && event["timestamp"].is_string());
    let grants = journal(&["export", "--lane", "grants"], Some(&data), "").await;
    assert_eq!((grants.code, grants.out.lines().count()), (Some(0), 12), "{grants:?}");
    let none = journal(&["export", "--delivered"], Some(&data), "").await;
    assert_eq!((none.code, none.out.as_str()), (Some(1), ""), "{none:?}");
    let again = journal(&["export", "-o", path], Some(&data), "").await;
    assert_eq!(again.code, Some(74), "an export overwrites nothing: {again:?}");

    // Into another journal that nobody has open, half of it twice.
    let polar = FakePolar::start().await;
    let other = Home::new();
    let other_data = other.path().join("data");
    let absent = journal(&["import", path], Some(&other_data), "").await;
    assert_eq!(absent.code, Some(69), "{absent:?}");
    let sledge = other.start(NOWHERE).await;
    sledge.stop().await;
    let imported = journal(&["import", path], Some(&other_data), "").await;
    assert_eq!((imported.code, imported.out.as_str()), (Some(0), "imported 120 events\n"), "{imported:?}");
    let sledge = other.start(&polar.url()).await;
    let half: String = lines.lines().take(60).map(|line| format!("{line}\n")).collect();
    let bad = format!("{half}not json\n{{\"name\":\"api_usage\",\"external_customer_id\":\"user_1\"}}\n");
    let online = journal(&["import", "-", "--json"], Some(&other_data), &bad).await;
    assert_eq!(online.code, Some(1), "{online:?}");
    assert_eq!(online.out, "{\"imported\":60,\"refused_lines\":[61,62]}\n");
    assert!(online.err.contains("line 61: not JSON") && online.err.contains("line 62: no_external_id"));
    let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    assert_eq!(scrape.get("sledge_events_restored_total{source=\"import\"}"), Some(60.0));
    assert_eq!(scrape.get("sledge_events_delivered_total{result=\"duplicate\"}"), Some(60.0));
    polar.has_events(120, PATIENCE).await;
    inserted_once(&polar, "e", 120);

    let unmade = home.path().join("unmade");
    let running = journal(&["export", "-o", unmade.to_str().unwrap()], Some(&other_data), "").await;
    assert_eq!(running.code, Some(75), "{running:?}");
    assert!(!unmade.exists(), "a refused export leaves no file");
    assert!(running.err.contains("stop that sledge first"), "{running:?}");
    sledge.stop().await;
    let delivered = journal(&["export", "--delivered"], Some(&other_data), "").await;
    assert_eq!((delivered.code, delivered.out.lines().count()), (Some(0), 180), "{delivered:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_is_salvaged_into_one_that_runs() {
    let home = home_with(50).await;
    let sledge = home.start(NOWHERE).await;
    assert_eq!(sledge.ingest(&request("f", 200)).await.0, 200);
    let mut stream = sledge.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"{\"name\":\"nobody's\"}\n").await.unwrap();
    sledge.scrape_until(|scrape| scrape.sum("sledge_dead_letters") > 0.5).await;
    assert!(sledge.stop().await.0.success());
    // What the store needs to open the volume is gone, and so is one of its blocks.
    let volume = home.journal().join("usage/volume-00000001");
    let mut bytes = std::fs::read(volume.join("db")).unwrap();
    bytes[..64].fill(0xff);
    std::fs::write(volume.join("db"), bytes).unwrap();
    std::fs::write(volume.join("conf"), "nonsense").unwrap();

    let fresh = home.path().join("fresh");
    let (place, into) = (home.journal(), fresh.to_str().unwrap().to_owned());
    let place = place.to_str().unwrap();
    let salvaged = journal(&["salvage", place, "--into", &into, "--json"], None, "").await;
    assert_eq!(salvaged.code, Some(0), "{salvaged:?}");
    assert_eq!(
        salvaged.out,
        "{\"events\":250,\"letters\":1,\"letters_left\":0,\"lost_events\":0,\"unreadable_bytes\":0}\n"
    );
    let again = journal(&["salvage", place, "--into", &into], None, "").await;
    assert_eq!(again.code, Some(64), "{again:?}");
    let letters = journal(&["salvage", place, "--letters"], None, "").await;
    assert_eq!((letters.code, letters.out.lines().count()), (Some(0), 1), "{letters:?}");
    assert!(letters.out.contains("nobody's"), "{letters:?}");
    let lines = journal(&["salvage", place, "--lane", "grants"], None, "").await;
    assert_eq!((lines.code, lines.out.lines().count()), (Some(0), 25), "{lines:?}");

    let polar = FakePolar::start().await;
    std::fs::rename(home.journal(), home.path().join("broken")).unwrap();
    std::fs::rename(fresh.join("journal"), home.journal()).unwrap();
    let sledge = home.start(&polar.url()).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    assert!((sledge.scrape().await.sum("sledge_dead_letters") - 1.0).abs() < 0.5);
    polar.has_events(250, PATIENCE).await;
    inserted_once(&polar, "e", 50);
    inserted_once(&polar, "f", 200);
    sledge.stop().await;
    let nothing = journal(&["salvage", home.path().join("sledge.toml").to_str().unwrap()], None, "").await;
    assert_eq!(nothing.code, Some(74), "{nothing:?}");
}

/// A block of the dead row with this in it, as docs/durability.md draws it.
fn frame_of_a_letter(seq: u64, letter: &str) -> Vec<u8> {
    let mut body = u32::try_from(letter.len()).unwrap().to_le_bytes().to_vec();
    body.extend_from_slice(letter.as_bytes());
    let len = u32::try_from(body.len()).unwrap().to_le_bytes();
    let mut frame = b"SLJF\x02\x01\x03\x00".to_vec();
    frame.extend_from_slice(&seq.to_le_bytes());
    frame.extend_from_slice(&1_u32.to_le_bytes());
    frame.extend_from_slice(&[0, 0, 1, 0]);
    frame.extend_from_slice(&[0; 16]);
    frame.extend_from_slice(&[len, len].concat());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame), &body);
    frame.extend_from_slice(&checksum.to_le_bytes());
    [frame, body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_for_a_reason_of_a_later_version_keeps_no_other_from_being_salvaged() {
    let home = Home::new();
    let letter = |reason: &str, message: &str| {
        format!(
            "{{\"origin\":\"delivery\",\"reason\":\"{reason}\",\"code\":\"c\",\"message\":\"{message}\",\"at\":5,\"attempts\":1,\"event\":\"{{}}\"}}"
        )
    };
    let letters = [letter("poison", "a"), letter("eaten_by_a_whale", "b"), letter("too_large", "c")];
    let image: Vec<u8> =
        (0..).zip(&letters).flat_map(|(seq, letter)| frame_of_a_letter(seq, letter)).collect();
    let file = home.path().join("image.bin");
    std::fs::write(&file, image).unwrap();
    let fresh = home.path().join("fresh");
    let into = ["salvage", file.to_str().unwrap(), "--into", fresh.to_str().unwrap(), "--json"];
    let salvaged = journal(&into, None, "").await;
    assert_eq!(salvaged.code, Some(1), "{salvaged:?}");
    let found = "{\"events\":0,\"letters\":2,\"letters_left\":1,\"lost_events\":0,\"unreadable_bytes\":0}\n";
    assert_eq!(salvaged.out, found, "{salvaged:?}");
    assert!(salvaged.err.contains("1 dead letter of a newer sledge"), "{salvaged:?}");
    let lines = journal(&["salvage", file.to_str().unwrap(), "--letters"], None, "").await;
    assert_eq!(lines.out.lines().count(), 3, "{lines:?}");
    assert!(lines.out.contains("eaten_by_a_whale"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_in_memory_is_warned_of_and_one_to_try_things_out_is_not() {
    if !Path::new("/dev/shm").is_dir() {
        return;
    }
    let home = Home::in_memory();
    let sledge = home.start(NOWHERE).await;
    let (_, _, log) = sledge.stop().await;
    assert!(log.contains("will not stay") && log.contains("memory"), "{log}");
    let home = Home::new();
    let sledge = home.start(NOWHERE).await;
    let (_, _, log) = sledge.stop().await;
    assert!(!log.contains("will not stay") || log.contains("container"), "{log}");
}

/// Runs the page's block of commands that has this in it, as a user of this sledge would.
async fn as_the_page_says(page: &str, holds: &str, home: &Home) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let blocks = blocks(&std::fs::read_to_string(path).unwrap());
    let block = blocks.iter().find(|(kind, block)| kind == "sh" && block.contains(holds));
    let (_, block) = block.unwrap_or_else(|| panic!("{page} has no block with {holds}"));
    let mut command = shell(block);
    command.current_dir(home.path()).env("SLEDGE_DATA_DIR", home.path().join("data"));
    let ended = run(command, "").await;
    assert_eq!(ended.code, Some(0), "{block}\n{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_on_durability_and_upgrades_do_what_they_say() {
    let home = home_with(30).await;
    as_the_page_says("durability.md", "journal import", &home).await;
    let copied = run(
        {
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(home.journal()).arg(home.path().join("rescued"));
            copy
        },
        "",
    );
    assert_eq!(copied.await.code, Some(0));
    as_the_page_says("durability.md", "journal salvage", &home).await;
    assert!(home.path().join("fresh/journal/usage").is_dir());

    std::fs::remove_file(home.path().join("pending.ndjson")).unwrap();
    as_the_page_says("upgrade.md", "journal export", &home).await;
    let polar = FakePolar::start().await;
    let sledge = home.start(&polar.url()).await;
    assert!(
        !home.path().join("letters.ndjson").exists(),
        "there are no dead letters, and so no file of them"
    );
    as_the_page_says("upgrade.md", "journal import", &home).await;
    polar.has_events(30, PATIENCE).await;
    inserted_once(&polar, "e", 30);
    sledge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_may_not_be_looked_into_is_not_called_missing() {
    let as_nobody = ["--reuid=54321", "--clear-groups", env!("CARGO_BIN_EXE_sledge")];
    if !tool::is_there("setpriv", &[&as_nobody[..], &["--version"]].concat()) {
        return;
    }
    let home = home_with(1).await;
    let mut command = Command::new("setpriv");
    command.args(as_nobody).args(["journal", "check", "--data-dir"]).arg(home.path().join("data"));
    let told = run(command, "").await;
    assert_eq!(told.code, Some(74), "{told:?}");
    assert!(told.err.contains("may not be looked into; run it as the user sledge runs as"), "{told:?}");
}
