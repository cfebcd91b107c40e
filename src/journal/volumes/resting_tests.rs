//! Volumes that owe something for hours: closed, and yet nothing of what was settled in them is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::continuity_tests::assert_all_is_well;
use super::scan::scan_frames;
use crate::clock::Clock;
use crate::event::{CustomerRef, Lane, UnixMillis};
use crate::journal::disk::{MemoryStore, Store, VolumeId};
use crate::journal::format::{Header, Kind, RowName};
use crate::journal::tests::{
    PATIENCE, crash, delivered, keep, keep_blocks, numbered, over_uncopied, read_all, seqs_in, settings,
    usage,
};
use crate::journal::*;
use crate::metrics::Metrics;

/// The tail, the next one, one that is read, one that is read next, those that were read last, one that is opened again.
const OPEN_MAX: usize = 8;

/// A few blocks of ten events fill a volume.
fn small() -> Settings {
    Settings { volume_bytes: 600, ..settings() }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How many settlements lie in a volume.
fn settlements_in(store: &MemoryStore, id: VolumeId) -> usize {
    let mut settlements = 0;
    let mut see = |header: &Header, _: &[u8]| settlements += usize::from(header.kind == Kind::Settlement);
    scan_frames(store.raw(id).unwrap(), &mut see).unwrap();
    settlements
}

/// Blocks come in one by one; every other one is held back, and what is not is settled as soon as it is read.
async fn with_some_held_back(
    journal: &Journal,
    consumer: &mut Consumer,
    blocks: impl Iterator<Item = Vec<String>>,
) -> Vec<Block> {
    let mut held_back = Vec::new();
    for (number, texts) in blocks.enumerate() {
        keep(journal, Lane::Usage, &texts).await;
        for block in read_all(consumer).await {
            if number % 2 == 0 {
                held_back.push(block);
            } else {
                consumer.settle(delivered(&block)).await.unwrap();
            }
        }
    }
    held_back
}

/// So many of ten events.
fn blocks_of_ten(blocks: usize) -> impl Iterator<Item = Vec<String>> {
    (0..blocks).map(|_| numbered(10))
}

#[tokio::test]
async fn what_is_owed_for_hours_keeps_no_volume_open_and_is_settled_in_any_order() {
    let (store, hand) = (MemoryStore::default(), Arc::new(AtomicU64::new(1_700_000_000_000)));
    store.refuse_copies(true);
    let clock = Clock::by_hand(Arc::clone(&hand));
    let metrics = Metrics::new().unwrap();
    let mut journal = Journal::over(&Arc::new(store.clone()), &small(), clock, metrics, None).unwrap();
    let mut consumer = journal.take_consumer().unwrap();
    let mut held_back = with_some_held_back(&journal, &mut consumer, blocks_of_ten(100)).await;
    let volumes = store.volumes(RowName::Usage);
    assert!(volumes > 2 * OPEN_MAX, "{volumes} volumes owe something");
    until("a few volumes are open", || store.open_volumes() <= OPEN_MAX).await;
    until("all others are settled", || journal.accounts().read().pending_total() == 500).await;
    // Those that were read last go too when they are left alone, though nobody asks the journal for anything.
    let passes = || hand.fetch_add(10_000, Ordering::Relaxed) > 0;
    until("the last volume is open, and the one after it", || passes() && store.open_volumes() <= 2).await;
    fastrand::Rng::with_seed(1).shuffle(&mut held_back);
    for block in &held_back {
        consumer.settle(delivered(block)).await.unwrap();
    }
    until("what was settled is written", || store.volumes(RowName::Usage) <= 2).await;
    drop(consumer);
    let accounts = journal.accounts();
    journal.close().await.unwrap();
    assert!(accounts.read().add_up());
    assert_eq!(accounts.read().pending_total(), 0);
    assert_all_is_well(&store, &small(), 0).await;
}

#[tokio::test]
async fn a_clean_end_writes_down_what_was_settled_of_volumes_at_rest() {
    let store = MemoryStore::default();
    let mut journal = over_uncopied(&store, &small());
    let mut consumer = journal.take_consumer().unwrap();
    let held_back = with_some_held_back(&journal, &mut consumer, blocks_of_ten(100)).await;
    let (last, others) = held_back.split_last().unwrap();
    for block in others {
        consumer.settle(delivered(block)).await.unwrap();
    }
    drop(consumer);
    journal.close().await.unwrap();
    assert_all_is_well(&store, &small(), last.len() as u64).await;
}

#[tokio::test]
async fn a_volume_of_which_everything_is_settled_soon_is_opened_once() {
    let store = MemoryStore::default();
    let mut journal = over_uncopied(&store, &small());
    keep_blocks(&journal, 80).await;
    let volumes = store.volumes(RowName::Usage);
    let mut consumer = journal.take_consumer().unwrap();
    let mut under_way = std::collections::VecDeque::new();
    while let Some(block) = consumer.read(Lane::Usage, 1, 1).await.unwrap().pop() {
        under_way.push_back(block);
        // As much as lies in two volumes.
        if under_way.len() > 8 {
            consumer.settle(delivered(&under_way.pop_front().unwrap())).await.unwrap();
        }
    }
    drop(consumer);
    journal.close().await.unwrap();
    assert!(store.opens() <= volumes, "{} times one of {volumes} volumes was opened", store.opens());
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the lock is what keeps the volume from being opened")]
async fn what_waits_for_its_volume_is_delivered_for_whoever_looks_back() {
    let (store, keeps) =
        (MemoryStore::default(), Settings { retention: Duration::from_secs(3_600), ..small() });
    let mut journal = over_uncopied(&store, &keeps);
    let mut consumer = journal.take_consumer().unwrap();
    let identified = (0..40).map(|block| {
        (0..10).map(|event| format!("{{\"external_id\":\"e{}\"}}", block * 10 + event)).collect()
    });
    let held_back = with_some_held_back(&journal, &mut consumer, identified).await;
    let explained = async |id: &str| journal.recall().explain(id.to_owned()).await.unwrap().events.remove(0);
    assert_eq!(explained("e3").await.state, EventState::Pending);
    let opens = store.hold_opens();
    let held = opens.lock().unwrap();
    consumer.settle(delivered(&held_back[0])).await.unwrap();
    let event = explained("e3").await;
    assert_eq!((event.state, event.attempts), (EventState::Delivered, 1));
    let ever = Span { since: 0, until: UnixMillis::MAX };
    let replayed = journal.recall().replay(ever, true).await.unwrap();
    assert_eq!((replayed.events, replayed.pending), (210, 190));
    drop(held);
    drop(consumer);
    journal.close().await.unwrap();
    assert_all_is_well(&store, &keeps, 190).await;
}

#[tokio::test]
async fn what_customers_have_pending_in_volumes_at_rest_is_counted() {
    let store = MemoryStore::default();
    let counts = Settings { pending_customers_max: 10, ..small() };
    let text = |number: usize| {
        format!("{{\"name\":\"api_usage\",\"external_customer_id\":\"c\",\"external_id\":\"e{number}\"}}")
    };
    let journal = over_uncopied(&store, &counts);
    for number in 0..10 {
        keep(&journal, Lane::Grants, &[text(number)]).await;
    }
    for number in 0..100 {
        keep(&journal, Lane::Usage, &[text(number)]).await;
    }
    journal.close().await.unwrap();
    // The count begins with grants, and does not get on there as long as their first volume has no file.
    let grants = VolumeId { row: RowName::Grants, number: 1 };
    store.take_away(grants, usize::MAX);
    let mut journal = over_uncopied(&store, &counts);
    let mut consumer = journal.take_consumer().unwrap();
    let mut owed = 10;
    for number in 0.. {
        let Some(block) = consumer.read(Lane::Usage, 1, 1).await.unwrap().pop() else { break };
        if number % 4 == 0 {
            owed += block.len() as u64;
        } else {
            let all =
                SettledRun { positions: 0..u32::try_from(block.len()).unwrap(), block: Arc::new(block) };
            let settlement = delivered(&all.block);
            consumer.settle(Settlement { runs: vec![all], ..settlement }).await.unwrap();
        }
    }
    until("a few volumes are open", || store.open_volumes() <= OPEN_MAX).await;
    store.take_away(grants, 0);
    let units = journal.pending_units().unwrap();
    let customer = [CustomerRef::External("c".to_owned())];
    until("everything is counted", || units.of(&customer).complete).await;
    let counted: u64 = units.of(&customer).pending.iter().map(|named| named.events).sum();
    assert_eq!(counted, owed);
    drop(consumer);
    journal.close().await.unwrap();
}

/// A journal whose first volume is at rest, and owes the first of its blocks and the third.
async fn with_two_owed_at_rest(store: &MemoryStore) -> (Journal, Consumer, Vec<Block>) {
    let mut journal = over_uncopied(store, &small());
    let mut consumer = journal.take_consumer().unwrap();
    let held_back = with_some_held_back(&journal, &mut consumer, blocks_of_ten(60)).await;
    assert!(seqs_in(store, usage(1)).len() >= 4, "{:?}", seqs_in(store, usage(1)));
    until("a few volumes are open", || store.open_volumes() <= OPEN_MAX).await;
    (journal, consumer, held_back)
}

#[tokio::test]
async fn an_event_that_the_disk_loses_from_a_volume_at_rest_is_delivered_all_the_same() {
    let store = MemoryStore::default();
    let (journal, consumer, held_back) = with_two_owed_at_rest(&store).await;
    store.erase_blocks(usage(1), 0..10);
    // The volume is opened for another one.
    consumer.settle(delivered(&held_back[1])).await.unwrap();
    until("it is written down", || settlements_in(&store, usage(1)) > 2).await;
    for block in held_back.iter().skip(2).chain([&held_back[0]]) {
        consumer.settle(delivered(block)).await.unwrap();
    }
    drop(consumer);
    let accounts = journal.accounts();
    journal.close().await.unwrap();
    assert!(accounts.read().add_up());
    assert_eq!((accounts.read().pending_total(), accounts.read().lost()), (0, 0));
    assert_all_is_well(&store, &small(), 0).await;
}

#[tokio::test]
async fn an_event_that_the_disk_loses_from_a_volume_at_rest_is_missed_by_the_next_start() {
    for is_opened_before in [false, true] {
        let store = MemoryStore::default();
        let (journal, consumer, held_back) = with_two_owed_at_rest(&store).await;
        store.erase_blocks(usage(1), 0..10);
        let mut owed: u64 = held_back.len() as u64 * 10;
        if is_opened_before {
            consumer.settle(delivered(&held_back[1])).await.unwrap();
            owed -= 10;
            until("it is written down", || settlements_in(&store, usage(1)) > 2).await;
        }
        until("all others are settled", || journal.accounts().read().pending_total() == owed).await;
        assert_eq!(journal.accounts().read().lost(), 0, "delivery has it still");
        drop(consumer);
        crash(&store, journal).await;
        // Where it lies closed again, it is missed when it is opened to be read.
        let mut journal = over_uncopied(&store, &small());
        let found: usize = read_all(&mut journal.take_consumer().unwrap()).await.iter().map(Block::len).sum();
        let accounts = journal.accounts().read();
        assert!(accounts.add_up());
        assert_eq!((found as u64, accounts.pending_total(), accounts.lost()), (owed - 10, owed - 10, 10));
        journal.close().await.unwrap();
        assert_all_is_well(&store, &small(), owed - 10).await;
    }
}

#[tokio::test]
async fn what_lost_its_settlement_in_a_volume_at_rest_is_handed_out_again() {
    let store = MemoryStore::default();
    let (journal, mut consumer, held_back) = with_two_owed_at_rest(&store).await;
    store.erase(usage(1), |key| key == [b"s".as_slice(), &10_u64.to_be_bytes()].concat());
    consumer.settle(delivered(&held_back[0])).await.unwrap();
    tokio::time::timeout(PATIENCE, consumer.unread()).await.unwrap().unwrap();
    let again = read_all(&mut consumer).await;
    assert_eq!(again.iter().map(|block| block.id().seq).collect::<Vec<_>>(), [10]);
    for block in again.iter().chain(&held_back[1..]) {
        consumer.settle(delivered(block)).await.unwrap();
    }
    drop(consumer);
    let accounts = journal.accounts();
    journal.close().await.unwrap();
    assert!(accounts.read().add_up());
    assert_eq!((accounts.read().pending_total(), accounts.read().restored.iter().sum::<u64>()), (0, 10));
    assert_all_is_well(&store, &small(), 0).await;
}

#[tokio::test]
async fn on_a_full_disk_volumes_come_to_rest_without_an_index_and_nothing_is_lost() {
    let store = MemoryStore::default();
    let mut journal = over_uncopied(&store, &small());
    keep_blocks(&journal, 100).await;
    store.fill_up_in(0);
    let mut consumer = journal.take_consumer().unwrap();
    let mut owed = 0;
    for (number, block) in read_all(&mut consumer).await.into_iter().enumerate() {
        if number % 4 == 0 {
            owed += 10;
        } else {
            consumer.settle(delivered(&block)).await.unwrap();
        }
    }
    until("what was settled is written", || {
        (1..100).map(|number| settlements_in(&store, usage(number))).sum::<usize>() == 75
    })
    .await;
    until("a few volumes are open", || store.open_volumes() <= OPEN_MAX).await;
    crash(&store, journal).await;
    store.free();
    assert_all_is_well(&store, &small(), owed).await;
}
