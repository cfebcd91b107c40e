//! Blocks of which nothing is left on the disk: each way for them to be there unnoticed, and what only looks like it.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::frame::RowName;
use super::memory_store::MemoryStore;
use super::salvage::scan_file;
use super::store::{Store, VolumeId};
use super::tests::{delivered, keep, letter, numbered, on_disk, over, read_all, settings};
use super::volume_index::VolumeIndex;
use super::*;
use crate::clock::Clock;
use crate::event::{EventBuf, Lane, PerLane};
use crate::metrics::{Listener, Metrics};

const PATIENCE: Duration = Duration::from_secs(60);

fn usage(number: u32) -> VolumeId {
    VolumeId { row: RowName::Usage, number }
}

/// A few blocks of ten events fill a volume.
fn small() -> Settings {
    Settings { volume_bytes: 600, ..settings() }
}

async fn keep_blocks(journal: &Journal, blocks: usize) {
    for _ in 0..blocks {
        keep(journal, Lane::Usage, &numbered(10)).await;
    }
}

/// A journal over blocks that lie where they were written.
fn over_uncopied(store: &MemoryStore, settings: &Settings) -> Journal {
    store.refuse_copies(true);
    over(store, settings)
}

/// Ends a journal as a crash does: everything written is there, and nothing was closed.
async fn crash(store: &MemoryStore, mut journal: Journal) {
    store.cut_power(|| true);
    drop(journal.ended_now().await);
}

/// The seqs of the blocks in a volume.
fn seqs_in(store: &MemoryStore, id: VolumeId) -> Vec<u64> {
    let mut bytes = Vec::new();
    store.raw(id).unwrap().read_to_end(&mut bytes).unwrap();
    scan_file(bytes.as_slice()).unwrap().block_seqs()
}

/// So many events are told to be lost, in words that hold this, and the accounts add up; at the next start all is well.
async fn assert_lost(store: &MemoryStore, settings: &Settings, lost: u64, pending: u64, words: &str) {
    let journal = over(store, settings);
    let (accounts, alarms) = (journal.accounts().read(), journal.alarms());
    assert!(accounts.add_up(), "{accounts:?}");
    assert_eq!((accounts.lost(), accounts.pending_total()), (lost, pending), "{alarms:?}");
    assert!(alarms.len() == 1 && alarms[0].contains(words), "{alarms:?}");
    crash(store, journal).await;
    assert_all_is_well(store, settings, pending).await;
}

async fn assert_all_is_well(store: &MemoryStore, settings: &Settings, pending: u64) {
    let mut journal = over(store, settings);
    let accounts = journal.accounts().read();
    assert!(accounts.add_up(), "{accounts:?}");
    assert_eq!(journal.alarms(), [] as [String; 0]);
    assert_eq!((accounts.lost(), accounts.pending_at_start), (0, pending));
    let events: usize = read_all(&mut journal.take_consumer().unwrap()).await.iter().map(Block::len).sum();
    assert_eq!(events as u64, pending);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_block_that_vanished_from_an_open_volume_is_missed() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    keep_blocks(&journal, 5).await;
    crash(&store, journal).await;
    store.erase_blocks(usage(1), 20..30);
    let words = "lost 10 accepted events of usage/volume-00000001, with seqs from 20 to 29";
    assert_lost(&store, &settings(), 10, 40, words).await;
}

#[tokio::test]
async fn the_first_blocks_are_missed_though_their_volume_forgot_where_it_began() {
    let store = MemoryStore::default();
    let roomy = Settings { volume_bytes: 1_500, ..settings() };
    let mut journal = over_uncopied(&store, &roomy);
    let mut consumer = journal.take_consumer().unwrap();
    let begun = Instant::now();
    // Until the volume before is settled, and gone, and there is room in the tail.
    let has_begun_anew = || match store.list(RowName::Usage).unwrap().as_slice() {
        [number] if *number > 1 => seqs_in(&store, usage(*number)).len() < 3,
        _ => false,
    };
    while !has_begun_anew() {
        assert!(begun.elapsed() < PATIENCE);
        keep_blocks(&journal, 1).await;
        for block in consumer.read(Lane::Usage, 1_000, 1 << 20).await.unwrap() {
            consumer.settle(delivered(&block)).await.unwrap();
        }
    }
    keep_blocks(&journal, 3).await;
    drop(consumer);
    crash(&store, journal).await;
    let volume = usage(*store.list(RowName::Usage).unwrap().last().unwrap());
    let seqs = seqs_in(&store, volume);
    let last_two = seqs[seqs.len() - 2];
    store.erase(volume, |key| key[0] != b'b' || u64::from_be_bytes(key[1..9].try_into().unwrap()) < last_two);
    let lost = last_two - seqs[0];
    let words = format!("lost {lost} accepted events of {volume}, with seqs from {} to", seqs[0]);
    assert_lost(&store, &roomy, lost, 20, &words).await;
}

#[tokio::test]
async fn the_last_block_of_a_volume_is_missed_when_another_follows() {
    let store = MemoryStore::default();
    let journal = over_uncopied(&store, &small());
    let mut blocks = 0;
    while store.volumes(RowName::Usage) < 2 || seqs_in(&store, usage(2)).is_empty() {
        keep_blocks(&journal, 1).await;
        blocks += 1;
    }
    crash(&store, journal).await;
    let last = *seqs_in(&store, usage(1)).last().unwrap();
    store.erase_blocks(usage(1), last..last + 1);
    let words = format!("lost 10 accepted events of usage/volume-00000001, with seqs from {last}");
    assert_lost(&store, &small(), 10, blocks * 10 - 10, &words).await;
}

#[tokio::test]
async fn the_end_of_the_journal_is_missed_in_the_accounts_too() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    keep_blocks(&journal, 5).await;
    journal.close().await.unwrap();
    store.erase_blocks(usage(1), 30..50);
    assert_lost(&store, &settings(), 20, 30, "20 events further").await;
    let journal = over(&store, &settings());
    keep_blocks(&journal, 1).await;
    crash(&store, journal).await;
    assert_all_is_well(&store, &settings(), 40).await;
    assert_eq!(seqs_in(&store, usage(1)), [0, 10, 20, 50], "no seq is used twice");
}

#[tokio::test]
async fn a_settlement_stands_for_its_own_block_and_for_no_other() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &settings());
    let mut consumer = journal.take_consumer().unwrap();
    keep_blocks(&journal, 5).await;
    for block in read_all(&mut consumer).await.iter().take(2) {
        consumer.settle(delivered(block)).await.unwrap();
    }
    keep_blocks(&journal, 1).await;
    drop(consumer);
    crash(&store, journal).await;
    // Two settled blocks, and the one after them.
    store.erase_blocks(usage(1), 0..30);
    let words = "lost 10 accepted events of usage/volume-00000001, with seqs from 20 to 29";
    assert_lost(&store, &settings(), 10, 30, words).await;
}

#[tokio::test]
async fn a_block_that_vanished_from_a_volume_that_was_closed_once_is_missed() {
    let store = MemoryStore::default();
    let mut journal = over_uncopied(&store, &small());
    keep_blocks(&journal, 20).await;
    assert!(store.volumes(RowName::Usage) > 3);
    let mut consumer = journal.take_consumer().unwrap();
    let blocks = read_all(&mut consumer).await;
    let seqs = seqs_in(&store, usage(2));
    let first = blocks.iter().find(|block| block.id().seq == seqs[0]).unwrap();
    consumer.settle(delivered(first)).await.unwrap();
    keep_blocks(&journal, 1).await;
    drop(consumer);
    crash(&store, journal).await;
    // The settled one and all others.
    store.erase_blocks(usage(2), 0..u64::MAX);
    let lost = (seqs.len() as u64 - 1) * 10;
    let words = format!("lost {lost} accepted events of usage/volume-00000002");
    assert_lost(&store, &small(), lost, 200 - lost, &words).await;
}

#[tokio::test]
async fn a_block_that_vanished_is_missed_where_the_index_vanished_too() {
    for nth in 0..3 {
        let store = MemoryStore::default();
        let journal = over_uncopied(&store, &small());
        keep_blocks(&journal, 20).await;
        crash(&store, journal).await;
        store.clone().remove_index(usage(2)).unwrap();
        let seqs = seqs_in(&store, usage(2));
        let gone = seqs[nth];
        store.erase_blocks(usage(2), gone..gone + 1);
        let words = format!("lost 10 accepted events of usage/volume-00000002, with seqs from {gone}");
        assert_lost(&store, &small(), 10, 190, &words).await;
    }
}

#[tokio::test]
async fn a_vanished_block_and_a_damaged_one_beside_it_are_told_once() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    keep_blocks(&journal, 5).await;
    crash(&store, journal).await;
    store.erase_blocks(usage(1), 10..20);
    let mut frames = 0;
    store.damage(usage(1), |value| {
        if value.starts_with(b"SLJF") {
            frames += 1;
            let last = value.len() - 1;
            value[last] ^= u8::from(frames == 2);
        }
    });
    let words = "lost 20 accepted events of usage/volume-00000001, with seqs from 10 to 29";
    assert_lost(&store, &settings(), 20, 30, words).await;
    assert_eq!(store.quarantined(), 1);
}

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
        journal.alarms()[0].contains("lost 1 dead letters of dead/volume-00000001"),
        "{:?}",
        journal.alarms()
    );
    let accounts = journal.accounts().read();
    assert_eq!((accounts.dead_letters, accounts.lost(), accounts.add_up()), ([0, 4], 0, true));
    crash(&store, journal).await;
    assert_eq!(over(&store, &settings()).alarms(), [] as [String; 0]);
}

#[tokio::test]
async fn a_dead_letter_that_vanished_from_a_closed_volume_is_missed_once() {
    let store = MemoryStore::default();
    let small = Settings { volume_bytes: 1_000, ..settings() };
    let journal = over(&store, &small);
    for number in 0..12 {
        let one = letter(&format!("refused {number}"), Origin::Intake);
        journal.appender().keep_refused(vec![one]).await.unwrap();
        keep(&journal, Lane::Usage, &numbered(1)).await;
    }
    journal.close().await.unwrap();
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

/// Blocks that are written together: every other event is held for ever.
fn together(events: usize) -> Append {
    let mut together: PerLane<EventBuf> = PerLane::default();
    for (at, text) in numbered(events).iter().enumerate() {
        together.usage.push(text.as_bytes(), if at % 2 == 1 { u64::MAX } else { 0 });
    }
    Append { listener: Listener::Http, events: together }
}

/// A journal that lost its power while five blocks lay in its file, and no sync had covered them: of these the disk kept
/// all but two in the middle.
#[expect(clippy::await_holding_lock, reason = "the lock is what holds the writer's sync back")]
async fn cut_in_a_group(store: &MemoryStore, settings: &Settings, mut journal: Journal) {
    let hold = store.hold_syncs();
    let guard = hold.lock().unwrap();
    let receipt = journal.appender().append(together(5)).await.unwrap();
    let begun = Instant::now();
    while seqs_in(store, usage(1)).len() < 6 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut write = 0;
    store.cut_power(|| {
        write += 1;
        write != 2 && write != 3
    });
    drop(guard);
    assert!(receipt.committed().await.is_err(), "nobody was told that they are safe");
    drop(journal.ended_now().await);
    assert_eq!(seqs_in(store, usage(1)), [0, 10, 13, 14]);
    assert_all_is_well(store, settings, 13).await;
}

#[tokio::test]
async fn blocks_that_were_never_acknowledged_are_no_loss_when_a_power_cut_takes_some_of_them() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    keep_blocks(&journal, 1).await;
    cut_in_a_group(&store, &settings(), journal).await;
    // Nor are they later, when there are others behind them that were.
    let journal = over(&store, &settings());
    keep_blocks(&journal, 1).await;
    crash(&store, journal).await;
    assert_all_is_well(&store, &settings(), 23).await;
}

#[tokio::test]
async fn a_volume_that_was_only_made_ahead_of_time_proves_nothing_durable() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    keep_blocks(&journal, 1).await;
    drop(store.create(usage(2)).unwrap());
    cut_in_a_group(&store, &settings(), journal).await;
}

#[tokio::test]
async fn a_gap_that_is_no_loss_makes_no_damage_of_what_the_store_had_not_counted_yet() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    keep_blocks(&journal, 1).await;
    cut_in_a_group(&store, &settings(), journal).await;
    let journal = over(&store, &settings());
    keep_blocks(&journal, 1).await;
    crash(&store, journal).await;
    store.forget_blocks(usage(1));
    assert_all_is_well(&store, &settings(), 23).await;
    assert_eq!(store.quarantined(), 0);
}

#[tokio::test]
async fn what_a_failed_sync_left_behind_is_durable_before_an_index_promises_it() {
    for is_last in [false, true] {
        let store = MemoryStore::default();
        let mut journal = over(&store, &settings());
        keep_blocks(&journal, 1).await;
        let begun = Instant::now();
        // Nothing else is written then that could be what fails.
        while store.indices(RowName::Usage) == 0 {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        store.fail_in(1);
        let receipt = journal.appender().append(together(1)).await.unwrap();
        assert!(receipt.committed().await.is_err());
        drop(journal.ended_now().await);
        store.calm_down();
        if !is_last {
            drop(store.create(usage(2)).unwrap());
        }
        // It is written, and not on disk yet: the process ended, and the power did not go.
        let mut journal = over(&store, &settings());
        assert_eq!(journal.accounts().read().pending_at_start, 11);
        store.cut_power(|| false);
        drop(journal.ended_now().await);
        assert_all_is_well(&store, &settings(), 11).await;
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

#[tokio::test]
async fn a_check_misses_what_vanished_until_a_start_has_told_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |_| ());
    keep_blocks(&journal, 5).await;
    let place = folder.path().join("journal");
    assert_eq!(check(&place).unwrap().findings, [] as [String; 0], "while it runs");
    journal.close().await.unwrap();
    assert_eq!(check(&place).unwrap().findings, [] as [String; 0]);
    let file = place.join("usage/volume-00000001/db");
    let mut bytes = std::fs::read(&file).unwrap();
    for at in 0..bytes.len() - 60 {
        if bytes[at..].starts_with(b"SLJF\x02\x01") && bytes[at + 8..at + 16] == 20_u64.to_le_bytes() {
            bytes[at..at + 60].fill(0);
        }
    }
    std::fs::write(&file, bytes).unwrap();
    let findings = check(&place).unwrap().findings;
    assert!(
        findings.len() == 1 && findings[0].contains("10 events of usage/volume-00000001"),
        "{findings:?}"
    );
    let salvaged = extract(&place, Wanted::Pending, &mut |_| Ok(())).unwrap();
    assert_eq!((salvaged.events, salvaged.lost_events), (40, 10));
    let journal = on_disk(folder.path(), |_| ());
    assert_eq!((journal.alarms().len(), journal.accounts().read().lost()), (1, 10));
    journal.close().await.unwrap();
    let findings = check(&place).unwrap().findings;
    assert!(findings.len() == 1 && findings[0].contains("quarantine"), "{findings:?}");
    let journal = on_disk(folder.path(), |_| ());
    assert_eq!((journal.alarms(), journal.accounts().read().lost()), (&[] as &[String], 0));
    journal.close().await.unwrap();
}

/// Starts on it until the start tells what it found, and lets each of its operations in turn be its last: the start after it
/// tells the loss of ten events with seqs from 40 to 49, and the one after that tells nothing. A start that forgets the loss
/// had told it before.
async fn assert_told_whatever_start_dies(salvaged: impl AsyncFn() -> MemoryStore, is_cut: bool) {
    let words = "lost 10 accepted events of usage/volume-00000001, with seqs from 40 to 49";
    let mut deaths_after_salvage = 0;
    for operations in 0..100 {
        let store = salvaged().await;
        if is_cut {
            store.cut_power_in(operations, fastrand::Rng::with_seed(operations));
        } else {
            store.fail_in(operations);
        }
        let started = Journal::over(
            &Arc::new(store.clone()),
            &settings(),
            Clock::system(),
            Metrics::new().unwrap(),
            None,
        );
        store.calm_down();
        store.cut_power(|| true);
        if let Ok(mut journal) = started {
            assert_eq!(journal.accounts().read().lost(), 10, "{:?}", journal.alarms());
            drop(journal.ended_now().await);
            assert_all_is_well(&store, &settings(), 30).await;
            assert!(deaths_after_salvage > 1, "{deaths_after_salvage}");
            return;
        }
        let index = store.read_index(usage(1)).unwrap().as_deref().and_then(VolumeIndex::decode);
        // This is what a start writes last of all, when the loss was told.
        if index.and_then(VolumeIndex::into_inventory).is_some_and(|noted| noted.end == 70) {
            assert_all_is_well(&store, &settings(), 30).await;
        } else {
            deaths_after_salvage += store.quarantined();
            assert_lost(&store, &settings(), 10, 30, words).await;
        }
    }
    panic!("no start ever ended");
}

#[tokio::test]
async fn a_start_that_dies_after_a_salvage_leaves_the_loss_to_be_told_by_the_next_one() {
    for (has_index, is_cut) in [(true, false), (true, true), (false, false), (false, true)] {
        let damaged = async || {
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
    keep_blocks(&journal, 1).await;
    journal.close().await.unwrap();
    for has_index in [true, false] {
        if has_index {
            assert_eq!(check(&folder.path().join("journal")).unwrap().findings, [] as [String; 0]);
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
    let gone = format!("{lost} events of usage/{} are gone", closed.volume);
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
    assert_eq!(check(&place).unwrap().findings, [] as [String; 0]);
}
