//! What a damaged disk costs: the events in the damaged blocks, with an outcome that people see, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use super::frame::RowName;
use super::memory_store::MemoryStore;
use super::store::{Store, VolumeId};
use super::tests::{delivered, keep, letter, numbered, over, read_all, settings, texts_of};
use super::*;
use crate::event::Lane;

fn usage(number: u32) -> VolumeId {
    VolumeId { row: RowName::Usage, number }
}

/// Flips a bit in the n-th block of a volume.
fn damage_block(store: &MemoryStore, id: VolumeId, nth: usize) {
    let mut blocks = 0;
    store.damage(id, |value| {
        if value.starts_with(b"SLJF") {
            if blocks == nth {
                let last = value.len() - 1;
                value[last] ^= 1;
            }
            blocks += 1;
        }
    });
}

#[tokio::test]
async fn a_bad_sector_costs_the_block_in_it_and_not_the_start() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    let mut rng = fastrand::Rng::with_seed(4);
    let texts: Vec<String> =
        (0..5).map(|_| (0..10_000).map(|_| rng.alphanumeric()).collect::<String>()).collect();
    for text in &texts {
        keep(&journal, Lane::Usage, std::slice::from_ref(text)).await;
    }
    journal.close().await.unwrap();
    // The first value says which seq the volume began with.
    store.spoil(usage(1), 3);
    let mut journal = over(&store, &settings());
    let accounts = journal.accounts().read();
    assert!(accounts.add_up());
    assert_eq!((accounts.lost(), accounts.pending_total(), accounts.quarantined_volumes), (1, 4, 1));
    assert_eq!(accounts.restored.iter().sum::<u64>(), 4);
    let found: Vec<String> =
        read_all(&mut journal.take_consumer().unwrap()).await.iter().flat_map(texts_of).collect();
    assert_eq!(found, [&texts[..2], &texts[3..]].concat());
    journal.close().await.unwrap();
}

#[tokio::test]
async fn events_lost_while_they_waited_in_a_closed_volume_leave_pending_with_an_outcome() {
    let store = MemoryStore::default();
    let small = Settings { volume_bytes: 400, ..settings() };
    // What is damaged must lie where it was written.
    store.refuse_copies(true);
    let journal = over(&store, &small);
    for _ in 0..40 {
        keep(&journal, Lane::Usage, &numbered(20)).await;
    }
    assert!(store.indices(RowName::Usage) > 4);
    damage_block(&store, usage(3), 1);
    damage_block(&store, usage(4), 0);
    store.refuse_copies(false);
    let mut journal = journal;
    let mut consumer = journal.take_consumer().unwrap();
    let blocks = read_all(&mut consumer).await;
    assert_eq!(blocks.iter().map(Block::len).sum::<usize>(), 800 - 40);
    for block in &blocks {
        consumer.settle(delivered(block)).await.unwrap();
    }
    drop(consumer);
    let accounts = journal.accounts();
    journal.close().await.unwrap();
    let accounts = accounts.read();
    assert!(accounts.add_up());
    assert_eq!((accounts.pending_total(), accounts.pending_bytes, accounts.lost()), (0, 0, 40));
    assert_eq!(over(&store, &small).accounts().read().pending_at_start, 0);
}

#[tokio::test]
async fn events_of_an_open_volume_that_are_gone_at_the_start_are_told() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    for _ in 0..5 {
        keep(&journal, Lane::Usage, &numbered(10)).await;
    }
    journal.close().await.unwrap();
    damage_block(&store, usage(1), 2);
    let journal = over(&store, &settings());
    let accounts = journal.accounts().read();
    assert!(accounts.add_up());
    assert_eq!((accounts.pending_total(), accounts.lost()), (40, 10));
    journal.close().await.unwrap();
    let journal = over(&store, &settings());
    assert_eq!(journal.accounts().read().lost(), 0, "they are told once");
    assert_eq!(journal.accounts().read().pending_at_start, 40);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_block_that_is_damaged_while_its_volume_is_open_is_not_owed_for_ever() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &settings());
    for _ in 0..5 {
        keep(&journal, Lane::Usage, &numbered(10)).await;
    }
    damage_block(&store, usage(1), 2);
    let mut consumer = journal.take_consumer().unwrap();
    assert!(matches!(consumer.read(Lane::Usage, 1_000, 1 << 20).await, Err(JournalError::Poisoned { .. })));
    assert!(journal.ended().await.is_err());
    let mut journal = over(&store, &settings());
    assert_eq!(journal.accounts().read().lost(), 10);
    let blocks = read_all(&mut journal.take_consumer().unwrap()).await;
    assert_eq!(blocks.iter().map(Block::len).sum::<usize>(), 40);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_settled_block_that_is_damaged_is_no_loss() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &settings());
    for _ in 0..5 {
        keep(&journal, Lane::Usage, &numbered(10)).await;
    }
    let mut consumer = journal.take_consumer().unwrap();
    for block in read_all(&mut consumer).await.iter().take(3) {
        consumer.settle(delivered(block)).await.unwrap();
    }
    drop(consumer);
    journal.close().await.unwrap();
    damage_block(&store, usage(1), 1);
    let journal = over(&store, &settings());
    let accounts = journal.accounts().read();
    assert!(accounts.add_up());
    assert_eq!((accounts.pending_total(), accounts.lost()), (20, 0));
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_retained_volume_that_can_not_be_read_is_no_failure() {
    let store = MemoryStore::default();
    let small = Settings {
        volume_bytes: 1_000,
        retention: Duration::from_secs(3_600),
        retention_bytes_max: 1 << 30,
        ..settings()
    };
    let mut journal = over(&store, &small);
    for _ in 0..20 {
        keep(&journal, Lane::Usage, &numbered(20)).await;
    }
    let mut consumer = journal.take_consumer().unwrap();
    for block in read_all(&mut consumer).await {
        consumer.settle(delivered(&block)).await.unwrap();
    }
    drop(consumer);
    journal.close().await.unwrap();
    let volumes = store.volumes(RowName::Usage);
    assert!(volumes > 3);
    store.spoil(usage(1), 1);
    store.spoil(usage(2), 2);
    // Without its index even a settled volume is opened.
    store.remove_index(usage(2)).unwrap();
    let journal = over(&store, &small);
    let accounts = journal.accounts().read();
    assert!(accounts.add_up());
    assert_eq!((accounts.pending_at_start, accounts.lost()), (0, 0));
    keep(&journal, Lane::Usage, &numbered(1)).await;
    journal.close().await.unwrap();
}

#[tokio::test]
async fn dead_letters_that_the_disk_lost_are_no_longer_counted_as_kept() {
    let store = MemoryStore::default();
    let small = Settings { volume_bytes: 1_000, ..settings() };
    let journal = over(&store, &small);
    for number in 0..12 {
        let one = letter(&format!("refused {number}"), Origin::Intake);
        journal.appender().keep_refused(vec![one]).await.unwrap();
        keep(&journal, Lane::Usage, &numbered(1)).await;
    }
    journal.close().await.unwrap();
    assert!(store.indices(RowName::Dead) > 1, "{}", store.indices(RowName::Dead));
    damage_block(&store, VolumeId { row: RowName::Dead, number: 2 }, 0);
    let journal = over(&store, &small);
    assert_eq!(journal.accounts().read().dead_letters, [0, 12]);
    let letters = journal.dead_letters().read(0, 100).await.unwrap();
    let events: BTreeSet<String> = letters.into_iter().map(|kept| kept.letter.event).collect();
    assert_eq!(events.len(), 11);
    assert_eq!(journal.accounts().read().dead_letters, [0, 11]);
    assert!(journal.accounts().read().add_up());
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_start_opens_no_volume_that_is_only_to_be_read_later() {
    let store = MemoryStore::default();
    let small = Settings { volume_bytes: 400, ..settings() };
    store.refuse_copies(true);
    let mut journal = over(&store, &small);
    for _ in 0..40 {
        keep(&journal, Lane::Usage, &numbered(20)).await;
    }
    let mut consumer = journal.take_consumer().unwrap();
    let blocks = read_all(&mut consumer).await;
    // Of each volume a block is settled, so none of them is as it was when it was closed.
    for block in blocks.iter().step_by(2) {
        consumer.settle(delivered(block)).await.unwrap();
    }
    keep(&journal, Lane::Usage, &numbered(1)).await;
    let pending = journal.accounts().read().pending_total();
    store.cut_power(|| true);
    drop(journal.ended_now().await);
    assert!(store.volumes(RowName::Usage) > 8);
    let opens = store.opens();
    let mut journal = over(&store, &small);
    assert!(store.opens() - opens <= 2, "{} volumes were opened", store.opens() - opens);
    let accounts = journal.accounts().read();
    assert!(accounts.add_up());
    assert_eq!((accounts.pending_at_start, accounts.lost()), (pending, 0));
    let blocks = read_all(&mut journal.take_consumer().unwrap()).await;
    assert_eq!(blocks.iter().map(Block::len).sum::<usize>() as u64, pending);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_block_that_the_store_had_not_counted_yet_is_no_damage() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    for text in numbered(3) {
        keep(&journal, Lane::Usage, &[text]).await;
    }
    journal.close().await.unwrap();
    store.forget_blocks(usage(1));
    let mut journal = over(&store, &settings());
    let accounts = journal.accounts().read();
    assert_eq!((accounts.pending_total(), accounts.lost(), accounts.quarantined_volumes), (3, 0, 0));
    let texts: Vec<String> =
        read_all(&mut journal.take_consumer().unwrap()).await.iter().flat_map(texts_of).collect();
    assert_eq!(texts, numbered(3));
    journal.close().await.unwrap();
}
