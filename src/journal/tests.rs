//! The journal as its users see it, over a store that loses power and over real sled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::frame::RowName;
use super::memory_store::MemoryStore;
use super::sled_store;
use super::*;
use crate::clock::Clock;
use crate::event::{EventBuf, Lane, PerLane};
use crate::metrics::{Listener, Metrics};

pub(super) fn settings() -> Settings {
    Settings { retention: Duration::ZERO, ..Settings::in_folder(std::env::temp_dir()) }
}

pub(super) fn over(store: &MemoryStore, settings: &Settings) -> Journal {
    Journal::over(&Arc::new(store.clone()), settings, Clock::system(), Metrics::new().unwrap(), None).unwrap()
}

pub(super) fn on_disk(folder: &std::path::Path, change: impl FnOnce(&mut Settings)) -> Journal {
    let mut settings = Settings { retention: Duration::ZERO, ..Settings::in_folder(folder.join("journal")) };
    change(&mut settings);
    Journal::open(&settings, Clock::system(), Metrics::new().unwrap()).unwrap()
}

fn append_of(lane: Lane, texts: &[String]) -> Append {
    let mut events: PerLane<EventBuf> = PerLane::default();
    texts.iter().for_each(|text| events[lane].push(text.as_bytes(), 0));
    Append { listener: Listener::Ndjson, events }
}

pub(super) async fn keep(journal: &Journal, lane: Lane, texts: &[String]) {
    let receipt = journal.appender().append(append_of(lane, texts)).await.unwrap();
    receipt.committed().await.unwrap();
}

pub(super) fn texts_of(block: &Block) -> Vec<String> {
    (0..block.len()).map(|at| String::from_utf8(block.event(at).unwrap().to_vec()).unwrap()).collect()
}

pub(super) async fn read_all(consumer: &mut Consumer) -> Vec<Block> {
    let mut blocks = Vec::new();
    for lane in Lane::ALL {
        loop {
            let more = consumer.read(lane, 1_000, 1 << 20).await.unwrap();
            if more.is_empty() {
                break;
            }
            blocks.extend(more);
        }
    }
    blocks
}

pub(super) fn delivered(block: &Block) -> Settlement {
    let mut resolved: PerLane<Amount> = PerLane::default();
    resolved[block.id().lane] = Amount { events: block.len() as u64, bytes: block.text_bytes() as u64 };
    Settlement {
        inserted: block.len() as u64,
        delivered_at: Some(1),
        resolved,
        blocks: vec![settled(block, 1)],
        ..Settlement::default()
    }
}

/// A block that a request of so many events took to Polar.
pub(super) fn settled(block: &Block, at: crate::event::UnixMillis) -> SettledBlock {
    let took = Attempt { at, status: 200, events: 1, carried: Carried::All };
    SettledBlock {
        id: block.id(),
        attempts: Attempts { made: 1, noted: vec![took] },
        dead_positions: Vec::new(),
    }
}

pub(super) fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{{\"n\":{number}}}")).collect()
}

pub(super) fn letter(text: &str, origin: Origin) -> DeadLetter {
    DeadLetter {
        origin,
        reason: if origin == Origin::Intake {
            DeadReason::RefusedAtIntake
        } else {
            DeadReason::RefusedByPolar
        },
        code: "missing".into(),
        field: Some("name".into()),
        message: "Field required".into(),
        at: 5,
        lane: Some(Lane::Usage),
        seq: None,
        accepted: None,
        attempts: 1,
        altered: false,
        spare_id: None,
        source: None,
        event: text.into(),
    }
}

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
    pub(super) async fn ended_now(&mut self) -> Result<(), JournalError> {
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
        self.shared.inbox.put(inbox::Command::Settle(Settlement::default())).unwrap();
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
    assert_eq!(sled_store::blobs(&folder.path().join("journal")), Vec::<std::path::PathBuf>::new());
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
async fn a_damaged_block_is_never_delivered_and_its_neighbours_are() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    for text in numbered(5) {
        keep(&journal, Lane::Usage, &[text]).await;
    }
    journal.close().await.unwrap();
    let id = store::VolumeId { row: RowName::Usage, number: 1 };
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
        let intact: BTreeSet<u64> = salvage::intact_blocks(&bytes);

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
async fn a_salvage_that_is_cut_short_begins_anew() {
    for operations in 0..6 {
        let store = MemoryStore::default();
        let journal = over(&store, &settings());
        for text in numbered(3) {
            keep(&journal, Lane::Usage, &[text]).await;
        }
        journal.close().await.unwrap();
        let mut blocks = 0;
        store.damage(store::VolumeId { row: RowName::Usage, number: 1 }, |value| {
            blocks += usize::from(value.starts_with(b"SLJF"));
            if blocks == 1 && value.len() > 60 {
                value[60] ^= 1;
            }
        });
        store.fail_in(operations);
        let cut_short = Journal::over(
            &Arc::new(store.clone()),
            &settings(),
            Clock::system(),
            Metrics::new().unwrap(),
            None,
        );
        drop(cut_short);
        store.cut_power(|| false);
        let mut journal = over(&store, &settings());
        let found: Vec<String> =
            read_all(&mut journal.take_consumer().unwrap()).await.iter().flat_map(texts_of).collect();
        assert_eq!(found, numbered(3)[1..], "cut short after {operations} operations");
        journal.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_journal_of_a_newer_sledge_is_refused_untouched() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    keep(&journal, Lane::Usage, &numbered(3)).await;
    journal.close().await.unwrap();
    let id = store::VolumeId { row: RowName::Usage, number: 1 };
    store.damage(id, |value| {
        if value.starts_with(b"SLJF") {
            value[4] = 99;
            let checksum = crc32c::crc32c_append(crc32c::crc32c(&value[..48]), &value[52..]);
            value[48..52].copy_from_slice(&checksum.to_le_bytes());
        }
    });
    let opened =
        Journal::over(&Arc::new(store.clone()), &settings(), Clock::system(), Metrics::new().unwrap(), None);
    assert_eq!(opened.unwrap_err(), store::StoreError::NewerFormat(id, 99));
    assert_eq!(store.volumes(RowName::Usage), 1);
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

#[tokio::test]
async fn a_check_tells_what_lies_there_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = on_disk(folder.path(), |settings| settings.volume_bytes = 2_000);
    for _ in 0..30 {
        keep(&journal, Lane::Usage, &numbered(20)).await;
    }
    let mut consumer = journal.take_consumer().unwrap();
    let block = consumer.read(Lane::Usage, 1, 1).await.unwrap().remove(0);
    consumer.settle(delivered(&block)).await.unwrap();
    drop(consumer);
    journal.close().await.unwrap();
    let folder = folder.path().join("journal");
    let report = check(&folder).unwrap();
    assert_eq!(report.findings, [] as [String; 0]);
    let usage = &report.rows[1];
    assert_eq!((usage.pending_events, usage.next_seq, usage.high_water), (580, 600, 600));
    assert!(usage.volumes.iter().any(|volume| volume.state == "pending"));

    let closed = usage.volumes.iter().find(|volume| volume.state == "pending").unwrap();
    let file = folder.join("usage").join(&closed.volume).join("db");
    let mut bytes = std::fs::read(&file).unwrap();
    let first = bytes.windows(4).position(|window| window == b"SLJF").unwrap();
    let head = bytes[first..first + 16].to_vec();
    // The store may hold a page twice; the block is lost when every copy is.
    for at in first..bytes.len() - 64 {
        if bytes[at..].starts_with(&head) {
            bytes[at + 60] ^= 1;
        }
    }
    std::fs::write(&file, &bytes).unwrap();
    let report = check(&folder).unwrap();
    assert!(report.findings[0].contains("1 blocks with 20 events"), "{:?}", report.findings);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}
