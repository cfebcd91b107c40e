//! What the disk lost stays on record whatever happens while it is entered, and hides no other loss.

use super::continuity_tests::{assert_all_is_well, assert_lost};
use crate::event::Lane;
use crate::journal::disk::{MemoryStore, Store};
use crate::journal::tests::{
    crash, keep_blocks, on_disk, over, over_uncopied, read_all, seqs_in, settings, try_over, usage,
};
use crate::journal::*;

fn small() -> Settings {
    Settings { volume_bytes: 600, ..settings() }
}

/// Small volumes with two hundred events.
async fn small_volumes() -> MemoryStore {
    let store = MemoryStore::default();
    let journal = over_uncopied(&store, &small());
    keep_blocks(&journal, 20).await;
    journal.close().await.unwrap();
    store
}

/// The same, and of one that nobody has read nothing but the index is left; and how many events were in it.
async fn bereft() -> (MemoryStore, u64) {
    let store = small_volumes().await;
    // A start describes what its predecessor left open: the next one has no index to write but the tail's.
    crash(&store, over(&store, &small())).await;
    let blocks = seqs_in(&store, usage(2)).len() as u64;
    assert!(blocks > 1);
    store.bereave(usage(2));
    (store, blocks * 10)
}

fn has_told(store: &MemoryStore) -> bool {
    String::from_utf8(store.read_losses().unwrap()).unwrap().contains("\"told\":true")
}

/// The next start tells of so many events, unless one has told it before, and has them on record.
async fn assert_on_record_and_told_once(store: &MemoryStore, lost: u64) {
    let is_news = !has_told(store);
    let journal = over(store, &small());
    let (accounts, alarms) = (journal.accounts().read(), journal.alarms());
    assert!(accounts.add_up(), "{accounts:?}");
    assert_eq!((accounts.lost() > 0, alarms.len()), (is_news, usize::from(is_news)), "{alarms:?}");
    let OnRecord { lines, events } = accounts.losses_on_record;
    assert_eq!((lines, events.usage), (1, lost));
    crash(store, journal).await;
    assert_all_is_well(store, &small(), 200 - lost).await;
}

#[tokio::test]
async fn a_volume_of_which_only_the_index_is_left_is_told_whatever_start_dies() {
    for is_cut in [false, true] {
        let mut deaths = 0;
        for operations in 0.. {
            let (store, lost) = bereft().await;
            if is_cut {
                store.cut_power_in(operations, fastrand::Rng::with_seed(operations));
            } else {
                store.fail_in(operations);
            }
            let started = try_over(&store, &small());
            store.calm_down();
            store.cut_power(|| true);
            deaths += u32::from(started.is_err());
            let is_through = started.is_ok();
            if let Ok(mut journal) = started {
                assert_eq!(journal.accounts().read().lost(), lost);
                drop(journal.ended_now().await);
            }
            assert_on_record_and_told_once(&store, lost).await;
            if is_through {
                break;
            }
        }
        assert!(deaths > 3, "{deaths}");
    }
}

#[tokio::test]
async fn a_volume_of_which_only_the_index_is_left_is_not_forgotten_on_a_full_disk() {
    let mut started_without_the_book = 0;
    for files in 0..4 {
        let (store, lost) = bereft().await;
        store.fill_up_in(files);
        if let Ok(journal) = try_over(&store, &small()) {
            let OnRecord { lines, events } = journal.accounts().read().losses_on_record;
            assert_eq!((lines, events.usage), (1, lost), "{files}");
            started_without_the_book += u32::from(store.read_losses().unwrap().is_empty());
            crash(&store, journal).await;
        }
        store.free();
        assert_on_record_and_told_once(&store, lost).await;
    }
    assert!(started_without_the_book > 0);
}

#[tokio::test]
async fn a_volume_that_vanished_is_one_line_however_many_blocks_lay_in_it() {
    let (store, lost) = bereft().await;
    assert_lost(&store, &small(), lost, 200 - lost, "of usage/volume-00000002").await;
    assert_eq!(store.read_losses().unwrap().split(|byte| *byte == b'\n').count(), 2, "a line and its end");
}

#[tokio::test]
async fn a_block_lost_beside_one_that_was_lost_with_its_index_damaged_is_told() {
    let store = small_volumes().await;
    let seqs = seqs_in(&store, usage(2));
    let mut journal = over_uncopied(&store, &small());
    store.erase_blocks(usage(2), seqs[1]..seqs[1] + 1);
    store.clone().remove_index(usage(2)).unwrap();
    let mut consumer = journal.take_consumer().unwrap();
    let read: usize = read_all(&mut consumer).await.iter().map(Block::len).sum();
    assert_eq!((read, journal.accounts().read().lost()), (190, 10));
    drop(consumer);
    crash(&store, journal).await;
    let book = String::from_utf8(store.read_losses().unwrap()).unwrap();
    let exactly = format!("\"kind\":\"blocks\",\"first_seq\":{}", seqs[1]);
    assert!(book.contains(&exactly), "nothing else was missing in the volume: {book}");
    store.erase_blocks(usage(2), seqs[0]..seqs[0] + 1);
    let words = format!("lost 10 accepted events of usage/volume-00000002, with seqs from {}", seqs[0]);
    assert_lost(&store, &small(), 10, 180, &words).await;
}

#[tokio::test]
async fn a_loss_is_counted_once_though_the_writer_died_before_the_index_told_of_it() {
    for operations in 0..5 {
        let store = small_volumes().await;
        let seqs = seqs_in(&store, usage(2));
        let mut journal = over_uncopied(&store, &small());
        store.erase_blocks(usage(2), seqs[1]..seqs[1] + 1);
        let mut consumer = journal.take_consumer().unwrap();
        store.fail_in(operations);
        while consumer.read(Lane::Usage, 1_000, 1 << 20).await.is_ok_and(|blocks| !blocks.is_empty()) {}
        drop(consumer);
        store.calm_down();
        crash(&store, journal).await;
        let mut journal = over_uncopied(&store, &small());
        let read = read_all(&mut journal.take_consumer().unwrap()).await;
        let accounts = journal.accounts().read();
        assert!(accounts.add_up(), "{accounts:?}");
        assert_eq!(read.iter().map(Block::len).sum::<usize>(), 190);
        assert_eq!(accounts.pending_at_start - accounts.lost(), 190, "{operations}");
        assert!(accounts.lost() <= 10, "{operations}: {accounts:?}");
        assert_eq!(accounts.losses_on_record.events.usage, 10);
        crash(&store, journal).await;
    }
}

/// A file that answers every read as a bad sector does.
#[tokio::test]
async fn a_book_of_losses_in_a_bad_sector_keeps_no_check_and_no_start_from_the_rest_and_stays_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |_| ());
    keep_blocks(&journal, 5).await;
    journal.close().await.unwrap();
    let place = folder.path().join("journal");
    std::os::unix::fs::symlink("/proc/self/mem", place.join("losses")).unwrap();
    for _ in 0..2 {
        let report = check(&place).unwrap();
        assert_eq!((report.rows[1].pending_events, report.losses_on_record), (50, 1));
        assert!(
            report.findings.iter().any(|finding| finding.contains("can't be read any more")),
            "{report:?}"
        );
        let journal = on_disk(folder.path(), |_| ());
        let accounts = journal.accounts().read();
        assert_eq!((accounts.pending_total(), accounts.losses_on_record.lines), (50, 1));
        journal.close().await.unwrap();
    }
    std::fs::remove_file(place.join("losses")).unwrap();
    assert_eq!(check(&place).unwrap().findings, [] as [String; 0]);
}
