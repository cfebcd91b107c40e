//! Random histories on a disk that is damaged at any moment, beside all else that befalls it: every journal opens, nothing is
//! lost that was not hit, and what is lost is told, once.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::fixtures::{append_of, delivered, settings, texts_of, try_over};
use crate::event::Lane;
use crate::journal::disk::{MemoryStore, Store};
use crate::journal::*;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    OneByOne(usize),
    SettleOldest(usize),
    /// What was handed out before them is held back.
    SettleNewest(usize),
    /// Something on the disk is damaged, whatever it is.
    Hurt(u64),
    /// The disk is full after so many more files.
    FillUpIn(u64),
    Free,
    PowerCut(u64),
    PowerCutIn(u64, u64),
    FailureIn(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (1_usize..40).prop_map(Step::Append),
        4 => (4_usize..30).prop_map(Step::OneByOne),
        8 => (1_usize..6).prop_map(Step::SettleOldest),
        8 => (1_usize..6).prop_map(Step::SettleNewest),
        4 => any::<u64>().prop_map(Step::Hurt),
        1 => (0_u64..8).prop_map(Step::FillUpIn),
        1 => Just(Step::Free),
        1 => any::<u64>().prop_map(Step::PowerCut),
        2 => (0_u64..24, any::<u64>()).prop_map(|(operations, seed)| Step::PowerCutIn(operations, seed)),
        1 => (0_u64..24).prop_map(Step::FailureIn),
        4 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..50)
}

struct History {
    store: MemoryStore,
    life: Option<(Journal, Consumer)>,
    handed_out: Vec<Block>,
    /// The texts of events that were acknowledged and not settled since, and the seqs that were in damaged blocks.
    owed: BTreeSet<String>,
    hit: BTreeSet<u64>,
    /// Events that a life told to be lost.
    told: u64,
    was_full: bool,
    /// Whether a start died, and whether a life did.
    has_died_early: bool,
    has_failed: bool,
    number: usize,
}

impl History {
    fn begin() -> Self {
        let mut history = Self {
            store: MemoryStore::default(),
            life: None,
            handed_out: Vec::new(),
            owed: BTreeSet::new(),
            hit: BTreeSet::new(),
            told: 0,
            was_full: false,
            has_died_early: false,
            has_failed: false,
            number: 0,
        };
        history.begin_life();
        history
    }

    /// Starts until a start succeeds: it always does, on a disk that works and has room.
    fn begin_life(&mut self) {
        let small = Settings { volume_bytes: 700, ..settings() };
        for _ in 0..3 {
            if let Ok(mut journal) = try_over(&self.store, &small) {
                let consumer = journal.take_consumer().unwrap();
                self.life = Some((journal, consumer));
                return;
            }
            self.has_died_early = true;
            self.store.calm_down();
            self.store.free();
        }
        panic!("the journal does not open");
    }

    async fn end_life(&mut self) {
        let Some((mut journal, consumer)) = self.life.take() else { return };
        drop(consumer);
        drop(journal.ended_now().await);
        let accounts = journal.accounts().read();
        assert!(accounts.add_up(), "{accounts:?}");
        self.told += accounts.lost();
        self.has_failed |= journal.shared.failure().is_some();
        self.handed_out.clear();
    }

    async fn take(&mut self, step: Step) {
        let goes_on = match step {
            Step::Append(count) => self.append(count).await,
            Step::OneByOne(count) => {
                let mut goes_on = true;
                for _ in 0..count {
                    goes_on = goes_on && self.append(1).await;
                }
                goes_on
            }
            Step::SettleOldest(count) => self.settle(count, false).await,
            Step::SettleNewest(count) => self.settle(count, true).await,
            Step::Hurt(seed) => {
                self.hit.extend(self.store.hurt(&mut fastrand::Rng::with_seed(seed)).into_iter().flatten());
                true
            }
            Step::FillUpIn(files) => {
                self.was_full = true;
                self.store.fill_up_in(files);
                true
            }
            Step::Free => {
                self.store.free();
                true
            }
            Step::PowerCut(seed) => {
                self.store.cut_power_any_way(&mut fastrand::Rng::with_seed(seed));
                false
            }
            Step::PowerCutIn(operations, seed) => {
                self.store.cut_power_in(operations, fastrand::Rng::with_seed(seed));
                true
            }
            Step::FailureIn(operations) => {
                self.store.fail_in(operations);
                true
            }
            Step::Restart => false,
        };
        if !goes_on {
            self.end_life().await;
            self.begin_life();
        }
    }

    async fn append(&mut self, count: usize) -> bool {
        let texts: Vec<String> =
            (self.number..self.number + count).map(|number| format!("{{\"n\":{number}}}")).collect();
        self.number += count;
        let Some((journal, _)) = &self.life else { return false };
        let Ok(receipt) = journal.appender().append(append_of(Lane::Usage, &texts)).await else {
            return false;
        };
        let committed = receipt.committed().await.is_ok();
        if committed {
            self.owed.extend(texts);
        }
        committed
    }

    async fn settle(&mut self, count: usize, newest: bool) -> bool {
        let Some((_, consumer)) = &mut self.life else { return false };
        let Ok(blocks) = consumer.read(Lane::Usage, 60, 10_000).await else { return false };
        self.handed_out.extend(blocks);
        let all = self.handed_out.len();
        let count = count.min(all);
        for block in self.handed_out.drain(if newest { all - count..all } else { 0..count }) {
            texts_of(&block).iter().for_each(|text| {
                self.owed.remove(text);
            });
            if consumer.settle(delivered(&block)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// The seqs that the book of losses names.
    fn on_record(&self) -> BTreeSet<u64> {
        let book = String::from_utf8(self.store.read_losses().unwrap()).unwrap();
        let seqs = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let seq = |field: &str| line[field].as_u64().unwrap();
            seq("first_seq")..=seq("last_seq")
        };
        book.lines().flat_map(seqs).collect()
    }

    async fn end(mut self) {
        self.store.calm_down();
        self.store.free();
        // Reading meets damage that no start has met: then the next one does.
        for _ in 0..self.hit.len() + 2 {
            self.end_life().await;
            self.begin_life();
            let Some((_, consumer)) = &mut self.life else { return };
            let mut found = BTreeSet::new();
            let is_through = loop {
                match consumer.read(Lane::Usage, 1_000, 1 << 20).await {
                    Ok(blocks) if blocks.is_empty() => break true,
                    Ok(blocks) => found.extend(blocks.iter().flat_map(texts_of)),
                    Err(_) => break false,
                }
            };
            if is_through {
                self.end_life().await;
                self.judge(&found);
                return;
            }
        }
        panic!("the journal can't be read to its end");
    }

    fn judge(&self, found: &BTreeSet<String>) {
        let lost = self.owed.difference(found).count() as u64;
        let on_record = self.on_record();
        let wrongly: Vec<_> = on_record.difference(&self.hit).collect();
        assert!(wrongly.is_empty(), "told to be lost, and never hit: {wrongly:?}");
        let on_record = on_record.len() as u64;
        assert!(lost <= self.hit.len() as u64, "{lost} events are lost, and {} were hit", self.hit.len());
        // On a disk without room for the book of losses, and for an index, a start that dies may take the news along.
        if self.was_full {
            return;
        }
        assert!(lost <= on_record, "{lost} events are lost, and {on_record} are on record");
        // Whoever dies in the moment in which it is noted that a loss was told leaves that to the book, or to be told again.
        assert!(on_record <= self.told || self.has_died_early, "{on_record} on record, {} told", self.told);
        if !self.has_died_early && !self.has_failed {
            assert_eq!(self.told, on_record, "told once, and on record");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_a_damaged_disk_lost_was_hit_and_is_told(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut history = History::begin();
            for step in steps {
                history.take(step).await;
            }
            history.end().await;
        });
    }
}
