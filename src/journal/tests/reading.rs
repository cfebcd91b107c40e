//! Whoever reads the journal's files beside its writer meets no half-made volume, and stops at no bad place.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::fixtures::{PATIENCE, delivered, keep, numbered, on_disk, over, read_all, settings, usage};
use crate::event::{CustomerRef, Lane};
use crate::journal::disk::{Ballast, MemoryStore, SledStore, Store, Volume, VolumeId, exchange};
use crate::journal::format::RowName;
use crate::journal::volumes::scan_frames;
use crate::journal::*;

fn events(count: usize) -> Vec<String> {
    let note = "n".repeat(100);
    let event = |number: usize| {
        format!(
            "{{\"name\":\"api_usage\",\"external_customer_id\":\"c\",\"external_id\":\"e{number}\",\"note\":\"{number}{note}\"}}"
        )
    };
    (0..count).map(event).collect()
}

/// A journal with so many events, each a block of its own, in closed volumes of some pages each.
async fn with_closed_volumes(store: &MemoryStore, count: usize) -> Settings {
    let settings = Settings { volume_bytes: 10_000, pending_customers_max: 10, ..settings() };
    // What is looked for must lie where it was written.
    store.refuse_copies(true);
    let journal = over(store, &settings);
    for event in events(count) {
        keep(&journal, Lane::Usage, &[event]).await;
    }
    journal.close().await.unwrap();
    assert!(store.indices(RowName::Usage) >= 3, "{} closed volumes", store.indices(RowName::Usage));
    settings
}

/// The first seq in a volume; events have their seqs as numbers.
fn first_seq(store: &MemoryStore, id: VolumeId) -> u64 {
    let mut first = u64::MAX;
    scan_frames(store.raw(id).unwrap(), &mut |header, _| first = first.min(header.seq)).unwrap();
    first
}

/// How many events a customer has pending, once all are counted.
async fn counted(journal: &Journal) -> u64 {
    let units = journal.pending_units().unwrap();
    let customer = CustomerRef::External("c".to_owned());
    let begun = Instant::now();
    loop {
        let pending = units.of(std::slice::from_ref(&customer));
        if pending.complete {
            return pending.pending.iter().map(|named| named.events).sum();
        }
        assert!(begun.elapsed() < PATIENCE, "the count is never complete");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_volume_that_gives_way_to_another_is_looked_for_again_not_taken_for_an_empty_one() {
    let store = MemoryStore::default();
    let settings = with_closed_volumes(&store, 400).await;
    store.take_away(usage(2), 3);
    let journal = over(&store, &settings);
    assert_eq!(counted(&journal).await, 400, "what customers have pending");
    let first = first_seq(&store, usage(2));
    store.take_away(usage(2), 3);
    let explanation = journal.recall().explain(format!("e{first}")).await.unwrap();
    assert_eq!((explanation.events.len(), explanation.usage.unreadable), (1, 0), "{explanation:?}");
    journal.close().await.unwrap();
}

#[tokio::test]
async fn one_bad_sector_hides_only_the_events_in_it_from_whoever_looks_back() {
    let store = MemoryStore::default();
    let settings = with_closed_volumes(&store, 400).await;
    let (second, third) = (first_seq(&store, usage(2)), first_seq(&store, usage(3)));
    store.spoil(usage(2), 10);
    let journal = over(&store, &settings);
    let last = journal.recall().explain(format!("e{}", third - 1)).await.unwrap();
    assert_eq!(last.events.len(), 1, "the last event of the damaged volume");
    let seen = last.usage.events;
    assert!((1..=60).contains(&last.usage.unreadable), "{last:?}");
    assert_eq!(seen + last.usage.unreadable, 400);
    assert_eq!(counted(&journal).await, seen, "what customers have pending, as far as it can be read");
    assert!(second < third);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn what_an_open_volume_has_and_its_file_does_not_show_yet_is_explained() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &settings());
    keep(&journal, Lane::Usage, &events(40)).await;
    let mut consumer = journal.take_consumer().unwrap();
    let blocks = read_all(&mut consumer).await;
    store.lag();
    for block in &blocks {
        consumer.settle(delivered(block)).await.unwrap();
    }
    journal.dead_letters().page(0, 1).await.unwrap();
    let explanation = journal.recall().explain("e7".to_owned()).await.unwrap();
    assert_eq!(explanation.events[0].state, EventState::Delivered, "{explanation:?}");
    drop(consumer);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_volume_is_not_opened_long_before_it_is_read_for_each_takes_megabytes() {
    let store = MemoryStore::default();
    let settings = with_closed_volumes(&store, 400).await;
    let blocks_of_the_first = usize::try_from(first_seq(&store, usage(2))).unwrap();
    for (read, opened) in [(1, 1), (blocks_of_the_first / 2, 1), (blocks_of_the_first * 7 / 8, 2)] {
        let mut journal = over(&store, &settings);
        let before = store.opens();
        let mut consumer = journal.take_consumer().unwrap();
        for _ in 0..read {
            assert_eq!(consumer.read(Lane::Usage, 1, 1 << 20).await.unwrap().len(), 1);
        }
        drop(consumer);
        // Whatever was to be opened has been by then.
        journal.close().await.unwrap();
        assert_eq!(store.opens() - before, opened, "{read} of {blocks_of_the_first} blocks were read");
    }
}

/// A store on disk with a volume and its successor, filled aside.
fn with_successor(store: &SledStore, id: VolumeId) {
    for (id, value) in [(id, b"old"), (id.aside(), b"new")] {
        let volume = store.create(id).unwrap();
        volume.apply(&[(b"key".to_vec(), value.to_vec())]).unwrap();
        volume.sync().unwrap();
    }
}

#[test]
fn a_rewritten_volume_is_at_no_moment_missing_from_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::in_folder(folder.path()).unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    fs::create_dir(&one).unwrap();
    fs::create_dir(&other).unwrap();
    if let Err(error) = exchange(&one, &other) {
        // There are file systems on which there is nothing to be seen; but none of them is CI's.
        assert!(std::env::var("CI").as_deref() != Ok("true"), "two folders can't be exchanged: {error}");
        return;
    }
    let file = folder.path().join("usage/volume-00000001/db");
    with_successor(&store, usage(1));
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (file, is_over) = (file, Arc::clone(&is_over));
        std::thread::spawn(move || {
            let mut missed = 0;
            while !is_over.load(Ordering::Relaxed) {
                missed += usize::from(!file.exists());
            }
            missed
        })
    };
    for _ in 0..20 {
        store.swap(usage(1)).unwrap();
        assert_eq!(store.open(usage(1)).unwrap().get(b"key").unwrap().unwrap(), b"new");
        let volume = store.create(usage(1).aside()).unwrap();
        volume.apply(&[(b"key".to_vec(), b"new".to_vec())]).unwrap();
        volume.sync().unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    assert_eq!(reader.join().unwrap(), 0);
}

#[test]
fn volumes_that_had_changed_places_when_the_power_went_leave_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::in_folder(folder.path()).unwrap();
    with_successor(&store, usage(1));
    let row = folder.path().join("usage");
    let [volume, aside] = [usage(1), usage(1).aside()].map(|id| row.join(id.folder_name()));
    fs::rename(&volume, row.join("between")).unwrap();
    fs::rename(&aside, &volume).unwrap();
    fs::rename(row.join("between"), &aside).unwrap();
    let store = SledStore::in_folder(folder.path()).unwrap();
    assert_eq!(store.open(usage(1)).unwrap().get(b"key").unwrap().unwrap(), b"new");
    assert!(!aside.exists());
}

#[tokio::test]
async fn an_index_file_that_a_crash_left_half_written_is_no_volume_and_goes_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |_| ());
    keep(&journal, Lane::Usage, &numbered(3)).await;
    journal.close().await.unwrap();
    let home = folder.path().join("journal");
    // As many as a sample looks into.
    let left: Vec<_> =
        (7..10).map(|number| home.join(format!("usage/volume-0000000{number}.index-new"))).collect();
    left.iter().for_each(|left| fs::write(left, b"SLJX").unwrap());
    assert_eq!(sample(&home, 10).unwrap().len(), 3);
    on_disk(folder.path(), |_| ()).close().await.unwrap();
    assert!(left.iter().all(|left| !left.exists()));
}

#[test]
fn ballast_that_was_given_up_is_missing_until_it_is_set_aside_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { ballast_bytes: 100_000, ..Settings::in_folder(folder.path().to_owned()) };
    let ballast = Ballast::new(&settings);
    let len = || fs::metadata(folder.path().join("ballast")).map(|file| file.len()).ok();
    assert!(!ballast.give_up().unwrap() && !ballast.is_missing(), "there is none to be missed");
    ballast.keep();
    assert_eq!(len(), Some(100_000));
    assert!(ballast.give_up().unwrap() && ballast.is_missing());
    assert_eq!(len(), None);
    ballast.keep();
    assert!(!ballast.is_missing());
    assert_eq!(len(), Some(100_000));
}
