//! Random histories of a journal over a disk in memory that loses power at any operation, writes out of order and in
//! pieces, and fails. The long form: `PROPTEST_CASES=10000 cargo test --lib model_tests`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::fixtures::{delivered, read_all, settings, texts_of};
use crate::clock::Clock;
use crate::event::{EventBuf, Lane, PerLane, UnixMillis, external_id};
use crate::journal::disk::{MemoryStore, StoreError};
use crate::journal::*;
use crate::metrics::{Listener, Metrics};

const HOUR: Duration = Duration::from_secs(3_600);

fn text_of(number: usize) -> String {
    format!("{{\"external_id\":\"e{number}\"}}")
}

/// What a random history may do.
#[derive(Clone, Debug)]
enum Step {
    Append {
        grants: usize,
        usage: usize,
    },
    /// Events of a block each, so that closed volumes get rewritten.
    OneByOne(usize),
    /// Events of a block each, written together: every other one is held for a moment.
    Together(usize),
    SettleOldest(usize),
    /// What was handed out before them is held back.
    SettleNewest(usize),
    /// The power goes while nobody does anything.
    PowerCut(u64),
    /// The power goes in the middle of one of the next operations, whatever it is.
    PowerCutIn(u64, u64),
    /// One of the next operations fails, and all after it.
    FailureIn(u64),
    Restart,
    /// All that was delivered and is kept is sent again, while so many events come in.
    Replay(usize),
    /// What became of an event that is owed is asked, while so many events come in.
    Explain(usize),
    /// Events that are owed are brought back from an export once more.
    Import(usize),
    /// So many hours pass.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0_usize..4, 0_usize..40).prop_map(|(grants, usage)| Step::Append { grants, usage }),
        4 => (4_usize..30).prop_map(Step::OneByOne),
        4 => (2_usize..12).prop_map(Step::Together),
        8 => (1_usize..6).prop_map(Step::SettleOldest),
        8 => (1_usize..6).prop_map(Step::SettleNewest),
        1 => any::<u64>().prop_map(Step::PowerCut),
        3 => (0_u64..24, any::<u64>()).prop_map(|(operations, seed)| Step::PowerCutIn(operations, seed)),
        1 => (0_u64..24).prop_map(Step::FailureIn),
        2 => Just(Step::Restart),
        1 => (0_usize..20).prop_map(Step::Replay),
        1 => (0_usize..20).prop_map(Step::Explain),
        1 => (1_usize..8).prop_map(Step::Import),
        1 => (1_u64..3).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

/// One life of a journal in a random history.
struct Life {
    journal: Journal,
    consumer: Consumer,
    handed_out: Vec<Block>,
}

impl Life {
    fn try_begin(disk: &Disk) -> Result<Self, StoreError> {
        let settings = Settings { volume_bytes: 1_500, retention: disk.retention, ..settings() };
        let metrics = Metrics::new().unwrap();
        let clock = Clock::by_hand(Arc::clone(&disk.hand));
        let mut journal = Journal::over(&Arc::new(disk.store.clone()), &settings, clock, metrics, None)?;
        let consumer = journal.take_consumer().unwrap();
        Ok(Self { journal, consumer, handed_out: Vec::new() })
    }

    /// The accounts add up, and nobody is alarmed: nothing that a power cut or a failure does is damage.
    fn assert_all_is_well(&self) {
        let accounts = self.journal.accounts().read();
        assert!(accounts.add_up(), "{accounts:?}");
        assert_eq!(self.journal.alarms(), [] as [String; 0]);
        assert_eq!((accounts.lost(), accounts.quarantined_volumes), (0, 0), "{accounts:?}");
    }

    /// Starts until a start succeeds: the power may go during one, and a disk that failed is replaced.
    fn begin(disk: &Disk) -> Self {
        for _ in 0..3 {
            if let Ok(life) = Self::try_begin(disk) {
                return life;
            }
            disk.store.calm_down();
        }
        panic!("the journal does not open");
    }
}

/// What outlives a life.
struct Disk {
    store: MemoryStore,
    /// Settled volumes are kept for so long.
    retention: Duration,
    /// The time, which passes by hand.
    hand: Arc<AtomicU64>,
}

/// A history under way.
struct History {
    disk: Disk,
    life: Life,
    /// The texts of events that were acknowledged and not settled since.
    owed: BTreeSet<String>,
    number: usize,
}

impl History {
    fn begin() -> Self {
        Self::that_keeps(Duration::ZERO)
    }

    fn that_keeps(retention: Duration) -> Self {
        let hand = Arc::new(AtomicU64::new(1_700_000_000_000));
        let disk = Disk { store: MemoryStore::default(), retention, hand };
        let life = Life::begin(&disk);
        Self { disk, life, owed: BTreeSet::new(), number: 0 }
    }

    fn next_texts(&mut self, count: usize) -> Vec<String> {
        let texts = (self.number..self.number + count).map(text_of).collect();
        self.number += count;
        texts
    }

    async fn take(&mut self, step: Step) {
        let goes_on = match step {
            Step::Append { grants, usage } => self.append(grants, usage, false).await,
            Step::OneByOne(count) => {
                let mut goes_on = true;
                for _ in 0..count {
                    goes_on = goes_on && self.append(0, 1, false).await;
                }
                goes_on
            }
            Step::Together(count) => self.append(0, count, true).await,
            Step::SettleOldest(count) => self.settle(count, false).await,
            Step::SettleNewest(count) => self.settle(count, true).await,
            Step::PowerCut(seed) => {
                self.disk.store.cut_power_any_way(&mut fastrand::Rng::with_seed(seed));
                false
            }
            Step::PowerCutIn(operations, seed) => {
                self.disk.store.cut_power_in(operations, fastrand::Rng::with_seed(seed));
                true
            }
            Step::FailureIn(operations) => {
                self.disk.store.fail_in(operations);
                true
            }
            Step::Restart => false,
            Step::Replay(meanwhile) => self.replay(meanwhile).await,
            Step::Explain(meanwhile) => self.explain(meanwhile).await,
            Step::Import(count) => self.import(count).await,
            Step::Wait(hours) => {
                self.disk.hand.fetch_add(hours * HOUR.as_secs() * 1_000, Ordering::Relaxed);
                true
            }
        };
        if !goes_on {
            drop(self.life.journal.ended_now().await);
            self.life = Life::begin(&self.disk);
        }
        self.life.assert_all_is_well();
    }

    /// Whether the journal still serves.
    async fn append(&mut self, grants: usize, usage: usize, every_other_is_held: bool) -> bool {
        let mut events: PerLane<EventBuf> = PerLane::default();
        let mut texts = Vec::new();
        for (lane, count) in [(Lane::Grants, grants), (Lane::Usage, usage)] {
            for (at, text) in self.next_texts(count).into_iter().enumerate() {
                let is_held = every_other_is_held && at % 2 == 1;
                events[lane].push(text.as_bytes(), if is_held { u64::MAX } else { 0 });
                texts.push(text);
            }
        }
        let Ok(receipt) =
            self.life.journal.appender().append(Append { listener: Listener::Http, events }).await
        else {
            return false;
        };
        let committed = receipt.committed().await.is_ok();
        if committed {
            self.owed.extend(texts);
        }
        committed
    }

    async fn replay(&mut self, meanwhile: usize) -> bool {
        let recall = self.life.journal.recall();
        let ever = Span { since: 0, until: UnixMillis::MAX };
        let (replayed, goes_on) = tokio::join!(recall.replay(ever, false), self.append(0, meanwhile, false));
        replayed.is_ok() && goes_on
    }

    /// An event that is owed is found, wherever it lies and wherever it goes meanwhile.
    async fn explain(&mut self, meanwhile: usize) -> bool {
        let Some(text) = self.owed.iter().nth(self.number % self.owed.len().max(1)).cloned() else {
            return true;
        };
        let id = external_id(text.as_bytes()).unwrap().into_owned();
        let recall = self.life.journal.recall();
        let (explained, goes_on) = tokio::join!(recall.explain(id), self.append(0, meanwhile, false));
        let Ok(explained) = explained else { return false };
        assert!(!explained.events.is_empty(), "{text} is owed, and nothing is known of it: {explained:?}");
        goes_on
    }

    async fn import(&mut self, count: usize) -> bool {
        let mut events: PerLane<EventBuf> = PerLane::default();
        self.owed.iter().take(count).for_each(|text| events.usage.push(text.as_bytes(), 0));
        self.life.journal.restorer().restore(Restored::Import, events).await.is_ok()
    }

    async fn settle(&mut self, count: usize, newest: bool) -> bool {
        for lane in Lane::ALL {
            let Ok(blocks) = self.life.consumer.read(lane, 60, 10_000).await else { return false };
            self.life.handed_out.extend(blocks);
        }
        let all = self.life.handed_out.len();
        let count = count.min(all);
        for block in self.life.handed_out.drain(if newest { all - count..all } else { 0..count }) {
            texts_of(&block).iter().for_each(|text| {
                self.owed.remove(text);
            });
            if self.life.consumer.settle(delivered(&block)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// What is owed and does not come out any more.
    async fn lost(mut self) -> Vec<String> {
        self.disk.store.calm_down();
        drop(self.life.journal.ended_now().await);
        let mut life = Life::begin(&self.disk);
        life.assert_all_is_well();
        let found: BTreeSet<String> = read_all(&mut life.consumer).await.iter().flat_map(texts_of).collect();
        life.journal.close().await.unwrap();
        self.owed.difference(&found).cloned().collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Whatever happens, an event that was acknowledged is settled or comes out again, and the accounts add up.
    #[test]
    fn acknowledged_events_are_settled_or_found_again(steps in steps(), keeps in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut history = History::that_keeps(if keeps { HOUR } else { Duration::ZERO });
            for step in steps {
                history.take(step).await;
            }
            let lost = history.lost().await;
            prop_assert!(lost.is_empty(), "lost {lost:?}");
            Ok(())
        })?;
    }
}

/// One fixed life that does everything: its volumes are begun, closed, read, settled and deleted; some come to rest
/// meanwhile, and are opened again.
async fn live(history: &mut History) {
    for _ in 0..6 {
        for _ in 0..3 {
            history.take(Step::Append { grants: 2, usage: 30 }).await;
        }
        history.take(Step::OneByOne(10)).await;
        history.take(Step::SettleOldest(3)).await;
    }
    for _ in 0..8 {
        history.take(Step::SettleNewest(6)).await;
        history.take(Step::Append { grants: 0, usage: 20 }).await;
    }
    for _ in 0..4 {
        history.take(Step::SettleOldest(3)).await;
    }
    history.take(Step::Restart).await;
    for _ in 0..12 {
        history.take(Step::SettleOldest(6)).await;
    }
}

#[tokio::test]
async fn the_power_may_go_at_every_single_operation_of_a_life() {
    let mut whole = History::begin();
    live(&mut whole).await;
    let operations = whole.disk.store.operations();
    assert!(operations > 100, "{operations}");
    for nth in 0..operations {
        for seed in 0..3 {
            let mut history = History::begin();
            history.disk.store.cut_power_in(nth, fastrand::Rng::with_seed(seed));
            live(&mut history).await;
            let lost = history.lost().await;
            assert!(lost.is_empty(), "power cut in operation {nth}, seed {seed}: lost {lost:?}");
        }
    }
}

#[tokio::test]
async fn every_single_operation_of_a_life_may_fail() {
    let mut whole = History::begin();
    live(&mut whole).await;
    for nth in 0..whole.disk.store.operations() {
        let mut history = History::begin();
        history.disk.store.fail_in(nth);
        live(&mut history).await;
        let lost = history.lost().await;
        assert!(lost.is_empty(), "operation {nth} and all after it failed: lost {lost:?}");
    }
}

#[tokio::test]
async fn the_model_is_seen_to_lose_events_when_no_sync_is_done() {
    let mut history = History::begin();
    history.disk.store.pretend_to_sync();
    history.take(Step::Append { grants: 1, usage: 3 }).await;
    history.disk.store.cut_power(|| false);
    drop(history.life.journal.ended_now().await);
    let mut life = Life::begin(&history.disk);
    let found = read_all(&mut life.consumer).await;
    assert_eq!((history.owed.len(), found.len()), (4, 0));
}

#[tokio::test]
async fn a_settlement_that_a_power_cut_took_from_a_closed_volume_is_owed_again_in_the_accounts_too() {
    for _ in 0..60 {
        let steps = [
            Step::OneByOne(7),
            Step::Append { grants: 2, usage: 37 },
            Step::Append { grants: 2, usage: 39 },
            Step::Append { grants: 3, usage: 21 },
            Step::PowerCutIn(7, 5001075115644668090),
            Step::Append { grants: 1, usage: 32 },
            Step::Append { grants: 1, usage: 30 },
            Step::Append { grants: 0, usage: 39 },
            Step::Append { grants: 1, usage: 36 },
            Step::Append { grants: 0, usage: 2 },
            Step::Append { grants: 3, usage: 4 },
            Step::Append { grants: 2, usage: 7 },
            Step::OneByOne(17),
            Step::SettleOldest(1),
            Step::Append { grants: 1, usage: 31 },
            Step::PowerCutIn(14, 14903079297225341724),
            Step::Restart,
            Step::OneByOne(6),
            Step::SettleOldest(3),
            Step::PowerCut(18193032931000819821),
            Step::SettleOldest(4),
            Step::PowerCut(14345346606660889431),
            Step::Append { grants: 2, usage: 22 },
            Step::OneByOne(28),
            Step::PowerCutIn(10, 5077949706353698907),
            Step::SettleOldest(4),
            Step::Append { grants: 3, usage: 9 },
            Step::FailureIn(18),
            Step::Append { grants: 1, usage: 28 },
            Step::SettleOldest(3),
            Step::Append { grants: 2, usage: 7 },
            Step::OneByOne(29),
            Step::PowerCutIn(0, 1043564654043279057),
            Step::Append { grants: 1, usage: 32 },
            Step::SettleOldest(5),
            Step::SettleOldest(4),
            Step::SettleOldest(4),
            Step::FailureIn(2),
            Step::FailureIn(3),
            Step::PowerCutIn(18, 12621824003078795355),
        ];
        let mut history = History::begin();
        for step in steps {
            history.take(step).await;
        }
        assert!(history.lost().await.is_empty());
    }
}
