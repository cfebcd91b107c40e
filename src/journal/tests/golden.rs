//! A journal as this version writes it, kept as files: every later version reads it, and finds in it what is there.
//!
//! `SLEDGE_GOLDEN=DIR cargo test --lib golden` makes such a folder anew in `DIR`, for a new format.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::fixtures::{delivered, letter, numbered, read_all, texts_of};
use crate::clock::Clock;
use crate::event::{EventBuf, Lane, PerLane};
use crate::journal::disk::{SledStore, Store, VolumeId};
use crate::journal::format::{RowName, SettlementRecord};
use crate::journal::volumes::scan_frames;
use crate::journal::*;
use crate::metrics::{Listener, Metrics};

const BEGAN: u64 = 1_700_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal-format-2")
}

fn open(folder: &Path, hand: &Arc<AtomicU64>) -> Journal {
    let settings = Settings {
        volume_bytes: 900,
        ballast_bytes: 0,
        retention_bytes_max: u64::MAX,
        ..Settings::in_folder(folder.to_owned())
    };
    Journal::open(&settings, Clock::by_hand(Arc::clone(hand)), Metrics::new().unwrap()).unwrap()
}

async fn append(journal: &Journal, listener: Listener, lane: Lane, texts: &[String], due: u64) {
    let mut events: PerLane<EventBuf> = PerLane::default();
    texts.iter().for_each(|text| events[lane].push(text.as_bytes(), due));
    let receipt = journal.appender().append(Append { listener, events }).await.unwrap();
    receipt.committed().await.unwrap();
}

/// Something of everything: both lanes, every road, a held event, one in parts, events that came one by one and were joined,
/// a block settled with one event dead, letters of both origins.
async fn live(folder: &Path) {
    let hand = Arc::new(AtomicU64::new(BEGAN));
    let mut journal = open(folder, &hand);
    append(&journal, Listener::Http, Lane::Grants, &numbered(3), 0).await;
    append(&journal, Listener::Ndjson, Lane::Usage, &numbered(5), 0).await;
    let mut consumer = journal.take_consumer().unwrap();
    let block = consumer.read(Lane::Usage, 5, 1 << 20).await.unwrap().remove(0);
    let mut settlement = delivered(&block);
    settlement.inserted = 4;
    settlement.dead.push(letter("{\"n\":3}", Origin::Delivery));
    settlement.blocks[0].dead_positions.push(3);
    consumer.settle(settlement).await.unwrap();
    journal.appender().keep_refused(vec![letter("{\"name\":", Origin::Intake)]).await.unwrap();
    // Answered after all that was asked before, which so has the time from before.
    assert_eq!(journal.dead_letters().read(0, 10).await.unwrap().len(), 2);
    hand.fetch_add(1_000, Ordering::SeqCst);
    append(&journal, Listener::Datagram, Lane::Usage, &numbered(2), BEGAN + 60_000).await;
    let mut rng = fastrand::Rng::with_seed(2);
    let noise: String = (0..90_000).map(|_| rng.alphanumeric()).collect();
    append(&journal, Listener::Tcp, Lane::Usage, &[format!("{{\"noise\":\"{noise}\"}}")], 0).await;
    for text in numbered(30) {
        hand.fetch_add(10, Ordering::SeqCst);
        append(&journal, Listener::Http, Lane::Usage, &[text], 0).await;
    }
    let restored: PerLane<EventBuf> = {
        let mut events = PerLane::<EventBuf>::default();
        events.usage.push(b"{\"n\":99}", 0);
        events
    };
    journal.restorer().restore(Restored::Import, restored).await.unwrap();
    let begun = Instant::now();
    // A volume is renamed while it is rewritten.
    while !check(folder).is_ok_and(|report| {
        let one_by_one = |volume: &VolumeReport| volume.state == "pending" && volume.blocks > 3;
        report.rows[1].volumes.iter().filter(|volume| one_by_one(volume)).count() <= 1
    }) {
        assert!(begun.elapsed() < PATIENCE, "the volumes were never rewritten");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(consumer);
    journal.close().await.unwrap();
}

/// Everything that is to be found in such a folder, line by line. The folder is used up.
async fn found_in(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for row in ["grants", "usage", "dead"] {
        let mut volumes: Vec<PathBuf> = fs::read_dir(folder.join(row))
            .unwrap()
            .map(|entry| entry.unwrap().path().join("db"))
            .filter(|path| path.is_file())
            .collect();
        volumes.sort();
        for volume in volumes {
            let mut settled = Vec::new();
            let newer = scan_frames(fs::File::open(volume).unwrap(), &mut |_, frame| {
                settled.extend(SettlementRecord::decode(frame).ok());
            });
            assert_eq!(newer.unwrap(), None);
            settled.dedup();
            lines.extend(settled.iter().map(|record| {
                let SettlementRecord { seq, settled_at, attempts, dead_positions, .. } = record;
                format!("{row} settled {seq} at {settled_at} after {} dead {dead_positions:?}", attempts.made)
            }));
        }
    }
    extract(folder, Wanted::Delivered, &mut |extract| {
        if let Extract::Event { lane, text, .. } = extract {
            lines.push(format!("{} delivered {}", lane.as_str(), String::from_utf8_lossy(text)));
        }
        Ok(())
    })
    .unwrap();
    let mut journal = open(folder, &Arc::new(AtomicU64::new(BEGAN + 100_000)));
    assert_eq!(journal.alarms(), [] as [String; 0]);
    let accounts = journal.accounts().read();
    assert!(accounts.add_up());
    assert_eq!((accounts.lost(), accounts.quarantined_volumes), (0, 0));
    for block in read_all(&mut journal.take_consumer().unwrap()).await {
        for (position, text) in texts_of(&block).into_iter().enumerate() {
            let (lane, seq) = (block.id().lane.as_str(), block.id().seq + position as u64);
            let road = block.source(position).map_or("unknown", Source::as_str);
            let (accepted, due) = (block.accepted_at(position), block.due());
            let is_long = text.len() > 100;
            let text =
                if is_long { format!("with CRC {:08x}", crc32c::crc32c(text.as_bytes())) } else { text };
            lines.push(format!("{lane} pending {seq} at {accepted} due {due} by {road} {text}"));
        }
    }
    for kept in journal.dead_letters().read(0, 100).await.unwrap() {
        // The id that is set aside for it comes from chance.
        let letter = DeadLetter { spare_id: None, ..kept.letter };
        lines.push(format!("dead kept {} {}", kept.number, serde_json::to_string(&letter).unwrap()));
    }
    journal.close().await.unwrap();
    lines
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &place);
        } else {
            fs::copy(&path, &place).unwrap();
        }
    }
}

fn expected() -> Vec<String> {
    let text = fs::read_to_string(fixture().join("found.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_journal_that_an_older_sledge_wrote_is_read_to_the_last_event() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    copy(&fixture().join("journal"), &journal);
    assert_eq!(found_in(&journal).await, expected());
}

#[test]
fn a_volume_keeps_the_segments_it_was_made_with_and_so_does_what_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture().join("journal"), folder.path());
    let store = SledStore::in_folder(folder.path()).unwrap();
    let old = VolumeId { row: RowName::Usage, number: 1 };
    let new = VolumeId { row: RowName::Usage, number: 77 };
    drop((store.open(old).unwrap(), store.create(old.aside()).unwrap(), store.create(new).unwrap()));
    let segment_of = |id: VolumeId| {
        let conf = fs::read(folder.path().join("usage").join(id.folder_name()).join("conf")).unwrap();
        let conf = String::from_utf8_lossy(&conf).into_owned();
        conf.lines().find_map(|line| line.strip_prefix("segment_size: ")).unwrap().to_owned()
    };
    assert_eq!([old, old.aside(), new].map(segment_of), ["8388608", "8388608", "4194304"]);
    drop(store.open(new).unwrap());
}

#[tokio::test]
async fn what_this_version_writes_is_what_the_kept_journal_holds() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    live(&journal).await;
    if let Some(golden) = std::env::var_os("SLEDGE_GOLDEN").map(PathBuf::from) {
        copy(&journal, &golden.join("journal"));
        let found = found_in(&journal).await.join("\n");
        fs::write(golden.join("found.txt"), found + "\n").unwrap();
        return;
    }
    assert_eq!(found_in(&journal).await, expected());
}
