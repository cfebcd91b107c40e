//! A journal in memory that holds delivery to the rules of settlement.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::fixture::block_at;
use crate::delivery::Consume;
use crate::event::{Lane, PerLane, UnixMillis};
use crate::journal::{Block, BlockId, DeadLetter, JournalError, SettledBlock, Settlement};

#[derive(Debug, Default)]
pub(super) struct Books {
    unread: PerLane<VecDeque<Block>>,
    pub(super) next_seq: PerLane<u64>,
    out: HashMap<BlockId, Block>,
    out_bytes: usize,
    pub(super) out_bytes_most: usize,
    pub(super) pending: u64,
    pub(super) inserted: u64,
    pub(super) duplicates: u64,
    pub(super) dead: Vec<DeadLetter>,
    dead_seqs: PerLane<BTreeSet<u64>>,
    pub(super) settled: Vec<SettledBlock>,
    closed: bool,
}

/// Clones share the books.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryJournal {
    books: Arc<Mutex<Books>>,
    news: Arc<Notify>,
    settled: Arc<Notify>,
}

impl MemoryJournal {
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Books) -> T) -> T {
        look(&mut self.books.lock().unwrap())
    }

    /// Appends one block of events with these names.
    pub(super) fn append(&self, lane: Lane, accepted: UnixMillis, due: UnixMillis, names: &[String]) {
        let texts: Vec<String> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        self.with(|books| {
            let seq = books.next_seq[lane];
            books.next_seq[lane] += names.len() as u64;
            books.pending += names.len() as u64;
            let block = Arc::unwrap_or_clone(block_at(lane, seq, accepted, due, &texts));
            books.unread[lane].push_back(block);
        });
        self.news.notify_one();
    }

    /// Appends `events` events named by their lane and number, in blocks of `block`.
    pub(super) fn append_many(&self, lane: Lane, accepted: UnixMillis, events: usize, block: usize) {
        let letter = if lane == Lane::Grants { 'g' } else { 'u' };
        let first = usize::try_from(self.with(|books| books.next_seq[lane])).unwrap();
        let names: Vec<String> = (first..first + events).map(|number| format!("{letter}{number}")).collect();
        for names in names.chunks(block) {
            self.append(lane, accepted, 0, names);
        }
    }

    pub(super) fn close(&self) {
        self.with(|books| books.closed = true);
        self.news.notify_one();
    }

    /// Waits until at most `left` events are pending.
    pub(super) async fn pending_at_most(&self, left: u64) {
        while self.with(|books| books.pending) > left {
            self.settled.notified().await;
        }
    }
}

impl Books {
    fn check(&mut self, settlement: &Settlement) {
        let resolved = settlement.resolved.grants.events + settlement.resolved.usage.events;
        let dead = settlement.dead.len() as u64;
        assert_eq!(settlement.inserted + settlement.duplicates + dead, resolved, "the sums of a settlement");
        assert_eq!(settlement.delivered_at.is_some(), settlement.inserted + settlement.duplicates > 0);
        for letter in &settlement.dead {
            let is_new = self.dead_seqs[letter.lane.unwrap()].insert(letter.seq.unwrap());
            assert!(is_new, "an event is given up once");
        }
        for settled in &settlement.blocks {
            let block = self.out.remove(&settled.id).expect("a block is settled once, and only when read");
            self.out_bytes -= block.text_bytes();
            assert!(settled.attempts.made > 0);
            assert!(settled.dead_positions.is_sorted_by(|one, next| one < next));
            let seqs = settled.id.seq..settled.id.seq + block.len() as u64;
            let dead_seqs: Vec<u64> = self.dead_seqs[settled.id.lane].range(seqs).copied().collect();
            let by_position: Vec<u64> =
                settled.dead_positions.iter().map(|position| settled.id.seq + u64::from(*position)).collect();
            assert_eq!(dead_seqs, by_position, "dead positions and dead letters are the same events");
        }
        self.pending = self.pending.checked_sub(resolved).expect("no event is resolved twice");
    }
}

impl Consume for MemoryJournal {
    async fn read(
        &mut self,
        lane: Lane,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Block>, JournalError> {
        Ok(self.with(|books| {
            let (mut blocks, mut events, mut bytes) = (Vec::<Block>::new(), 0, 0);
            while let Some(block) = books.unread[lane].front() {
                events += block.len();
                bytes += block.text_bytes();
                if !blocks.is_empty() && (events > events_max || bytes > bytes_max) {
                    break;
                }
                blocks.extend(books.unread[lane].pop_front());
            }
            for block in &blocks {
                books.out_bytes += block.text_bytes();
                books.out.insert(block.id(), block.clone());
            }
            books.out_bytes_most = books.out_bytes_most.max(books.out_bytes);
            blocks
        }))
    }

    fn has_unread(&self, lane: Lane) -> bool {
        self.with(|books| !books.unread[lane].is_empty())
    }

    async fn unread(&mut self) -> Result<(), JournalError> {
        loop {
            if self.with(|books| books.closed) {
                return Err(JournalError::Closed);
            }
            if Lane::ALL.iter().any(|lane| self.has_unread(*lane)) {
                return Ok(());
            }
            self.news.notified().await;
        }
    }

    async fn settle(&mut self, settlement: Settlement) -> Result<(), JournalError> {
        self.with(|books| {
            books.check(&settlement);
            books.inserted += settlement.inserted;
            books.duplicates += settlement.duplicates;
            books.dead.extend(settlement.dead);
            books.settled.extend(settlement.blocks);
        });
        self.settled.notify_one();
        Ok(())
    }
}
