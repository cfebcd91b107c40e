//! What a damaged disk costs: the events in the damaged blocks, with an outcome that people see, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fixtures::{
    damage_block, delivered, keep, keep_blocks, numbered, on_disk, over, over_uncopied, read_all, settings,
    texts_of, try_over, twelve_letters, usage,
};
use crate::event::Lane;
use crate::journal::disk::{MemoryStore, Store, VolumeId};
use crate::journal::format::{RowName, VolumeIndex};
use crate::journal::*;

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
    let small = twelve_letters(&store).await;
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
    // Of each volume a block is settled, so none of them is as it was when it was closed.
    while let Some(block) = consumer.read(Lane::Usage, 1, 1).await.unwrap().first() {
        consumer.settle(delivered(block)).await.unwrap();
        consumer.read(Lane::Usage, 1, 1).await.unwrap();
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

#[tokio::test]
async fn a_damaged_block_is_never_delivered_and_its_neighbours_are() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    for text in numbered(5) {
        keep(&journal, Lane::Usage, &[text]).await;
    }
    journal.close().await.unwrap();
    let id = usage(1);
    let mut blocks = 0;
    store.damage(id, |value| {
        blocks += usize::from(value.starts_with(b"SLJF"));
        if blocks == 3 {
            value[60] ^= 1;
        }
    });
    let mut journal = over(&store, &settings());
    let texts: Vec<String> =
        read_all(&mut journal.take_consumer().unwrap()).await.iter().flat_map(texts_of).collect();
    let expected: Vec<String> = numbered(5).into_iter().filter(|text| text != "{\"n\":2}").collect();
    assert_eq!(texts, expected);
    assert!(journal.accounts().read().add_up());
    journal.close().await.unwrap();
}

/// Flips bits and cuts pieces out of a volume's file, as disks do, and asks for every block that is still intact.
#[tokio::test]
async fn every_undamaged_block_of_a_damaged_sled_file_is_found() {
    let mut rng = fastrand::Rng::with_seed(11);
    for round in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let journal = on_disk(folder.path(), |_| ());
        let texts: Vec<String> = (0..200)
            .map(|number| format!("{{\"n\":{number},\"noise\":\"{:x}{:x}\"}}", rng.u128(..), rng.u128(..)))
            .collect();
        for chunk in texts.chunks(5) {
            keep(&journal, Lane::Usage, chunk).await;
        }
        journal.close().await.unwrap();

        let file = folder.path().join("journal/usage/volume-00000001/db");
        let mut bytes = std::fs::read(&file).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        let at = rng.usize(..used);
        if round % 2 == 0 {
            bytes[at] ^= 1 << rng.u32(..8);
        } else {
            let end = (at + rng.usize(1..4_096)).min(used);
            bytes[at..end].fill(0);
        }
        std::fs::write(&file, &bytes).unwrap();
        let intact: BTreeSet<u64> = volumes::intact_blocks(&bytes);

        let mut journal = on_disk(folder.path(), |_| ());
        let blocks = read_all(&mut journal.take_consumer().unwrap()).await;
        let found: BTreeSet<u64> = blocks.iter().map(|block| block.id().seq).collect();
        let lost: Vec<_> = intact.difference(&found).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?} of {} intact blocks", intact.len());
        assert!(
            found.len() >= 30,
            "round {round}: one wound must not cost {} of 40 blocks",
            40 - found.len()
        );
        assert!(journal.accounts().read().add_up());
        journal.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_salvage_that_is_cut_short_begins_anew() {
    for operations in 0..6 {
        let store = MemoryStore::default();
        let journal = over(&store, &settings());
        for text in numbered(3) {
            keep(&journal, Lane::Usage, &[text]).await;
        }
        journal.close().await.unwrap();
        let mut blocks = 0;
        store.damage(usage(1), |value| {
            blocks += usize::from(value.starts_with(b"SLJF"));
            if blocks == 1 && value.len() > 60 {
                value[60] ^= 1;
            }
        });
        store.fail_in(operations);
        drop(try_over(&store, &settings()));
        store.cut_power(|| false);
        let mut journal = over(&store, &settings());
        let found: Vec<String> =
            read_all(&mut journal.take_consumer().unwrap()).await.iter().flat_map(texts_of).collect();
        assert_eq!(found, numbered(3)[1..], "cut short after {operations} operations");
        journal.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_tail_is_noticed_and_its_seqs_are_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |_| ());
    keep(&journal, Lane::Usage, &numbered(5)).await;
    journal.close().await.unwrap();
    let volume = folder.path().join("journal/usage/volume-00000001");
    let older = std::fs::read(volume.join("db")).unwrap();
    let journal = on_disk(folder.path(), |_| ());
    assert_eq!(journal.alarms(), [] as [String; 0]);
    keep(&journal, Lane::Usage, &numbered(3)).await;
    journal.close().await.unwrap();

    std::fs::remove_dir_all(&volume).unwrap();
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("db"), older).unwrap();
    let mut journal = on_disk(folder.path(), |_| ());
    assert!(journal.alarms()[0].contains("3 events further"), "{:?}", journal.alarms());
    keep(&journal, Lane::Usage, &numbered(1)).await;
    let blocks = read_all(&mut journal.take_consumer().unwrap()).await;
    assert_eq!(blocks.iter().map(|block| block.id().seq).collect::<Vec<_>>(), [0, 8]);
    journal.close().await.unwrap();
}

/// A power cut took the settlement of one block, and the disk another block of the same size: the sums are the same.
#[tokio::test]
async fn a_lost_block_is_told_though_another_of_its_size_came_back() {
    let store = MemoryStore::default();
    let small = Settings { volume_bytes: 600, ..settings() };
    let journal = over_uncopied(&store, &small);
    keep_blocks(&journal, 20).await;
    journal.close().await.unwrap();
    let index = store.read_index(usage(2)).unwrap().as_deref().and_then(VolumeIndex::decode);
    let Some(VolumeIndex::Pending { begin, mut blocks }) = index else { panic!("{index:?}") };
    let (settled, lost) = (blocks.remove(1), blocks[2]);
    store.write_index(usage(2), &VolumeIndex::Pending { begin, blocks }.encode()).unwrap();
    let mut journal = over(&store, &small);
    assert_eq!(journal.accounts().read().pending_at_start, 190);
    store.erase_blocks(usage(2), lost.seq..lost.seq + 1);
    let blocks = read_all(&mut journal.take_consumer().unwrap()).await;
    let seqs: BTreeSet<u64> = blocks.iter().map(|block| block.id().seq).collect();
    assert!(seqs.contains(&settled.seq) && !seqs.contains(&lost.seq));
    let accounts = journal.accounts().read();
    assert!(accounts.add_up());
    assert_eq!((accounts.lost(), accounts.restored, accounts.pending_total()), (10, [0, 0, 0, 10], 190));
    assert_eq!(accounts.losses_on_record.events.usage, 10);
    journal.close().await.unwrap();
}
