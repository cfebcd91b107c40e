//! Random histories of dead letters over a disk in memory: none is ever nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::letters_tests::{event, given_up, kept, quiet, small};
use crate::event::{EventBuf, Lane, PerLane, Rules};
use crate::journal::disk::MemoryStore;
use crate::journal::tests::{delivered, letter, over, read_all, texts_of};
use crate::journal::*;
use crate::metrics::Listener;

/// What a random history of letters may do.
#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Refuse(usize),
    Deliver(usize),
    GiveUp(usize),
    /// What was handed out before them is held back.
    GiveUpNewest(usize),
    Retry(Vec<prop::sample::Index>),
    Drop(Vec<prop::sample::Index>),
    ExportDropImport,
    Quiet,
    Restart,
    PowerCut(u64),
    /// A write or sync fails so many operations later, then the power goes.
    Fail(u64, Vec<prop::sample::Index>, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || prop::collection::vec(any::<prop::sample::Index>(), 1..6);
    let step = prop_oneof![
        4 => (1_usize..20).prop_map(Step::Append),
        4 => (1_usize..8).prop_map(Step::Refuse),
        3 => (1_usize..4).prop_map(Step::Deliver),
        3 => (1_usize..4).prop_map(Step::GiveUp),
        3 => (1_usize..8).prop_map(Step::GiveUpNewest),
        5 => some().prop_map(Step::Retry),
        4 => some().prop_map(Step::Drop),
        1 => Just(Step::ExportDropImport),
        1 => Just(Step::Quiet),
        1 => Just(Step::Restart),
        1 => any::<u64>().prop_map(Step::PowerCut),
        2 => (0_u64..12, some(), any::<u64>())
            .prop_map(|(operations, which, seed)| Step::Fail(operations, which, seed)),
    ];
    prop::collection::vec(step, 1..50)
}

/// Volumes of a block or two, so that many are read that owe something still.
fn tiny() -> Settings {
    Settings { volume_bytes: 200, ..small() }
}

struct History {
    store: MemoryStore,
    journal: Journal,
    consumer: Consumer,
    handed_out: Vec<Block>,
    /// Every event that was accepted or kept, and whether it may be gone: Polar has it, or a person dropped it.
    may_be_gone: BTreeMap<String, bool>,
    written: usize,
}

impl History {
    fn begin() -> Self {
        let store = MemoryStore::default();
        let mut journal = over(&store, &tiny());
        let consumer = journal.take_consumer().unwrap();
        Self { store, journal, consumer, handed_out: Vec::new(), may_be_gone: BTreeMap::new(), written: 0 }
    }

    fn begin_life(&mut self) {
        self.journal = over(&self.store, &tiny());
        self.consumer = self.journal.take_consumer().unwrap();
        self.handed_out.clear();
    }

    fn next_event(&mut self) -> String {
        self.written += 1;
        event(self.written)
    }

    fn owe(&mut self, text: String) {
        self.may_be_gone.insert(text, false);
    }

    /// The numbers and texts of some letters; none when the journal has failed.
    async fn some(&self, which: &[prop::sample::Index]) -> BTreeMap<LetterNumber, String> {
        let all = self.journal.dead_letters().read(0, usize::MAX).await.unwrap_or_default();
        if all.is_empty() {
            return BTreeMap::new();
        }
        which
            .iter()
            .map(|index| index.get(&all))
            .map(|kept| (kept.number, kept.letter.event.clone()))
            .collect()
    }

    async fn read(&mut self) {
        for lane in Lane::ALL {
            self.handed_out.extend(self.consumer.read(lane, 40, 10_000).await.unwrap_or_default());
        }
    }

    async fn settle(&mut self, count: usize, fate: impl Fn(&Block) -> Settlement, delivers: bool) {
        self.read().await;
        let oldest = ..count.min(self.handed_out.len());
        for block in self.handed_out.drain(oldest) {
            for text in texts_of(&block).into_iter().filter(|_| delivers) {
                self.may_be_gone.insert(text, true);
            }
            drop(self.consumer.settle(fate(&block)).await);
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Append(count) => {
                let texts: Vec<String> = (0..count).map(|_| self.next_event()).collect();
                let mut events: PerLane<EventBuf> = PerLane::default();
                texts.iter().for_each(|text| events.usage.push(text.as_bytes(), 0));
                let append = Append { listener: Listener::Http, events };
                if let Ok(receipt) = self.journal.appender().append(append).await
                    && receipt.committed().await.is_ok()
                {
                    texts.into_iter().for_each(|text| self.owe(text));
                }
            }
            Step::Refuse(count) => {
                let texts: Vec<String> = (0..count).map(|_| self.next_event()).collect();
                let letters = texts.iter().map(|text| letter(text, Origin::Intake)).collect();
                let put = self.journal.appender().keep_refused(letters).await;
                // Nobody is told when it is durable; a look after it proves it was written.
                if put.is_ok() && self.journal.dead_letters().page(0, 1).await.is_ok() {
                    texts.into_iter().for_each(|text| self.owe(text));
                }
            }
            Step::Deliver(count) => self.settle(count, delivered, true).await,
            Step::GiveUp(count) => self.settle(count, given_up, false).await,
            Step::GiveUpNewest(count) => {
                self.read().await;
                for block in self.handed_out.drain(self.handed_out.len().saturating_sub(count)..) {
                    drop(self.consumer.settle(given_up(&block)).await);
                }
            }
            Step::Retry(which) => {
                let numbers: Vec<_> = self.some(&which).await.into_keys().collect();
                drop(self.journal.dead_letters().retry(&numbers, &Rules::default()).await);
            }
            Step::Drop(which) => self.drop_letters(&which).await,
            Step::ExportDropImport => {
                let all = self.journal.dead_letters().read(0, usize::MAX).await.unwrap_or_default();
                let letters: Vec<DeadLetter> = all.iter().map(|kept| kept.letter.clone()).collect();
                // The import comes first here, so that a failure in between leaves doubles and not gaps.
                if self.journal.dead_letters().import(letters).await.is_ok() {
                    let numbers: Vec<_> = all.iter().map(|kept| kept.number).collect();
                    drop(self.journal.dead_letters().discard(&numbers).await);
                }
            }
            Step::Quiet => drop(tokio::time::timeout(Duration::from_secs(5), quiet(&self.store)).await),
            Step::Restart => {
                drop(self.journal.ended_now().await);
                self.begin_life();
            }
            Step::PowerCut(seed) => self.cut_power(seed).await,
            Step::Fail(operations, which, seed) => {
                self.store.fail_in(operations);
                let numbers: Vec<_> = self.some(&which).await.into_keys().collect();
                drop(self.journal.dead_letters().retry(&numbers, &Rules::default()).await);
                self.cut_power(seed).await;
            }
        }
    }

    async fn drop_letters(&mut self, which: &[prop::sample::Index]) {
        let some = self.some(which).await;
        let numbers: Vec<_> = some.keys().copied().collect();
        self.may_be_gone.extend(some.values().map(|text| (text.clone(), true)));
        if let Ok(gone) = self.journal.dead_letters().discard(&numbers).await {
            assert_eq!(gone, numbers);
        }
    }

    async fn cut_power(&mut self, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        self.store.cut_power(|| rng.bool());
        drop(self.journal.ended_now().await);
        // What the old life wrote on its way down, the power took with it.
        self.store.cut_power(|| false);
        self.begin_life();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is retried, dropped, imported, cut off or given up: an event that was accepted or kept is pending, or
    /// delivered, or a letter, or was dropped by a person; and the accounts add up.
    #[test]
    fn every_event_is_pending_delivered_dropped_or_a_letter(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut history = History::begin();
            for step in steps {
                history.take(step).await;
                prop_assert!(history.journal.accounts().read().add_up());
            }
            drop(history.journal.ended_now().await);
            history.begin_life();
            let accounts = history.journal.accounts().read();
            let pending: Vec<String> = read_all(&mut history.consumer).await.iter().flat_map(texts_of).collect();
            let letters = kept(&history.journal).await;
            prop_assert_eq!(accounts.pending_at_start, pending.len() as u64);
            prop_assert_eq!(accounts.dead_letters.iter().sum::<u64>(), letters.len() as u64);
            let found: BTreeSet<&String> = pending.iter().chain(&letters).collect();
            let owed = history.may_be_gone.iter().filter(|(_, gone)| !**gone).map(|(text, _)| text);
            let lost: Vec<_> = owed.filter(|text| !found.contains(text)).collect();
            prop_assert!(lost.is_empty(), "lost {:?}", lost);
            drop(history.journal.ended_now().await);
            Ok(())
        })?;
    }
}
