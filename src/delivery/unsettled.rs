//! The blocks that were read and still owe an outcome for some of their events.

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::{Batch, Run};
use crate::event::{PerLane, UnixMillis};
use crate::journal::{Attempt, Attempts, Block, BlockId, Carried, SettledBlock, SettledRun, Settlement};

/// Keeps count of every event between its reading and its settlement.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    blocks: HashMap<BlockId, Tally>,
    bytes: PerLane<usize>,
    events: u64,
}

#[derive(Debug)]
struct Tally {
    events: usize,
    resolved: usize,
    /// Those of the others that were copied out of the block.
    excerpts: usize,
    /// Its text, for as long as it is in memory.
    text_bytes: usize,
    attempts: Attempts,
    dead_positions: Vec<u32>,
}

/// What became of the events of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Polar has them.
    Delivered,
    /// They are dead letters.
    Dead,
}

impl Tally {
    /// The bytes of its text, once nobody needs it.
    fn text_no_longer_held(&mut self) -> usize {
        let is_held = self.resolved + self.excerpts < self.events;
        if is_held { 0 } else { std::mem::take(&mut self.text_bytes) }
    }
}

impl Unsettled {
    /// A block was read.
    pub(super) fn add(&mut self, block: &Block) {
        self.bytes[block.id().lane] += block.text_bytes();
        self.events += block.len() as u64;
        let tally = Tally {
            events: block.len(),
            resolved: 0,
            excerpts: 0,
            text_bytes: block.text_bytes(),
            attempts: Attempts::default(),
            dead_positions: Vec::new(),
        };
        let twice = self.blocks.insert(block.id(), tally);
        debug_assert!(twice.is_none(), "a block is read once in a life");
    }

    /// Text of events that owe an outcome, and of those that lie in one block with them, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.grants + self.bytes.usage
    }

    /// Events that owe an outcome.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// An event was copied out of its block, which need not stay in memory for it any more.
    pub(super) fn excerpt(&mut self, excerpt: &Block) {
        let id = excerpt.id();
        if let Some(tally) = self.blocks.get_mut(&id) {
            tally.excerpts += excerpt.len();
            self.bytes[id.lane] += excerpt.text_bytes();
            self.bytes[id.lane] -= tally.text_no_longer_held();
        }
    }

    /// A request with these events leaves.
    pub(super) fn sent(&mut self, batch: &Batch) {
        let mut before = None;
        for id in batch.runs().iter().map(|run| run.block.id()) {
            // Runs of one block are neighbours in a batch; what is counted are requests, not runs.
            if before != Some(id)
                && let Some(tally) = self.blocks.get_mut(&id)
            {
                tally.attempts.made = tally.attempts.made.saturating_add(1);
            }
            before = Some(id);
        }
    }

    /// A request with these events was answered with `status` (0 where no answer came).
    pub(super) fn answered(&mut self, batch: &Batch, status: u16, at: UnixMillis) {
        let events = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        for runs in batch.runs().chunk_by(|one, next| one.block.id() == next.block.id()) {
            let Some(first) = runs.first() else { continue };
            if let Some(tally) = self.blocks.get_mut(&first.block.id()) {
                let positions = runs.iter().map(|run| run.positions.clone());
                let carried = Carried::of(positions, u32::try_from(tally.events).unwrap_or(u32::MAX));
                tally.attempts.note(Attempt { at, status, events, carried });
            }
        }
    }

    /// What was tried so far with a block that owes an outcome; `None` when it is not here.
    pub(super) fn attempts(&self, block: BlockId) -> Option<&Attempts> {
        self.blocks.get(&block).map(|tally| &tally.attempts)
    }

    /// Notes the fate of a batch's events in `settlement`: how much leaves `pending`, and which blocks owe nothing any
    /// more.
    pub(super) fn resolve(&mut self, batch: &Batch, fate: Fate, settlement: &mut Settlement) {
        let amounts = batch.amounts();
        for (total, amount) in [
            (&mut settlement.resolved.grants, amounts.grants),
            (&mut settlement.resolved.usage, amounts.usage),
        ] {
            total.events += amount.events;
            total.bytes += amount.bytes;
        }
        for run in batch.runs() {
            self.resolve_run(run, fate, settlement);
        }
    }

    fn resolve_run(&mut self, run: &Run, fate: Fate, settlement: &mut Settlement) {
        let id = run.block.id();
        let Some(tally) = self.blocks.get_mut(&id) else {
            debug_assert!(false, "an event is resolved once");
            return;
        };
        settlement.runs.push(SettledRun { block: Arc::clone(&run.block), positions: run.positions.clone() });
        tally.resolved += run.len();
        if run.block.is_excerpt(tally.events) {
            tally.excerpts -= run.len();
            self.bytes[id.lane] -= run.text_bytes();
        }
        self.bytes[id.lane] -= tally.text_no_longer_held();
        self.events -= run.len() as u64;
        if fate == Fate::Dead {
            tally.dead_positions.extend(run.positions.clone());
        }
        if tally.resolved < tally.events {
            return;
        }
        if let Some(mut tally) = self.blocks.remove(&id) {
            tally.dead_positions.sort_unstable();
            settlement.blocks.push(SettledBlock {
                id,
                attempts: tally.attempts,
                dead_positions: tally.dead_positions,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use super::*;
    use crate::delivery::tests::fixture::{block, run_of};
    use crate::event::Lane;

    #[test]
    fn a_block_settles_only_when_the_last_of_its_events_has_an_outcome() {
        let mut unsettled = Unsettled::default();
        let block = block(Lane::Usage, 5, 4);
        unsettled.add(&block);
        let batch = Batch::new(vec![run_of(&block)]);
        unsettled.sent(&batch);
        unsettled.answered(&batch, 422, 10);
        let (dead, rest) = batch.isolate(&[0, 3]);

        let mut first = Settlement::default();
        unsettled.resolve(&dead, Fate::Dead, &mut first);
        assert_eq!((first.resolved.usage.events, first.blocks.len()), (2, 0));
        assert_eq!((unsettled.events(), unsettled.bytes()), (2, block.text_bytes()));

        unsettled.sent(&rest);
        unsettled.answered(&rest, 200, 20);
        assert_eq!(unsettled.attempts(block.id()).unwrap().noted.len(), 2);
        let mut second = Settlement::default();
        unsettled.resolve(&rest, Fate::Delivered, &mut second);
        let attempt = |at, status, events, carried| Attempt { at, status, events, carried };
        let noted = vec![attempt(10, 422, 4, Carried::All), attempt(20, 200, 2, Carried::of(once(1..3), 4))];
        let attempts = Attempts { made: 2, noted };
        let settled = SettledBlock { id: block.id(), attempts, dead_positions: vec![0, 3] };
        assert_eq!(second.blocks, [settled]);
        assert_eq!(unsettled.attempts(block.id()), None);
        assert_eq!((unsettled.events(), unsettled.bytes()), (0, 0));
        let bytes = first.resolved.usage.bytes + second.resolved.usage.bytes;
        assert_eq!(bytes, block.text_bytes() as u64);
    }

    #[test]
    fn an_event_copied_out_of_its_block_keeps_only_itself_in_memory_and_its_place_in_the_books() {
        let mut unsettled = Unsettled::default();
        let block = block(Lane::Usage, 5, 3);
        unsettled.add(&block);
        let (bad, good) = Batch::new(vec![run_of(&block)]).isolate(&[1]);
        let (bad, excerpt) = bad.excerpt();
        let excerpt = excerpt.unwrap();
        assert_eq!((excerpt.event(1), excerpt.event(0), excerpt.event(2)), (block.event(1), None, None));
        assert_eq!((excerpt.id(), excerpt.accepted_at(1)), (block.id(), block.accepted_at(1)));
        unsettled.excerpt(&excerpt);
        assert_eq!(unsettled.bytes(), block.text_bytes() + excerpt.text_bytes());
        unsettled.sent(&good);
        unsettled.resolve(&good, Fate::Delivered, &mut Settlement::default());
        assert_eq!((unsettled.events(), unsettled.bytes()), (1, excerpt.text_bytes()));
        let mut last = Settlement::default();
        unsettled.resolve(&bad, Fate::Dead, &mut last);
        assert_eq!((unsettled.events(), unsettled.bytes()), (0, 0));
        assert_eq!((last.blocks[0].id, last.blocks[0].dead_positions.as_slice()), (block.id(), &[1][..]));
    }
}
