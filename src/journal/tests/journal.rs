//! The journal as its users see it, over a store that loses power and over real sled.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fixtures::{
    append_of, delivered, keep, letter, numbered, on_disk, over, read_all, settings, texts_of, try_over,
};
use crate::clock::Clock;
use crate::event::Lane;
use crate::journal::disk::MemoryStore;
use crate::journal::format::RowName;
use crate::journal::*;
use crate::metrics::Metrics;

#[tokio::test]
async fn an_event_comes_out_as_it_went_in_and_is_gone_once_settled() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = on_disk(folder.path(), |_| ());
    keep(&journal, Lane::Usage, &numbered(3)).await;
    let mut consumer = journal.take_consumer().unwrap();
    let blocks = read_all(&mut consumer).await;
    assert_eq!(texts_of(&blocks[0]), numbered(3));
    consumer.settle(delivered(&blocks[0])).await.unwrap();
    drop(consumer);
    let accounts = journal.accounts();
    journal.close().await.unwrap();
    assert_eq!((accounts.read().inserted, accounts.read().pending_total()), (3, 0));

    let journal = on_disk(folder.path(), |_| ());
    assert_eq!(journal.accounts().read().pending_at_start, 0);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn pending_events_are_found_again_after_a_restart_with_their_amounts() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |_| ());
    keep(&journal, Lane::Usage, &numbered(700)).await;
    keep(&journal, Lane::Grants, &numbered(2)).await;
    let before = journal.accounts().read();
    journal.close().await.unwrap();

    let mut journal = on_disk(folder.path(), |_| ());
    let found = journal.accounts().read();
    assert_eq!((found.pending, found.pending_bytes), (before.pending, before.pending_bytes));
    assert_eq!(found.pending_at_start, 702);
    assert!(found.add_up());
    assert!(found.oldest_pending.usage.is_some() && found.oldest_pending.grants.is_some());
    let blocks = read_all(&mut journal.take_consumer().unwrap()).await;
    assert_eq!(blocks.iter().flat_map(texts_of).count(), 702);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_seq_is_never_used_twice_even_when_everything_was_settled_and_removed() {
    let store = MemoryStore::default();
    let small = Settings { volume_bytes: 200, ..settings() };
    let mut last = 0;
    for _ in 0..6 {
        let mut journal = over(&store, &small);
        let mut consumer = journal.take_consumer().unwrap();
        keep(&journal, Lane::Usage, &numbered(10)).await;
        for block in read_all(&mut consumer).await {
            assert!(block.id().seq >= last, "seq {} after {last}", block.id().seq);
            last = block.id().seq + block.len() as u64;
            consumer.settle(delivered(&block)).await.unwrap();
        }
        drop(consumer);
        journal.close().await.unwrap();
        store.cut_power(|| true);
    }
    assert!(last >= 60);
}

#[tokio::test]
async fn no_acknowledged_event_is_lost_when_the_first_failure_comes_at_any_operation() {
    for operations in 0..30 {
        let store = MemoryStore::default();
        let mut journal = over(&store, &settings());
        store.fail_in(operations);
        let mut acked = Vec::new();
        for text in numbered(20) {
            let Ok(receipt) =
                journal.appender().append(append_of(Lane::Usage, std::slice::from_ref(&text))).await
            else {
                break;
            };
            match receipt.committed().await {
                Ok(()) => acked.push(text),
                Err(error) => assert!(matches!(error, AppendError::Journal(JournalError::Poisoned { .. }))),
            }
        }
        let failed = operations < 40 && acked.len() < 20;
        assert_eq!(journal.ended_now().await.is_err(), failed, "a failure ends the writer ({operations})");
        store.cut_power(|| false);
        let mut journal = over(&store, &settings());
        let found: BTreeSet<String> =
            read_all(&mut journal.take_consumer().unwrap()).await.iter().flat_map(texts_of).collect();
        assert!(acked.iter().all(|text| found.contains(text)), "lost after {operations} operations");
        journal.close().await.unwrap();
    }
}

impl Journal {
    /// Ends the journal if it has not failed already, and says how it ended.
    pub(in crate::journal) async fn ended_now(&mut self) -> Result<(), JournalError> {
        self.shared.inbox.close();
        self.ended().await
    }
}

#[tokio::test]
async fn after_a_failed_sync_nothing_more_is_acknowledged() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &settings());
    keep(&journal, Lane::Usage, &numbered(1)).await;
    store.fail_in(1);
    let appender = journal.appender();
    let receipt = appender.append(append_of(Lane::Usage, &numbered(1))).await.unwrap();
    assert!(matches!(receipt.committed().await, Err(AppendError::Journal(JournalError::Poisoned { .. }))));
    store.fail_in(1_000);
    let refused = appender.append(append_of(Lane::Usage, &numbered(1))).await.unwrap_err();
    assert!(matches!(refused.error, AppendError::Journal(JournalError::Poisoned { .. })));
    assert!(matches!(journal.ended().await, Err(JournalError::Poisoned { .. })));
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the lock is what holds the writer's sync back")]
async fn an_answer_comes_only_after_the_sync() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    keep(&journal, Lane::Usage, &numbered(1)).await;
    let hold = store.hold_syncs();
    let guard = hold.lock().unwrap();
    let receipt = journal.appender().append(append_of(Lane::Usage, &numbered(1))).await.unwrap();
    let mut committed = Box::pin(receipt.committed());
    let early = tokio::time::timeout(Duration::from_millis(50), &mut committed).await;
    assert!(early.is_err(), "answered while the sync was held back");
    drop(guard);
    committed.await.unwrap();
    journal.close().await.unwrap();
}

#[tokio::test]
async fn waiting_appends_share_one_sync_and_the_full_buffer_says_busy() {
    let store = MemoryStore::default();
    let journal = over(&store, &Settings { intake_bytes_max: 100 * 300, ..settings() });
    keep(&journal, Lane::Usage, &numbered(1)).await;
    let before = store.syncs();
    let hold = store.hold_syncs();
    let guard = hold.lock().unwrap();
    let mut receipts = Vec::new();
    let busy = loop {
        match journal.appender().try_append(append_of(Lane::Usage, &numbered(1))) {
            Ok(receipt) => receipts.push(receipt),
            Err(not_taken) => break not_taken.error,
        }
        assert!(receipts.len() < 1_000, "the intake buffer has no end");
    };
    assert_eq!(busy, AppendError::Busy);
    drop(guard);
    let waiting = receipts.len() as u64;
    assert!(waiting > 50);
    for receipt in receipts {
        receipt.committed().await.unwrap();
    }
    assert!(store.syncs() - before <= 3, "{waiting} appends took {} syncs", store.syncs() - before);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_full_journal_refuses_usage_keeps_room_for_grants_and_opens_again_when_settled() {
    let store = MemoryStore::default();
    let small = Settings { journal_bytes_max: 40_000, volume_bytes: 4_000, ..settings() };
    let mut journal = over(&store, &small);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut noise =
        || vec![format!("{{\"n\":\"{}\"}}", (0..900).map(|_| rng.alphanumeric()).collect::<String>())];
    let refused = async |journal: &Journal, append: Append| {
        let receipt = match journal.appender().append(append).await {
            Ok(receipt) => receipt,
            Err(not_taken) => return Some(not_taken.error),
        };
        receipt.committed().await.err()
    };
    let mut kept = 0;
    let error = loop {
        match refused(&journal, append_of(Lane::Usage, &noise())).await {
            None => kept += 1,
            Some(error) => break error,
        }
        assert!(kept < 200, "the journal has no end");
        journal.accounts_measured().await;
    };
    assert!(matches!(error, AppendError::Full { .. }), "{error}");
    assert_eq!(refused(&journal, append_of(Lane::Grants, &noise())).await, None);
    let mut consumer = journal.take_consumer().unwrap();
    for block in read_all(&mut consumer).await {
        consumer.settle(delivered(&block)).await.unwrap();
    }
    while refused(&journal, append_of(Lane::Usage, &noise())).await.is_some() {
        journal.accounts_measured().await;
    }
    assert!(journal.accounts().read().add_up());
    drop(consumer);
    journal.close().await.unwrap();
}

impl Journal {
    /// Waits for the writer's next look at the disk (it looks every second while the gate is closed).
    async fn accounts_measured(&self) {
        self.shared.inbox.put(writer::Command::Settle(Settlement::default())).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn space_comes_back_volume_by_volume() {
    let store = MemoryStore::default();
    let small = Settings { volume_bytes: 2_000, ..settings() };
    let mut journal = over(&store, &small);
    for _ in 0..60 {
        keep(&journal, Lane::Usage, &numbered(20)).await;
    }
    assert!(store.volumes(RowName::Usage) > 3, "{} volumes", store.volumes(RowName::Usage));
    let mut consumer = journal.take_consumer().unwrap();
    let blocks = read_all(&mut consumer).await;
    let texts: Vec<String> = blocks.iter().flat_map(texts_of).collect();
    assert_eq!(texts, (0..60).flat_map(|_| numbered(20)).collect::<Vec<_>>(), "oldest first, across volumes");
    for block in &blocks {
        consumer.settle(delivered(block)).await.unwrap();
    }
    drop(consumer);
    journal.close().await.unwrap();
    assert!(store.volumes(RowName::Usage) <= 2, "{} volumes left", store.volumes(RowName::Usage));
}

#[tokio::test]
async fn dead_letters_outlive_a_restart_and_are_counted_by_origin() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = on_disk(folder.path(), |_| ());
    keep(&journal, Lane::Usage, &numbered(2)).await;
    let mut consumer = journal.take_consumer().unwrap();
    let block = read_all(&mut consumer).await.remove(0);
    let mut settlement = delivered(&block);
    settlement.inserted = 1;
    settlement.dead.push(letter("{\"n\":1}", Origin::Delivery));
    settlement.blocks[0].dead_positions.push(1);
    consumer.settle(settlement).await.unwrap();
    journal.appender().keep_refused(vec![letter("nonsense", Origin::Intake)]).await.unwrap();
    keep(&journal, Lane::Usage, &numbered(1)).await;
    let accounts = journal.accounts().read();
    assert_eq!(accounts.dead_letters, [1, 1]);
    assert_eq!((accounts.inserted, accounts.dead_lettered_total(), accounts.pending_total()), (1, 1, 1));
    assert!(accounts.add_up());
    drop(consumer);
    journal.close().await.unwrap();
    let journal = on_disk(folder.path(), |_| ());
    assert_eq!(journal.accounts().read().dead_letters, [1, 1]);
    let letters = journal.dead_letters().read(0, 10).await.unwrap();
    // The id that the journal sets aside for the refused one is none of this test's business.
    let found: Vec<_> =
        letters.iter().map(|kept| DeadLetter { spare_id: None, ..kept.letter.clone() }).collect();
    assert_eq!(found, [letter("{\"n\":1}", Origin::Delivery), letter("nonsense", Origin::Intake)]);
    assert_eq!(journal.dead_letters().read(letters[0].number + 1, 10).await.unwrap(), letters[1..]);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn large_events_and_large_groups_never_become_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = on_disk(folder.path(), |_| ());
    let mut rng = fastrand::Rng::with_seed(9);
    let mut noise = |len: usize| (0..len).map(|_| rng.alphanumeric()).collect::<String>();
    let large: Vec<String> = (0..6).map(|_| noise(1 << 20)).collect();
    for text in &large {
        keep(&journal, Lane::Usage, std::slice::from_ref(text)).await;
    }
    let many: Vec<String> = (0..5_000).map(|_| noise(300)).collect();
    keep(&journal, Lane::Usage, &many).await;
    let grants: Vec<String> = (0..40).map(|_| noise(60_000)).collect();
    keep(&journal, Lane::Grants, &grants).await;
    let texts: Vec<String> =
        read_all(&mut journal.take_consumer().unwrap()).await.iter().flat_map(texts_of).collect();
    let expected: Vec<String> = grants.into_iter().chain(large).chain(many).collect();
    assert!(texts == expected, "every event comes out as it went in");
    journal.close().await.unwrap();
    assert_eq!(disk::blobs(&folder.path().join("journal")), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_second_journal_on_the_same_folder_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |_| ());
    let settings = Settings::in_folder(folder.path().join("journal"));
    let refused = Journal::open(&settings, Clock::system(), Metrics::new().unwrap()).unwrap_err();
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    journal.close().await.unwrap();
}

#[tokio::test]
async fn blocks_are_settled_in_the_volume_they_lie_in_even_when_it_was_opened_for_nothing() {
    let store = MemoryStore::default();
    let small = Settings { volume_bytes: 150, ..settings() };
    let mut journal = over(&store, &small);
    for _ in 0..12 {
        keep(&journal, Lane::Usage, &numbered(10)).await;
    }
    assert!(store.volumes(RowName::Usage) > 4);
    let mut consumer = journal.take_consumer().unwrap();
    let mut settled = 0;
    loop {
        // Fifteen events never hold two blocks, so each read opens the next volume in vain sooner or later.
        let blocks = consumer.read(Lane::Usage, 15, 1 << 20).await.unwrap();
        let Some(block) = blocks.first() else { break };
        consumer.settle(delivered(block)).await.unwrap();
        settled += block.len();
    }
    assert_eq!(settled, 120);
    drop(consumer);
    journal.close().await.unwrap();
    let journal = over(&store, &small);
    assert_eq!(journal.accounts().read().pending_at_start, 0);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_journal_of_a_newer_sledge_is_refused_untouched() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    keep(&journal, Lane::Usage, &numbered(3)).await;
    journal.close().await.unwrap();
    let id = disk::VolumeId { row: RowName::Usage, number: 1 };
    store.damage(id, |value| {
        if value.starts_with(b"SLJF") {
            value[4] = 99;
            let checksum = crc32c::crc32c_append(crc32c::crc32c(&value[..48]), &value[52..]);
            value[48..52].copy_from_slice(&checksum.to_le_bytes());
        }
    });
    let opened = try_over(&store, &settings());
    assert_eq!(opened.unwrap_err(), disk::StoreError::NewerFormat(id, 99));
    assert_eq!(store.volumes(RowName::Usage), 1);
}
