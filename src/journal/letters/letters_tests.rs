//! Dead letters leaving and coming back, over a store that loses power and over real sled.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::event::{EventBuf, PerLane, Rules};
use crate::journal::disk::MemoryStore;
use crate::journal::format::RowName;
use crate::journal::tests::{delivered, letter, on_disk, over, read_all, settings, texts_of};
use crate::journal::*;
use crate::metrics::Listener;

/// A complete event, so that a retry leaves it as it is.
pub(super) fn event(number: usize) -> String {
    format!(
        "{{\"name\":\"api_usage\",\"external_customer_id\":\"c\",\"external_id\":\"e{number}\",\"timestamp\":\"2024-01-01T00:00:00Z\"}}"
    )
}

async fn refuse(journal: &Journal, numbers: std::ops::Range<usize>) {
    for number in numbers {
        journal.appender().keep_refused(vec![letter(&event(number), Origin::Intake)]).await.unwrap();
        // Any answer means that it was written: each goes with a group of its own.
        journal.dead_letters().page(LetterNumber::MAX, 1).await.unwrap();
    }
}

pub(super) async fn kept(journal: &Journal) -> Vec<String> {
    let letters = journal.dead_letters().read(0, usize::MAX).await.unwrap();
    letters.into_iter().map(|kept| kept.letter.event).collect()
}

async fn numbers(journal: &Journal) -> Vec<LetterNumber> {
    journal.dead_letters().read(0, usize::MAX).await.unwrap().iter().map(|kept| kept.number).collect()
}

fn events(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(event).collect()
}

/// Small volumes, so that most letters lie in closed ones.
pub(super) fn small() -> Settings {
    Settings { volume_bytes: 1_000, ..settings() }
}

/// Waits until the writer has had a quiet moment and closed what it need not have open.
pub(super) async fn quiet(store: &MemoryStore) {
    let waited = async {
        while store.indices(RowName::Dead) + 2 < store.volumes(RowName::Dead) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.expect("volumes of dead letters stay open");
}

#[tokio::test]
async fn a_retried_letter_is_pending_again_under_its_id_and_no_letter_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = on_disk(folder.path(), |_| ());
    refuse(&journal, 0..3).await;
    let retried = journal.dead_letters().retry(&[1, 1, 7], &Rules::default()).await.unwrap();
    assert_eq!((retried.retried, retried.missing, retried.refused), (vec![1], vec![7], vec![]));
    let blocks = read_all(&mut journal.take_consumer().unwrap()).await;
    assert_eq!(blocks.iter().flat_map(texts_of).collect::<Vec<_>>(), events([1]));
    let accounts = journal.accounts().read();
    assert_eq!(
        (accounts.restored, accounts.dead_letters, accounts.pending_total()),
        ([1, 0, 0, 0], [0, 2], 1)
    );
    assert!(accounts.add_up());
    journal.close().await.unwrap();
    let journal = on_disk(folder.path(), |_| ());
    assert_eq!(kept(&journal).await, events([0, 2]));
    assert_eq!(journal.accounts().read().pending_at_start, 1);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_letter_without_an_id_is_retried_under_one_that_was_fixed_when_it_was_kept() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &settings());
    let nameless = "{\"name\":\"a\",\"external_customer_id\":\"c\"}";
    journal.appender().keep_refused(vec![letter(nameless, Origin::Intake)]).await.unwrap();
    let spare = journal.dead_letters().get(0).await.unwrap().unwrap().letter.spare_id.unwrap();
    journal.dead_letters().retry(&[0], &Rules::default()).await.unwrap();
    let texts: Vec<String> =
        read_all(&mut journal.take_consumer().unwrap()).await.iter().flat_map(texts_of).collect();
    assert!(texts[0].contains(&format!("\"external_id\":\"{spare}\"")), "{texts:?}");
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_letter_that_can_not_be_sent_stays_and_says_why() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    journal.appender().keep_refused(vec![letter("{\"name\":7}", Origin::Intake)]).await.unwrap();
    let retried = journal.dead_letters().retry(&[0], &Rules::default()).await.unwrap();
    assert!(retried.retried.is_empty());
    assert_eq!(retried.refused[0].number, 0);
    assert!(retried.refused[0].message.contains("export the letter"), "{retried:?}");
    assert_eq!(kept(&journal).await.len(), 1);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn letters_are_dropped_from_closed_volumes_which_go_when_they_are_empty() {
    let store = MemoryStore::default();
    let journal = over(&store, &small());
    refuse(&journal, 0..60).await;
    let all = numbers(&journal).await;
    assert_eq!(all.len(), 60);
    quiet(&store).await;
    let before = store.volumes(RowName::Dead);
    assert!(before > 10 && store.indices(RowName::Dead) > 8, "{before} volumes");

    let every_third: Vec<LetterNumber> = all.iter().copied().step_by(3).collect();
    let gone = journal.dead_letters().discard(&every_third).await.unwrap();
    assert_eq!(gone, every_third);
    assert!(journal.dead_letters().discard(&every_third).await.unwrap().is_empty(), "gone is gone");
    let rest = events((0..60).filter(|number| number % 3 != 0));
    assert_eq!(kept(&journal).await, rest);
    assert_eq!(journal.accounts().read().dead_letters, [0, 40]);
    quiet(&store).await;
    journal.close().await.unwrap();

    let journal = over(&store, &small());
    assert_eq!(
        journal.accounts().read().dead_letters,
        [0, 40],
        "the index of a volume counts what is left in it"
    );
    assert_eq!(kept(&journal).await, rest);
    let left = numbers(&journal).await;
    journal.dead_letters().discard(&left).await.unwrap();
    journal.close().await.unwrap();
    assert!(store.volumes(RowName::Dead) <= 2, "{} volumes are left", store.volumes(RowName::Dead));
    let journal = over(&store, &small());
    assert_eq!(kept(&journal).await, [] as [String; 0]);
    refuse(&journal, 0..1).await;
    assert!(numbers(&journal).await[0] > *all.last().unwrap(), "a number is never used again");
    journal.close().await.unwrap();
}

#[tokio::test]
async fn letters_in_closed_sled_volumes_are_taken_out_while_others_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = on_disk(folder.path(), |settings| settings.volume_bytes = 4_000);
    refuse(&journal, 0..120).await;
    let all = numbers(&journal).await;
    let (retried, dropped) = all.split_at(60);
    for (retry, drop) in retried.chunks(7).zip(dropped.chunks(7)) {
        assert_eq!(journal.dead_letters().retry(retry, &Rules::default()).await.unwrap().retried, retry);
        assert_eq!(journal.dead_letters().discard(drop).await.unwrap(), drop);
        refuse(&journal, 1_000..1_002).await;
    }
    assert_eq!(kept(&journal).await.len(), 18);
    let accounts = journal.accounts().read();
    assert_eq!((accounts.pending_total(), accounts.dead_letters), (60, [0, 18]));
    assert!(accounts.add_up());
    let mut found: Vec<String> =
        read_all(&mut journal.take_consumer().unwrap()).await.iter().flat_map(texts_of).collect();
    found.sort();
    let mut expected = events(0..60);
    expected.sort();
    assert_eq!(found, expected);
    journal.close().await.unwrap();
    let volumes = std::fs::read_dir(folder.path().join("journal/dead")).unwrap();
    let volumes = volumes.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert!(volumes <= 4, "{volumes} volumes for 18 letters");
    let journal = on_disk(folder.path(), |settings| settings.volume_bytes = 4_000);
    assert_eq!(kept(&journal).await.len(), 18);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn imported_letters_are_as_they_were_exported() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    refuse(&journal, 0..5).await;
    let exported = journal.dead_letters().read(0, usize::MAX).await.unwrap();
    journal.dead_letters().discard(&numbers(&journal).await).await.unwrap();
    let letters: Vec<DeadLetter> = exported.into_iter().map(|kept| kept.letter).collect();
    journal.dead_letters().import(letters.clone()).await.unwrap();
    let imported = journal.dead_letters().read(0, usize::MAX).await.unwrap();
    assert_eq!(imported.into_iter().map(|kept| kept.letter).collect::<Vec<_>>(), letters);
    let accounts = journal.accounts().read();
    assert_eq!((accounts.dead_letters, accounts.pending_total()), ([0, 5], 0));
    assert!(accounts.add_up());
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_full_dead_row_counts_what_it_refuses_keeps_what_delivery_gives_up_and_opens_when_cleared() {
    let store = MemoryStore::default();
    let tight = Settings { dead_bytes_max: 3_000, ..small() };
    let journal = over(&store, &tight);
    refuse(&journal, 0..40).await;
    let kept_count = numbers(&journal).await.len() as u64;
    let accounts = journal.accounts().read();
    assert!(accounts.dead_letters_full(), "{accounts:?}");
    assert_eq!(accounts.dead_letters[1], kept_count);
    assert_eq!(accounts.dead_letters_not_kept, 40 - kept_count);
    assert!(kept_count < 20, "{kept_count} were kept");

    let full = journal.dead_letters().import(vec![letter(&event(90), Origin::Intake)]).await.unwrap_err();
    assert!(full.to_string().contains("dead_bytes_max"), "{full}");
    let mut journal = journal;
    let mut usage = EventBuf::new();
    usage.push(event(91).as_bytes(), 0);
    let append = Append { listener: Listener::Http, events: PerLane { grants: EventBuf::new(), usage } };
    journal.appender().append(append).await.unwrap().committed().await.unwrap();
    let mut consumer = journal.take_consumer().unwrap();
    let block = read_all(&mut consumer).await.remove(0);
    consumer.settle(given_up(&block)).await.unwrap();
    assert_eq!(kept(&journal).await.last(), Some(&event(91)));

    journal.dead_letters().discard(&numbers(&journal).await).await.unwrap();
    assert_eq!(journal.accounts().read().dead_letter_bytes, 0);
    refuse(&journal, 95..96).await;
    assert_eq!(kept(&journal).await, events([95]));
    assert!(journal.accounts().read().add_up());
    drop(consumer);
    journal.close().await.unwrap();
}

/// The settlement of a block of which every event is dead.
pub(super) fn given_up(block: &Block) -> Settlement {
    let mut settlement = delivered(block);
    settlement.inserted = 0;
    settlement.delivered_at = None;
    for (position, text) in (0_u32..).zip(texts_of(block)) {
        settlement.dead.push(letter(&text, Origin::Delivery));
        settlement.blocks[0].dead_positions.push(position);
    }
    settlement
}

/// Fails, and cuts the power, after each number of operations in turn: taking letters out of open and of closed
/// volumes loses none on the way.
#[tokio::test]
async fn a_letter_is_never_nowhere_whichever_operation_fails_while_it_is_retried() {
    for operations in 0..24 {
        let store = MemoryStore::default();
        let journal = over(&store, &small());
        refuse(&journal, 0..12).await;
        let all = numbers(&journal).await;
        quiet(&store).await;
        journal.close().await.unwrap();

        let mut journal = over(&store, &small());
        store.fail_in(operations);
        let asked = [all[1], all[5], all[11]];
        let answered = journal.dead_letters().retry(&asked, &Rules::default()).await;
        let failed = journal.ended_now().await.is_err();
        assert!(!failed || operations < 20, "the power is cut at every step of the way");
        let told = answered.map(|answer| answer.retried).unwrap_or_default();
        store.cut_power(|| operations % 2 == 0);

        let mut journal = over(&store, &small());
        let pending: BTreeSet<String> =
            read_all(&mut journal.take_consumer().unwrap()).await.iter().flat_map(texts_of).collect();
        let letters: BTreeSet<String> = kept(&journal).await.into_iter().collect();
        for number in 0..12 {
            let text = event(number);
            assert!(
                pending.contains(&text) || letters.contains(&text),
                "event {number} is nowhere after {operations} operations"
            );
        }
        assert!(told.is_empty() || told == asked, "{told:?}");
        if told == asked {
            assert_eq!((pending.len(), letters.len()), (3, 9), "what was told is durable");
        }
        assert!(journal.accounts().read().add_up());
        journal.close().await.unwrap();
    }
}
