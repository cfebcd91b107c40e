//! A loss is told by every start until one has told it, and not once more.

use super::continuity_tests::{assert_all_is_well, assert_lost};
use crate::event::Lane;
use crate::journal::disk::{MemoryStore, Store, VolumeId};
use crate::journal::format::{RowName, VolumeIndex};
use crate::journal::tests::{
    crash, damage_block, delivered, keep, keep_blocks, letter, numbered, on_disk, over, read_all, seqs_in,
    settings, try_over, twelve_letters, usage,
};
use crate::journal::*;

#[tokio::test]
async fn a_dead_letter_that_vanished_is_missed() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    for number in 0..5 {
        let one = letter(&format!("refused {number}"), Origin::Intake);
        journal.appender().keep_refused(vec![one]).await.unwrap();
        keep(&journal, Lane::Usage, &numbered(1)).await;
    }
    crash(&store, journal).await;
    store.erase_blocks(VolumeId { row: RowName::Dead, number: 1 }, 3..4);
    let journal = over(&store, &settings());
    assert!(
        journal.alarms()[0].contains("lost 1 dead letter of dead/volume-00000001"),
        "{:?}",
        journal.alarms()
    );
    let accounts = journal.accounts().read();
    assert_eq!((accounts.dead_letters, accounts.lost(), accounts.add_up()), ([0, 4], 0, true));
    crash(&store, journal).await;
    assert_eq!(over(&store, &settings()).alarms(), [] as [String; 0]);
}

/// A look opens a closed volume: what it salvages there, and what it misses, is no news to the next start.
#[tokio::test]
async fn dead_letters_that_a_look_found_lost_in_a_closed_volume_are_told_by_no_later_start() {
    let store = MemoryStore::default();
    let small = twelve_letters(&store).await;
    let volume = VolumeId { row: RowName::Dead, number: 2 };
    damage_block(&store, volume, 0);
    let journal = over(&store, &small);
    assert_eq!(journal.dead_letters().read(0, 100).await.unwrap().len(), 11);
    assert_eq!((journal.accounts().read().dead_letters, store.quarantined()), ([0, 11], 1));
    let index = store.read_index(volume).unwrap().as_deref().and_then(VolumeIndex::decode);
    let Some(VolumeIndex::Pending { blocks, .. }) = index else { panic!("{index:?}") };
    assert!(!blocks.is_empty(), "it lies closed again, and its index says of what is left in it");
    crash(&store, journal).await;
    let journal = over(&store, &small);
    assert_eq!(journal.alarms(), [] as [String; 0]);
    assert_eq!(journal.accounts().read().dead_letters, [0, 11]);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_dead_letter_that_vanished_from_a_closed_volume_is_missed_once() {
    let store = MemoryStore::default();
    let small = twelve_letters(&store).await;
    let volume = VolumeId { row: RowName::Dead, number: 2 };
    let first = seqs_in(&store, volume)[0];
    store.erase_blocks(volume, first..first + 1);
    for kept_at_start in [12, 11] {
        let journal = over(&store, &small);
        assert_eq!(journal.accounts().read().dead_letters, [0, kept_at_start]);
        assert_eq!(journal.dead_letters().read(0, 100).await.unwrap().len(), 11);
        assert_eq!(journal.accounts().read().dead_letters, [0, 11]);
        journal.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_a_block_lost_while_its_volume_was_open_is_told_by_the_next_start() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &settings());
    keep_blocks(&journal, 5).await;
    store.erase_blocks(usage(1), 20..30);
    let mut consumer = journal.take_consumer().unwrap();
    assert!(matches!(consumer.read(Lane::Usage, 1_000, 1 << 20).await, Err(JournalError::Poisoned { .. })));
    drop(journal.ended_now().await);
    let words = "lost 10 accepted events of usage/volume-00000001, with seqs from 20 to 29";
    assert_lost(&store, &settings(), 10, 40, words).await;
}

/// Seven blocks, of which the first three were settled before the last one came, and a crash.
async fn three_of_seven_settled() -> MemoryStore {
    let store = MemoryStore::default();
    let mut journal = over(&store, &settings());
    keep_blocks(&journal, 6).await;
    let mut consumer = journal.take_consumer().unwrap();
    for block in read_all(&mut consumer).await.iter().take(3) {
        consumer.settle(delivered(block)).await.unwrap();
    }
    keep_blocks(&journal, 1).await;
    drop(consumer);
    crash(&store, journal).await;
    store
}

/// Starts on it, and lets each operation of a start in turn be its last: the start after it tells the loss of ten events
/// with seqs from 40 to 49, and the one after that tells nothing. Only a start that got as far as to note that it had told
/// the loss leaves none to be told.
async fn assert_told_whatever_start_dies(salvaged: impl AsyncFn() -> MemoryStore, is_cut: bool) {
    let words = "lost 10 accepted events of usage/volume-00000001, with seqs from 40 to 49";
    let (mut deaths_after_salvage, mut deaths_after_the_last_index) = (0, 0);
    for operations in 0..100 {
        let store = salvaged().await;
        if is_cut {
            store.cut_power_in(operations, fastrand::Rng::with_seed(operations));
        } else {
            store.fail_in(operations);
        }
        let started = try_over(&store, &settings());
        store.calm_down();
        store.cut_power(|| true);
        if let Ok(mut journal) = started {
            assert_eq!(journal.accounts().read().lost(), 10, "{:?}", journal.alarms());
            drop(journal.ended_now().await);
            assert_all_is_well(&store, &settings(), 30).await;
            assert!(deaths_after_salvage > 1 && deaths_after_the_last_index > 0, "{operations}");
            return;
        }
        let index = store.read_index(usage(1)).unwrap().as_deref().and_then(VolumeIndex::decode);
        // This is the last index that a start writes: nothing in the row tells of the loss then.
        let is_accepted = index.and_then(VolumeIndex::into_inventory).is_some_and(|noted| noted.end == 70);
        deaths_after_the_last_index += u32::from(is_accepted);
        deaths_after_salvage += store.quarantined();
        if String::from_utf8(store.read_losses().unwrap()).unwrap().contains("\"told\":true") {
            assert_all_is_well(&store, &settings(), 30).await;
        } else {
            assert_lost(&store, &settings(), 10, 30, words).await;
        }
        assert_eq!(on_record(&store).await, 10);
    }
    panic!("no start ever ended");
}

/// The lost events that every start tells of, until somebody has seen it.
async fn on_record(store: &MemoryStore) -> u64 {
    let journal = over(store, &settings());
    let on_record = journal.accounts().read().losses_on_record.events;
    journal.close().await.unwrap();
    on_record.grants + on_record.usage
}

#[tokio::test]
async fn a_start_that_dies_after_a_salvage_leaves_the_loss_to_be_told_by_the_next_one() {
    for (has_index, is_cut) in [(true, false), (true, true), (false, false), (false, true)] {
        let damaged = async || {
            let store = three_of_seven_settled().await;
            let mut frames = 0;
            store.damage(usage(1), |value| {
                if value.starts_with(b"SLJF") {
                    let last = value.len() - 1;
                    value[last] ^= u8::from(frames == 4);
                    frames += 1;
                }
            });
            if !has_index {
                store.clone().remove_index(usage(1)).unwrap();
            }
            store
        };
        assert_told_whatever_start_dies(damaged, is_cut).await;
    }
}

#[tokio::test]
async fn a_row_that_was_taken_away_begins_anew_and_no_later_start_misses_what_was_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |_| ());
    keep_blocks(&journal, 5).await;
    journal.close().await.unwrap();
    let row = folder.path().join("journal/usage");
    std::fs::remove_dir_all(&row).unwrap();
    let journal = on_disk(folder.path(), |_| ());
    assert!(journal.alarms().len() == 1 && journal.alarms()[0].contains("50 events further"));
    assert_eq!(journal.accounts().read().losses_on_record.lines, 1);
    let book = std::fs::read_to_string(folder.path().join("journal/losses")).unwrap();
    assert!(book.contains("\"volume\":null"), "nothing tells what the last one was called: {book}");
    keep_blocks(&journal, 1).await;
    journal.close().await.unwrap();
    for has_index in [true, false] {
        if has_index {
            let findings = check(&folder.path().join("journal")).unwrap().findings;
            assert!(findings.len() == 1 && findings[0].contains("journal/losses"), "{findings:?}");
        } else {
            // Its store knows where it began, too.
            std::fs::remove_file(row.join("volume-00000001.index")).unwrap();
        }
        let journal = on_disk(folder.path(), |_| ());
        let accounts = journal.accounts().read();
        assert_eq!((journal.alarms(), accounts.lost()), (&[] as &[String], 0));
        assert_eq!((accounts.pending_at_start, accounts.add_up()), (10, true));
        journal.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_closed_volume_whose_folder_vanished_is_missed_once() {
    let folder = tempfile::tempdir().unwrap();
    let is_small = |settings: &mut Settings| settings.volume_bytes = 600;
    let journal = on_disk(folder.path(), is_small);
    keep_blocks(&journal, 20).await;
    journal.close().await.unwrap();
    let place = folder.path().join("journal");
    let report = check(&place).unwrap();
    assert_eq!((report.findings.len(), report.rows[1].pending_events), (0, 200));
    let closed = report.rows[1].volumes.iter().find(|volume| volume.state == "pending").unwrap();
    let lost = closed.pending_events;
    std::fs::remove_dir_all(place.join("usage").join(&closed.volume)).unwrap();
    let gone = format!("usage/{} has lost {lost} events", closed.volume);
    let mark = std::fs::read(place.join("high-water")).unwrap();
    for has_mark in [false, true] {
        if has_mark {
            std::fs::write(place.join("high-water"), &mark).unwrap();
        } else {
            std::fs::remove_file(place.join("high-water")).unwrap();
        }
        let findings = check(&place).unwrap().findings;
        assert!(findings.len() == 1 && findings[0].contains(&gone), "{findings:?}");
        let salvaged = extract(&place, Wanted::Pending, &mut |_| Ok(())).unwrap();
        assert_eq!((salvaged.events, salvaged.lost_events), (200 - lost, lost));
    }
    for told in [lost, 0] {
        let journal = on_disk(folder.path(), is_small);
        let (accounts, alarms) = (journal.accounts().read(), journal.alarms().concat());
        assert!(accounts.add_up(), "{accounts:?}");
        assert_eq!((accounts.lost(), accounts.pending_total()), (told, 200 - lost), "{alarms}");
        let words = format!("lost {lost} accepted events of usage/{}", closed.volume);
        assert_eq!(alarms.contains(&words), told > 0, "{alarms}");
        journal.close().await.unwrap();
    }
    let report = check(&place).unwrap();
    assert!(report.findings.len() == 1 && report.findings[0].contains("journal/losses"), "{report:?}");
    assert_eq!(report.lost_events, lost);
    std::fs::remove_file(place.join("losses")).unwrap();
    assert_eq!(check(&place).unwrap().findings, [] as [String; 0]);
}

/// Three settled blocks, a damaged one, and three whole ones, with a volume behind them.
async fn damaged_behind_settled_ones() -> MemoryStore {
    let store = three_of_seven_settled().await;
    drop(store.clone().create(usage(2)).unwrap());
    damage_block(&store, usage(1), 3);
    store
}

#[tokio::test]
async fn what_was_settled_in_a_salvaged_volume_is_not_told_as_lost_after_a_start_on_a_full_disk() {
    let mut starts_that_told = 0;
    for files in 0..12 {
        let store = damaged_behind_settled_ones().await;
        // Room for the fresh volume and its first index at least.
        store.fill_up_in(files);
        let started = try_over(&store, &settings());
        store.free();
        if let Ok(journal) = started {
            assert_eq!(journal.accounts().read().lost(), 10, "{files}");
            crash(&store, journal).await;
        }
        let has_told = String::from_utf8(store.read_losses().unwrap()).unwrap().contains("\"told\":true");
        starts_that_told += u32::from(has_told);
        let words = "lost 10 accepted events of usage/volume-00000001, with seqs from 30 to 39";
        let journal = over(&store, &settings());
        let (accounts, alarms) = (journal.accounts().read(), journal.alarms());
        assert!(accounts.add_up(), "{accounts:?}");
        assert_eq!(
            (accounts.pending_total(), accounts.losses_on_record.events.usage),
            (30, 10),
            "{files}: {alarms:?}"
        );
        // Where the book of losses found no room either, twice is better than never.
        assert_eq!(accounts.lost(), if has_told { 0 } else { 10 }, "{files}: {alarms:?}");
        assert!(alarms.iter().all(|alarm| alarm.contains(words)), "{files}: {alarms:?}");
        crash(&store, journal).await;
        assert_all_is_well(&store, &settings(), 30).await;
    }
    assert!(starts_that_told > 0);
}

#[tokio::test]
async fn a_volume_that_was_being_read_when_its_folder_vanished_is_told_of_once_and_counted_as_what_it_may_be()
{
    let folder = tempfile::tempdir().unwrap();
    let is_small = |settings: &mut Settings| settings.volume_bytes = 600;
    let mut journal = on_disk(folder.path(), is_small);
    keep_blocks(&journal, 20).await;
    let mut consumer = journal.take_consumer().unwrap();
    let block = consumer.read(Lane::Usage, 1, 1).await.unwrap().remove(0);
    consumer.settle(delivered(&block)).await.unwrap();
    drop(consumer);
    journal.close().await.unwrap();
    let place = folder.path().join("journal");
    let first = check(&place).unwrap().rows[1].volumes[0].clone();
    assert_eq!((first.state, first.blocks - first.pending_blocks), ("open", 1));
    std::fs::remove_dir_all(place.join("usage").join(&first.volume)).unwrap();
    let words = format!("usage/{} is gone: how many", first.volume);
    let findings = check(&place).unwrap().findings;
    assert!(findings.len() == 1 && findings[0].contains(&words), "{findings:?}");
    for told in [1, 0] {
        let journal = on_disk(folder.path(), is_small);
        let (accounts, alarms) = (journal.accounts().read(), journal.alarms());
        assert!(accounts.add_up(), "{accounts:?}");
        assert_eq!((accounts.lost(), accounts.pending_total()), (0, 200 - 10 - first.pending_events));
        assert_eq!(alarms.iter().filter(|alarm| alarm.contains(&words)).count(), told, "{alarms:?}");
        let OnRecord { lines, events } = accounts.losses_on_record;
        assert_eq!((lines, events.usage), (1, 0), "somebody has still to see it");
        journal.close().await.unwrap();
        let report = check(&place).unwrap();
        assert!(report.findings.len() == 1 && report.findings[0].contains("lost something"), "{report:?}");
        assert_eq!((report.losses_on_record, report.lost_events), (1, 0));
    }
}

#[tokio::test]
async fn a_volume_that_vanished_and_left_nothing_but_a_damaged_index_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let is_small = |settings: &mut Settings| settings.volume_bytes = 600;
    let journal = on_disk(folder.path(), is_small);
    keep_blocks(&journal, 40).await;
    journal.close().await.unwrap();
    let place = folder.path().join("journal");
    let volumes = check(&place).unwrap().rows[1].volumes.clone();
    let third = &volumes[2];
    std::fs::remove_dir_all(place.join("usage").join(&third.volume)).unwrap();
    let index = place.join("usage").join(&third.volume).with_extension("index");
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&index, bytes).unwrap();
    let words = format!("{} is gone", third.volume);
    let findings = check(&place).unwrap().findings;
    assert!(findings.len() == 1 && findings[0].contains(&words), "{findings:?}");
    let before: u64 = volumes[..2].iter().map(|volume| volume.pending_events).sum();
    let among = format!("with seqs from {before} to {}", before + third.pending_events - 1);
    for told in [1, 0] {
        let journal = on_disk(folder.path(), is_small);
        let (accounts, alarms) = (journal.accounts().read(), journal.alarms());
        assert_eq!((accounts.add_up(), accounts.pending_total()), (true, 400 - third.pending_events));
        let is_it = |alarm: &&String| alarm.contains(&words) && alarm.contains(&among);
        assert_eq!((alarms.len(), alarms.iter().filter(is_it).count()), (told, told), "{alarms:?}");
        assert_eq!(accounts.losses_on_record.lines, 1, "somebody has still to see it");
        journal.close().await.unwrap();
        assert!(!index.exists());
    }
}

/// The last blocks of a closed volume are settled, so its index says nothing of how far the row had got.
#[tokio::test]
async fn a_start_that_dies_makes_no_lost_end_of_what_was_settled() {
    for operations in 0..100 {
        let store = MemoryStore::default();
        let mut journal = over(&store, &settings());
        keep_blocks(&journal, 6).await;
        let mut consumer = journal.take_consumer().unwrap();
        for block in read_all(&mut consumer).await.iter().skip(3) {
            consumer.settle(delivered(block)).await.unwrap();
        }
        drop(consumer);
        journal.close().await.unwrap();
        // The next volume was made ahead of time.
        drop(store.clone().create(usage(2)).unwrap());
        store.fail_in(operations);
        let started = try_over(&store, &settings());
        store.calm_down();
        store.cut_power(|| true);
        let is_through = started.is_ok();
        if let Ok(mut journal) = started {
            drop(journal.ended_now().await);
        }
        assert_all_is_well(&store, &settings(), 30).await;
        if is_through {
            assert!(operations > 3, "{operations}");
            return;
        }
    }
    panic!("no start ever ended");
}
