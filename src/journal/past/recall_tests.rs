//! Looking back and sending again, over a store in memory and over real sled.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use crate::event::{Lane, PerLane, Rules, UnixMillis};
use crate::journal::disk::{MemoryStore, VolumeId};
use crate::journal::format::RowName;
use crate::journal::tests::{keep, letter, on_disk, over, read_all, settings, texts_of};
use crate::journal::*;
use crate::metrics::Listener;

/// All of time.
const EVER: Span = Span { since: 0, until: UnixMillis::MAX };
const NDJSON: Option<Source> = Some(Source::Listener(Listener::Ndjson));
const REPLAY: Option<Source> = Some(Source::Restored(Restored::Replay));

fn event(number: usize) -> String {
    format!("{{\"name\":\"api_usage\",\"external_customer_id\":\"c\",\"external_id\":\"e{number}\"}}")
}

fn events(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(event).collect()
}

/// Volumes of a few blocks, of which settled ones stay.
fn small() -> Settings {
    Settings { volume_bytes: 2_000, retention: Duration::from_secs(3_600), ..settings() }
}

/// What delivery says of a block that one request took to Polar, all but the events at these positions.
fn settled_at(block: &Block, at: UnixMillis, dead: &[u32]) -> Settlement {
    let mut resolved: PerLane<Amount> = PerLane::default();
    resolved[block.id().lane] = Amount { events: block.len() as u64, bytes: block.text_bytes() as u64 };
    let letters = dead.iter().map(|position| DeadLetter {
        event: texts_of(block)[*position as usize].clone(),
        seq: Some(block.id().seq + u64::from(*position)),
        source: block.source(*position as usize),
        ..letter("", Origin::Delivery)
    });
    let took = Attempt { at, status: 200, events: 1_000, carried: Carried::All };
    Settlement {
        inserted: block.len() as u64 - dead.len() as u64,
        delivered_at: Some(at),
        resolved,
        dead: letters.collect(),
        blocks: vec![SettledBlock {
            id: block.id(),
            attempts: Attempts { made: 1, noted: vec![took] },
            dead_positions: dead.to_vec(),
        }],
        ..Settlement::default()
    }
}

/// Delivers all there is, and waits until the journal knows.
async fn deliver(journal: &Journal, consumer: &mut Consumer, at: UnixMillis) -> Vec<String> {
    let blocks = read_all(consumer).await;
    for block in &blocks {
        consumer.settle(settled_at(block, at, &[])).await.unwrap();
    }
    // Any answer means that the settlements before it are written.
    journal.dead_letters().page(0, 1).await.unwrap();
    blocks.iter().flat_map(texts_of).collect()
}

async fn explain(journal: &Journal, id: &str) -> Explanation {
    journal.recall().explain(id.to_owned()).await.unwrap()
}

#[tokio::test]
async fn an_event_is_explained_at_every_stage_of_its_life() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = on_disk(folder.path(), |_| ());
    keep(&journal, Lane::Usage, &events(0..5)).await;
    let pending = explain(&journal, "e3").await;
    let [found] = pending.events.as_slice() else { panic!("{pending:?}") };
    assert_eq!((found.lane, found.seq, found.block, found.block_events), (Lane::Usage, 3, 0, 5));
    assert_eq!((found.state, found.source, found.attempts), (EventState::Pending, NDJSON, 0));
    assert!(found.accepted > 1_700_000_000_000);

    let mut consumer = journal.take_consumer().unwrap();
    let block = read_all(&mut consumer).await.remove(0);
    consumer.settle(settled_at(&block, 77, &[3])).await.unwrap();
    journal.dead_letters().page(0, 1).await.unwrap();
    let delivered = explain(&journal, "e4").await;
    let [found] = delivered.events.as_slice() else { panic!("{delivered:?}") };
    assert_eq!((found.state, found.at, found.attempts), (EventState::Delivered, Some(77), 1));
    assert_eq!(found.answers, [Answer { at: 77, status: 200, events: 1_000 }]);
    assert!(delivered.letters.is_empty());

    let dead = explain(&journal, "e3").await;
    assert_eq!(dead.events[0].state, EventState::Dead);
    let [letter] = dead.letters.as_slice() else { panic!("{dead:?}") };
    assert_eq!((letter.reason, letter.seq, letter.source), (DeadReason::RefusedByPolar, Some(3), NDJSON));

    journal.dead_letters().retry(&[letter.number], &Rules::default()).await.unwrap();
    let retried = explain(&journal, "e3").await;
    let states: Vec<_> = retried.events.iter().map(|event| (event.state, event.source)).collect();
    let requeued = Some(Source::Restored(Restored::Requeue));
    assert_eq!(states, [(EventState::Dead, NDJSON), (EventState::Pending, requeued)], "told of each time");
    assert!(retried.letters.is_empty());
    assert_eq!(explain(&journal, "e").await.events, [], "a part of an id is no id");
    drop(consumer);
    journal.close().await.unwrap();

    let journal = on_disk(folder.path(), |_| ());
    assert_eq!(explain(&journal, "e3").await.events, retried.events, "found again after a restart");
    journal.close().await.unwrap();
}

#[tokio::test]
async fn an_id_is_found_however_its_sender_wrote_it() {
    let store = MemoryStore::default();
    let journal = over(&store, &settings());
    let texts = [
        r#"{"name":"a","external_id":"\u0063all-\u00fc"}"#,
        r#"{"name":"a","external_id":"call-ü","note":"\n"}"#,
        r#"{"name":"a","external_id":"x","note":"call-ü"}"#,
        r#"{"name":"a","external\u005fid":"say \"hi\" \\ there"}"#,
    ];
    keep(&journal, Lane::Usage, &texts.map(str::to_owned)).await;
    let seqs =
        async |id| explain(&journal, id).await.events.iter().map(|event| event.seq).collect::<Vec<_>>();
    assert_eq!(seqs("call-ü").await, [0, 1]);
    assert_eq!(seqs(r#"say "hi" \ there"#).await, [3]);
    let nameless = letter("{\"external_id\":\"lost-1\",", Origin::Intake);
    journal.appender().keep_refused(vec![nameless]).await.unwrap();
    assert_eq!(explain(&journal, "lost-1").await.letters.len(), 1, "found in what can't even be read");
    journal.close().await.unwrap();
}

#[tokio::test]
async fn events_in_closed_open_and_retained_volumes_are_all_found() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &small());
    for number in 0..60 {
        keep(&journal, Lane::Usage, &events([number])).await;
    }
    let mut consumer = journal.take_consumer().unwrap();
    let first = consumer.read(Lane::Usage, 20, 1 << 20).await.unwrap();
    for block in &first {
        consumer.settle(settled_at(block, 50, &[])).await.unwrap();
    }
    journal.dead_letters().page(0, 1).await.unwrap();
    let delivered: usize = first.iter().map(Block::len).sum();
    for number in [0, 5, delivered, 40, 59] {
        let explanation = explain(&journal, &format!("e{number}")).await;
        let expected = if number < delivered { EventState::Delivered } else { EventState::Pending };
        assert_eq!(explanation.events[0].state, expected, "e{number}");
        assert_eq!((explanation.usage.events, explanation.usage.forgotten), (60, 0));
    }
    drop(consumer);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn what_was_delivered_is_sent_again_in_order_and_what_is_dead_or_dropped_never() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &small());
    let mut consumer = journal.take_consumer().unwrap();
    let mut expected = Vec::new();
    for number in 0..100 {
        let lane = if number % 10 == 9 { Lane::Grants } else { Lane::Usage };
        keep(&journal, lane, &events([number])).await;
        for block in read_all(&mut consumer).await {
            let dead = number % 7 == 0;
            consumer
                .settle(settled_at(&block, 1_000 + number as u64, if dead { &[0] } else { &[] }))
                .await
                .unwrap();
            if !dead && (20..90).contains(&number) {
                expected.push((lane, number));
            }
        }
    }
    let letters = journal.dead_letters().read(0, usize::MAX).await.unwrap();
    let numbers: Vec<LetterNumber> = letters.iter().map(|kept| kept.number).collect();
    journal.dead_letters().discard(&numbers).await.unwrap();
    assert!(store.indices(RowName::Usage) > 3, "most of it is retained");

    let span = Span { since: 1_020, until: 1_090 };
    let counted = journal.recall().replay(span, true).await.unwrap();
    assert_eq!((counted.events, counted.dry_run), (expected.len() as u64, true));
    assert!(read_all(&mut consumer).await.is_empty(), "a dry run changes nothing");

    let replayed = journal.recall().replay(span, false).await.unwrap();
    assert_eq!(Replayed { dry_run: true, ..replayed.clone() }, counted);
    assert_eq!((replayed.dead, replayed.unreadable, replayed.forgotten, replayed.stopped), (10, 0, 0, None));
    let accounts = journal.accounts().read();
    assert_eq!((accounts.restored, accounts.pending_total()), ([0, replayed.events, 0, 0], replayed.events));
    assert!(accounts.add_up());
    expected.sort_by_key(|(lane, number)| (*lane, *number));
    let texts: Vec<String> = read_all(&mut consumer).await.iter().flat_map(texts_of).collect();
    assert_eq!(texts, events(expected.iter().map(|(_, number)| *number)), "grants first, oldest first");
    drop(consumer);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_replay_done_twice_doubles_nothing_neither_before_nor_after_it_is_delivered() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &small());
    let mut consumer = journal.take_consumer().unwrap();
    keep(&journal, Lane::Usage, &events(0..50)).await;
    deliver(&journal, &mut consumer, 10).await;
    assert_eq!(journal.recall().replay(EVER, false).await.unwrap().events, 50);
    let again = journal.recall().replay(EVER, false).await.unwrap();
    assert_eq!((again.events, again.pending_again), (0, 50), "they are pending again already");
    assert_eq!(deliver(&journal, &mut consumer, 20).await.len(), 50);

    // Each now lies there twice, and is sent once.
    assert_eq!(journal.recall().replay(EVER, false).await.unwrap().events, 50);
    assert_eq!(deliver(&journal, &mut consumer, 30).await, events(0..50));
    // And what only an earlier replay delivered in that time is sent again too.
    let later = Span { since: 20, until: 30 };
    assert_eq!(journal.recall().replay(later, false).await.unwrap().events, 50);
    assert_eq!(explain(&journal, "e7").await.events.last().unwrap().source, REPLAY);
    drop(consumer);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_replay_outlives_the_volumes_it_came_from_and_says_what_is_forgotten() {
    let store = MemoryStore::default();
    let day = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(1_000_000));
    let clock = crate::clock::Clock::by_hand(std::sync::Arc::clone(&day));
    let metrics = crate::metrics::Metrics::new().unwrap();
    let mut journal =
        Journal::over(&std::sync::Arc::new(store.clone()), &small(), clock, metrics, None).unwrap();
    let mut consumer = journal.take_consumer().unwrap();
    for number in 0..60 {
        keep(&journal, Lane::Usage, &events([number])).await;
        deliver(&journal, &mut consumer, 1_000_000).await;
    }
    assert_eq!(journal.recall().replay(EVER, false).await.unwrap().events, 60);
    // More than an hour later the settled volumes go.
    day.store(1_000_000 + 2 * 3_600_000, std::sync::atomic::Ordering::Relaxed);
    keep(&journal, Lane::Usage, &events([60])).await;
    assert_eq!(read_all(&mut consumer).await.iter().flat_map(texts_of).collect::<Vec<_>>(), events(0..61));
    let late = journal.recall().replay(EVER, false).await.unwrap();
    assert_eq!((late.forgotten, late.kept_since, late.pending), (60, None, 61), "{late:?}");
    drop(consumer);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn while_somebody_looks_back_nothing_goes_for_its_age() {
    let store = MemoryStore::default();
    let none = Settings { retention_bytes_max: 0, ..small() };
    let mut journal = over(&store, &none);
    let mut consumer = journal.take_consumer().unwrap();
    let looker = journal.shared.presence_of_a_looker();
    for number in 0..60 {
        keep(&journal, Lane::Usage, &events([number])).await;
        deliver(&journal, &mut consumer, 10).await;
    }
    // How many they are depends on when the thread that rewrites them comes to it.
    assert!(store.volumes(RowName::Usage) > 3, "{} volumes", store.volumes(RowName::Usage));
    drop(looker);
    keep(&journal, Lane::Usage, &events([60])).await;
    drop(consumer);
    journal.close().await.unwrap();
    assert!(store.volumes(RowName::Usage) <= 2, "{} volumes", store.volumes(RowName::Usage));
}

#[tokio::test]
async fn a_damaged_retained_volume_is_told_and_the_others_are_sent_again() {
    for hide_settlements in [false, true] {
        let store = MemoryStore::default();
        let mut journal = over(&store, &small());
        let mut consumer = journal.take_consumer().unwrap();
        for number in 0..60 {
            keep(&journal, Lane::Usage, &events([number])).await;
            deliver(&journal, &mut consumer, 10).await;
        }
        let mut damaged = 0;
        store.damage(VolumeId { row: RowName::Usage, number: 2 }, |value| {
            // The kind of a frame: 1 is a block, 2 a settlement.
            let is_hit = value.starts_with(b"SLJF") && (value[5] == 2) == hide_settlements;
            if is_hit && damaged < 3 {
                damaged += 1;
                *value.last_mut().unwrap() ^= 1;
            }
        });
        let replayed = journal.recall().replay(EVER, false).await.unwrap();
        assert_eq!((replayed.unreadable, replayed.events), (3, 57), "{replayed:?}");
        assert!(journal.accounts().read().add_up());
        let explanation = explain(&journal, "e0").await;
        assert_eq!(explanation.usage.unreadable, if hide_settlements { 0 } else { 3 });
        drop(consumer);
        journal.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_replay_leaves_room_in_the_journal_and_says_so() {
    let store = MemoryStore::default();
    let tight = Settings { journal_bytes_max: 40_000, ..small() };
    let mut journal = over(&store, &tight);
    let mut consumer = journal.take_consumer().unwrap();
    for number in 0..100 {
        keep(&journal, Lane::Usage, &events([number])).await;
        deliver(&journal, &mut consumer, 10).await;
    }
    let mut rounds = 0;
    let stopped = loop {
        let replayed = journal.recall().replay(EVER, false).await.unwrap();
        deliver(&journal, &mut consumer, 20).await;
        if let Some(why) = replayed.stopped {
            break why;
        }
        rounds += 1;
        assert!(rounds < 50, "the journal has no end");
    };
    assert!(stopped.contains("the journal is full"), "{stopped}");
    assert!(journal.accounts().read().add_up());
    keep(&journal, Lane::Usage, &events([100])).await;
    drop(consumer);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_replay_that_nobody_waits_for_stops() {
    let store = MemoryStore::default();
    let mut journal = over(&store, &small());
    let mut consumer = journal.take_consumer().unwrap();
    for number in 0..30 {
        keep(&journal, Lane::Usage, &events([number])).await;
        deliver(&journal, &mut consumer, 10).await;
    }
    let recall = journal.recall();
    drop(tokio::time::timeout(Duration::ZERO, recall.replay(EVER, false)).await);
    // The next one has its turn, and finds what the one before may have done.
    let replayed = recall.replay(EVER, false).await.unwrap();
    assert_eq!(replayed.events + replayed.pending_again, 30);
    assert_eq!(recall.progress(), None);
    drop(consumer);
    journal.close().await.unwrap();
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Keep(usize),
    Deliver,
    Kill(bool),
    DropLetters,
    Replay { since: u64, len: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_usize..12).prop_map(Step::Keep),
        4 => Just(Step::Deliver),
        1 => any::<bool>().prop_map(Step::Kill),
        1 => Just(Step::DropLetters),
        2 => (0_u64..30, 1_u64..30).prop_map(|(since, len)| Step::Replay { since, len }),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn every_replay_sends_what_was_delivered_then_and_nothing_dead(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = MemoryStore::default();
            let mut journal = over(&store, &small());
            let mut consumer = journal.take_consumer().unwrap();
            let (mut next, mut now) = (0, 0_u64);
            // When each event was delivered, and which are dead.
            let mut delivered: Vec<(u64, String)> = Vec::new();
            let mut dead = BTreeSet::new();
            for step in steps {
                now += 1;
                match step {
                    Step::Keep(count) => {
                        keep(&journal, Lane::Usage, &events(next..next + count)).await;
                        next += count;
                    }
                    Step::Deliver => {
                        for block in read_all(&mut consumer).await {
                            let texts = texts_of(&block);
                            let is_dead = |text: &String| text.ends_with("5\"}");
                            let positions: Vec<u32> =
                                (0_u32..).zip(&texts).filter(|(_, text)| is_dead(text)).map(|(at, _)| at).collect();
                            consumer.settle(settled_at(&block, now, &positions)).await.unwrap();
                            for text in texts {
                                // What is delivered once more counts as delivered then.
                                delivered.retain(|(_, known)| *known != text);
                                if is_dead(&text) { dead.insert(text); } else { delivered.push((now, text)); }
                            }
                        }
                        // A kill may take settlements that no sync covered; then events are merely sent twice.
                        journal.dead_letters().page(0, 1).await.unwrap();
                    }
                    Step::Kill(survives) => {
                        store.cut_power(|| survives);
                        drop(consumer);
                        drop(journal.ended_now().await);
                        journal = over(&store, &small());
                        consumer = journal.take_consumer().unwrap();
                    }
                    Step::DropLetters => {
                        let letters = journal.dead_letters().read(0, usize::MAX).await.unwrap();
                        let numbers: Vec<LetterNumber> = letters.iter().map(|kept| kept.number).collect();
                        journal.dead_letters().discard(&numbers).await.unwrap();
                    }
                    Step::Replay { since, len } => {
                        let span = Span { since, until: since + len };
                        // Also what is owed once more because its settlement was lost.
                        let owed: BTreeSet<String> =
                            read_all(&mut consumer).await.iter().flat_map(texts_of).collect();
                        let replayed = journal.recall().replay(span, false).await.unwrap();
                        assert_eq!((replayed.unreadable, replayed.forgotten), (0, 0));
                        let restored: BTreeSet<String> =
                            read_all(&mut consumer).await.iter().flat_map(texts_of).collect();
                        assert_eq!(restored.len() as u64, replayed.events);
                        for (at, text) in &delivered {
                            let is_meant = (since..since + len).contains(at);
                            assert!(!is_meant || restored.contains(text) || owed.contains(text), "{text}, delivered at {at}, is missing");
                        }
                        assert!(dead.is_disjoint(&restored), "a dead event came back");
                        assert!(journal.accounts().read().add_up());
                        // What was read is sent again by the next life.
                        store.cut_power(|| true);
                        drop(consumer);
                        drop(journal.ended_now().await);
                        journal = over(&store, &small());
                        consumer = journal.take_consumer().unwrap();
                    }
                }
            }
            drop(consumer);
            drop(journal.close().await);
        });
    }
}
