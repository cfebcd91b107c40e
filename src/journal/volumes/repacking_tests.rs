//! Volumes of small blocks are rewritten without a loss, whatever happens meanwhile.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::repacking::{Repacked, Repacking, is_worthwhile, repack, work};
use crate::event::Lane;
use crate::journal::disk::{MemoryStore, SledStore, Store, Volume};
use crate::journal::format::{RowName, VolumeIndex};
use crate::journal::tests::{
    PATIENCE, delivered, keep, numbered, on_disk, over, read_all, seqs_in, settings, texts_of, usage,
};
use crate::journal::*;

const EVENTS: usize = 120;

/// Volumes of a dozen blocks of one small event each.
fn small() -> Settings {
    Settings { volume_bytes: 1_000, ..settings() }
}

/// A closed journal of events that came one by one, of which nothing has been rewritten yet.
async fn one_by_one() -> MemoryStore {
    let store = MemoryStore::default();
    store.refuse_copies(true);
    let journal = over(&store, &small());
    for text in numbered(EVENTS) {
        keep(&journal, Lane::Usage, &[text]).await;
    }
    journal.close().await.unwrap();
    store.refuse_copies(false);
    assert!(store.blocks(usage(2)) >= 8, "{} blocks", store.blocks(usage(2)));
    store
}

/// What is known of each event: its seq, its time, its road, its text.
async fn events_of(store: &MemoryStore) -> Vec<(u64, u64, Option<Source>, String)> {
    store.refuse_copies(true);
    let mut journal = over(store, &small());
    let blocks = read_all(&mut journal.take_consumer().unwrap()).await;
    journal.close().await.unwrap();
    store.refuse_copies(false);
    let of_block = |block: &Block| {
        let known = |(position, text): (usize, String)| {
            let seq = block.id().seq + position as u64;
            (seq, block.accepted_at(position), block.source(position), text)
        };
        texts_of(block).into_iter().enumerate().map(known).collect::<Vec<_>>()
    };
    blocks.iter().flat_map(of_block).collect()
}

#[tokio::test]
async fn what_came_one_by_one_lies_in_full_blocks_soon() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &small());
    for text in numbered(EVENTS) {
        keep(&journal, Lane::Usage, &[text]).await;
    }
    let volumes = u32::try_from(store.volumes(RowName::Usage)).unwrap();
    // The first is open, for it is read next, and the last is being written.
    let begun = Instant::now();
    while (2..volumes - 1).any(|number| store.blocks(usage(number)) > 1) {
        assert!(begun.elapsed() < PATIENCE, "the volumes were never rewritten");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut consumer = journal.take_consumer().unwrap();
    let blocks = read_all(&mut consumer).await;
    assert!(blocks.len() < EVENTS * 3 / 4, "{} blocks", blocks.len());
    assert_eq!(blocks.iter().flat_map(texts_of).collect::<Vec<_>>(), numbered(EVENTS));
    for block in &blocks {
        consumer.settle(delivered(block)).await.unwrap();
    }
    drop(consumer);
    let accounts = journal.accounts();
    journal.close().await.unwrap();
    assert!(accounts.read().add_up());
    assert_eq!((accounts.read().pending_total(), accounts.read().pending_bytes), (0, 0));
    let journal = over(&store, &small());
    assert_eq!(journal.accounts().read().pending_at_start, 0);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_rewritten_volume_keeps_every_seq_time_and_road() {
    let store = one_by_one().await;
    let before = events_of(&store).await;
    let store = one_by_one().await;
    let id = usage(2);
    let repacked = repack(&store, id, &AtomicBool::new(false)).unwrap();
    assert!(matches!(repacked, Repacked::Done { blocks: 1, .. }), "{repacked:?}");
    assert_eq!(store.blocks(id), 1);
    let after = events_of(&store).await;
    let without_time = |events: &[(u64, u64, Option<Source>, String)]| {
        events.iter().map(|(seq, _, source, text)| (*seq, *source, text.clone())).collect::<Vec<_>>()
    };
    assert_eq!(without_time(&after), without_time(&before));
    assert!(after.iter().all(|(_, _, source, _)| source.is_some()));
    assert!(after.iter().map(|(_, accepted, _, _)| *accepted).is_sorted());
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_rewriting_loses_nothing() {
    let mut rng = fastrand::Rng::with_seed(8);
    let mut steps = 0;
    for operations in 0..100 {
        let store = one_by_one().await;
        let id = usage(2);
        store.fail_in(operations);
        let result = repack(&store, id, &AtomicBool::new(false));
        store.cut_power(|| rng.bool());
        let found = events_of(&store).await;
        let texts: Vec<String> = found.into_iter().map(|(_, _, _, text)| text).collect();
        assert_eq!(texts, numbered(EVENTS), "cut short after {operations} operations: {result:?}");
        if matches!(result, Ok(Repacked::Done { .. })) {
            break;
        }
        steps += 1;
    }
    // The volume begun, its block, the sync, the index for either, the two renames, the new index.
    assert_eq!(steps, 7);
}

/// A crash between the exchange of two volumes and the index that is written after it leaves the index that holds for either.
#[test]
fn a_volume_that_takes_another_s_place_on_a_real_disk_has_its_index_at_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let begin = || {
        let store = SledStore::in_folder(folder.path()).unwrap();
        [usage(1), usage(1).aside()].into_iter().for_each(|id| drop(store.create(id).unwrap()));
        store.write_index(usage(1), b"either").unwrap();
        store
    };
    let assert_has_index = |after: &str| {
        let store = SledStore::in_folder(folder.path()).unwrap();
        assert_eq!(store.list(RowName::Usage).unwrap(), [1], "{after}");
        assert_eq!(store.read_index(usage(1)).unwrap().as_deref(), Some(&b"either"[..]), "{after}");
    };
    begin().swap(usage(1)).unwrap();
    assert_has_index("an exchange");
    drop(begin());
    // Where a file system can't exchange them, they move one after the other.
    let row = folder.path().join("usage");
    std::fs::rename(row.join("volume-00000001"), row.join("deleting-00000001")).unwrap();
    assert_has_index("half an exchange");
    begin().replace(usage(1)).unwrap();
    assert_has_index("a salvage");
    drop(begin());
    std::fs::rename(row.join("volume-00000001"), folder.path().join("quarantine/half")).unwrap();
    assert_has_index("half a salvage");
}

#[tokio::test]
async fn a_rewriting_that_is_given_up_leaves_the_volume_as_it_was() {
    let store = one_by_one().await;
    let blocks = store.blocks(usage(2));
    let repacked = repack(&store, usage(2), &AtomicBool::new(true)).unwrap();
    assert_eq!(repacked, Repacked::Left);
    assert_eq!((store.blocks(usage(2)), store.blocks(usage(2).aside())), (blocks, 0));
    assert!(store.read_index(usage(2)).unwrap().is_some());
    assert_eq!(events_of(&store).await.len(), EVENTS);
}

#[tokio::test]
async fn whoever_needs_a_volume_does_not_wait_for_the_rewriting_of_another() {
    let store = Arc::new(one_by_one().await);
    let (first, first_job) = Repacking::of(usage(2));
    let (second, second_job) = Repacking::of(usage(3));
    let (jobs, waiting) = std::sync::mpsc::sync_channel(2);
    jobs.send(first_job).unwrap();
    jobs.send(second_job).unwrap();
    drop(jobs);
    let hold = store.hold_syncs();
    let held = hold.lock().unwrap();
    let before = store.operations();
    let worker = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || work(&store, &waiting))
    };
    while store.operations() == before {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The first can't end for as long as the disk syncs. Another thread waits, so that this one can give up.
    let (given_up, is_given_up) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || given_up.send(second.give_up()));
    assert_eq!(is_given_up.recv_timeout(PATIENCE).unwrap(), Ok(Repacked::Left));
    assert_eq!(first.poll(), None);
    drop(held);
    worker.join().unwrap();
    assert!(matches!(first.poll(), Some(Ok(Repacked::Done { .. }))));
    assert!(store.blocks(usage(3)) > 1 && store.blocks(usage(3).aside()) == 0, "it was left alone");
}

#[tokio::test]
async fn what_a_volume_loses_while_it_is_rewritten_is_missed_wherever_the_rewriting_is_cut_short() {
    for operations in 0..100 {
        let store = one_by_one().await;
        let id = usage(2);
        let lost = seqs_in(&store, id)[3];
        store.fail_in(operations);
        if repack(&store, id, &AtomicBool::new(false)).is_ok_and(|repacked| repacked != Repacked::Left) {
            assert!(operations > 3, "{operations}");
            return;
        }
        store.cut_power(|| true);
        if store.blocks(id) == 1 {
            // The copy has taken the place.
            continue;
        }
        store.erase_blocks(id, lost..lost + 1);
        let mut journal = over(&store, &small());
        let found: usize = read_all(&mut journal.take_consumer().unwrap()).await.iter().map(Block::len).sum();
        let accounts = journal.accounts().read();
        assert_eq!((found, accounts.lost()), (EVENTS - 1, 1), "cut short after {operations} operations");
        journal.close().await.unwrap();
    }
    panic!("no rewriting ever ended");
}

/// What was settled in a volume leaves nothing behind when the rest of it is salvaged but the seq up to which it had got.
#[tokio::test]
async fn a_volume_that_had_more_than_it_owes_is_not_rewritten_for_its_end_would_be_told_as_lost() {
    let store = one_by_one().await;
    let index = store.read_index(usage(2)).unwrap().as_deref().and_then(VolumeIndex::decode);
    let Some(VolumeIndex::Pending { begin, mut blocks }) = index else { panic!("{index:?}") };
    let last = blocks.pop().unwrap().seq;
    store.erase_blocks(usage(2), last..last + 1);
    store.write_index(usage(2), &VolumeIndex::Pending { begin, blocks }.encode()).unwrap();
    let before = store.blocks(usage(2));
    let journal = over(&store, &small());
    let begun = Instant::now();
    // Those after it are rewritten later.
    while store.blocks(usage(4)) > 1 {
        assert!(begun.elapsed() < PATIENCE, "the volumes were never rewritten");
        tokio::time::sleep(Duration::from_millis(5)).await;
        keep(&journal, Lane::Grants, &numbered(1)).await;
    }
    assert_eq!(store.blocks(usage(2)), before);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_volume_is_not_rewritten_without_what_is_lost() {
    let store = one_by_one().await;
    let mut blocks = 0;
    store.damage(usage(2), |value| {
        blocks += usize::from(value.starts_with(b"SLJF"));
        if blocks == 3 {
            let last = value.len() - 1;
            value[last] ^= 1;
        }
    });
    let repacked = repack(&store, usage(2), &AtomicBool::new(false)).unwrap();
    assert_eq!(repacked, Repacked::Left);
    let mut journal = over(&store, &small());
    let blocks = read_all(&mut journal.take_consumer().unwrap()).await;
    assert_eq!(blocks.iter().map(Block::len).sum::<usize>(), EVENTS - 1);
    assert_eq!(journal.accounts().read().lost(), 1, "it is told when the volume is read");
    journal.close().await.unwrap();
}

#[tokio::test]
async fn what_was_delivered_from_a_volume_is_not_rewritten_away() {
    let store = one_by_one().await;
    store.refuse_copies(true);
    let mut journal = over(&store, &small());
    let mut consumer = journal.take_consumer().unwrap();
    for block in read_all(&mut consumer).await.iter().step_by(2) {
        consumer.settle(delivered(block)).await.unwrap();
    }
    drop(consumer);
    journal.close().await.unwrap();
    // The next start describes what is left of the volumes, and leaves them closed.
    over(&store, &small()).close().await.unwrap();
    store.refuse_copies(false);
    assert!(store.read_index(usage(2)).unwrap().is_some());
    let blocks = store.blocks(usage(2));
    assert_eq!(repack(&store, usage(2), &AtomicBool::new(false)).unwrap(), Repacked::Left);
    assert_eq!(store.blocks(usage(2)), blocks);
}

#[tokio::test]
async fn small_blocks_on_a_real_disk_are_rewritten_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |settings| settings.volume_bytes = 4_000);
    for text in numbered(300) {
        keep(&journal, Lane::Usage, &[text]).await;
    }
    let home = folder.path().join("journal");
    let begun = Instant::now();
    loop {
        // A folder may be renamed while it is looked at.
        let blocks =
            check(&home).map(|report| report.rows[1].volumes.iter().map(|volume| volume.blocks).sum());
        if blocks.is_ok_and(|blocks: usize| blocks < 200) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the volumes were never rewritten");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    journal.close().await.unwrap();
    let report = check(&home).unwrap();
    assert_eq!((report.findings.len(), report.rows[1].pending_events), (0, 300), "{report:?}");
    let mut journal = on_disk(folder.path(), |settings| settings.volume_bytes = 4_000);
    assert_eq!(journal.accounts().read().pending_at_start, 300);
    let blocks = read_all(&mut journal.take_consumer().unwrap()).await;
    assert_eq!(blocks.iter().flat_map(texts_of).collect::<Vec<_>>(), numbered(300));
    journal.close().await.unwrap();
}

#[test]
fn only_volumes_that_shrink_much_are_rewritten() {
    assert!(is_worthwhile(20_000, 20_000, 4 << 20));
    assert!(is_worthwhile(4, 4, 1_000));
    assert!(!is_worthwhile(3, 3, 1_000), "three blocks for one");
    assert!(!is_worthwhile(60, 57_000, 14 << 20), "full blocks");
    assert!(!is_worthwhile(16, 16, 16 << 20), "large events");
    assert!(!is_worthwhile(0, 0, 0));
}

#[test]
fn what_an_earlier_attempt_left_aside_is_no_part_of_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::in_folder(folder.path()).unwrap();
    let volume = store.create(usage(1).aside()).unwrap();
    volume.apply(&[(b"key".to_vec(), b"left".to_vec())]).unwrap();
    volume.sync().unwrap();
    drop(volume);
    assert_eq!(store.create(usage(1).aside()).unwrap().get(b"key").unwrap(), None);
}
