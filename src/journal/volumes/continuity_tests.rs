//! Blocks of which nothing is left on the disk: each way for them to be there unnoticed, and what only looks like it.

use std::time::{Duration, Instant};

use crate::event::{EventBuf, Lane, PerLane};
use crate::journal::disk::{MemoryStore, Store};
use crate::journal::format::RowName;
use crate::journal::tests::{
    PATIENCE, crash, delivered, keep_blocks, numbered, over, over_uncopied, read_all, seqs_in, settings,
    usage,
};
use crate::journal::*;
use crate::metrics::Listener;

/// A few blocks of ten events fill a volume.
fn small() -> Settings {
    Settings { volume_bytes: 600, ..settings() }
}

/// So many events are told to be lost, in words that hold this, and the accounts add up; at the next start all is well.
pub(super) async fn assert_lost(
    store: &MemoryStore,
    settings: &Settings,
    lost: u64,
    pending: u64,
    words: &str,
) {
    let journal = over(store, settings);
    let (accounts, alarms) = (journal.accounts().read(), journal.alarms());
    assert!(accounts.add_up(), "{accounts:?}");
    assert_eq!((accounts.lost(), accounts.pending_total()), (lost, pending), "{alarms:?}");
    assert!(alarms.len() == 1 && alarms[0].contains(words), "{alarms:?}");
    crash(store, journal).await;
    assert_all_is_well(store, settings, pending).await;
}

pub(super) async fn assert_all_is_well(store: &MemoryStore, settings: &Settings, pending: u64) {
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

/// What is left of a group that a power cut hit, and a block behind it that was acknowledged.
async fn cut_in_a_group_with_another_block_behind() -> MemoryStore {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    keep_blocks(&journal, 1).await;
    cut_in_a_group(&store, &settings(), journal).await;
    let journal = over(&store, &settings());
    keep_blocks(&journal, 1).await;
    crash(&store, journal).await;
    store
}

#[tokio::test]
async fn blocks_that_were_never_acknowledged_are_no_loss_when_a_power_cut_takes_some_of_them() {
    // Nor are they later, when there are others behind them that were.
    let store = cut_in_a_group_with_another_block_behind().await;
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
    let store = cut_in_a_group_with_another_block_behind().await;
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
