//! The blocks that were read and still owe an outcome for some of their events.

use std::collections::HashMap;

use super::batch::{Batch, Run};
use crate::event::PerLane;
use crate::journal::{Block, BlockId, SettledBlock, Settlement};

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
    text_bytes: usize,
    attempts: u32,
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

impl Unsettled {
    /// A block was read.
    pub(super) fn add(&mut self, block: &Block) {
        self.bytes[block.id().lane] += block.text_bytes();
        self.events += block.len() as u64;
        let tally = Tally {
            events: block.len(),
            resolved: 0,
            text_bytes: block.text_bytes(),
            attempts: 0,
            dead_positions: Vec::new(),
        };
        let twice = self.blocks.insert(block.id(), tally);
        debug_assert!(twice.is_none(), "a block is read once in a life");
    }

    /// Text of the blocks that are not settled, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.grants + self.bytes.usage
    }

    /// Events that owe an outcome.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// A request with these events leaves.
    pub(super) fn sent(&mut self, batch: &Batch) {
        let mut before = None;
        for id in batch.runs().iter().map(|run| run.block.id()) {
            // Runs of one block are neighbours in a batch; what is counted are requests, not runs.
            if before != Some(id)
                && let Some(tally) = self.blocks.get_mut(&id)
            {
                tally.attempts = tally.attempts.saturating_add(1);
            }
            before = Some(id);
        }
    }

    /// Notes the fate of a batch's events in `settlement`: how much leaves `pending`, and which blocks owe nothing any
    /// more. `status` is the answer's.
    pub(super) fn resolve(&mut self, batch: &Batch, fate: Fate, status: u16, settlement: &mut Settlement) {
        let amounts = batch.amounts();
        for (total, amount) in [
            (&mut settlement.resolved.grants, amounts.grants),
            (&mut settlement.resolved.usage, amounts.usage),
        ] {
            total.events += amount.events;
            total.bytes += amount.bytes;
        }
        for run in batch.runs() {
            self.resolve_run(run, fate, status, settlement);
        }
    }

    fn resolve_run(&mut self, run: &Run, fate: Fate, status: u16, settlement: &mut Settlement) {
        let id = run.block.id();
        let Some(tally) = self.blocks.get_mut(&id) else {
            debug_assert!(false, "an event is resolved once");
            return;
        };
        tally.resolved += run.len();
        self.events -= run.len() as u64;
        if fate == Fate::Dead {
            tally.dead_positions.extend(run.positions.clone());
        }
        if tally.resolved < tally.events {
            return;
        }
        if let Some(mut tally) = self.blocks.remove(&id) {
            self.bytes[id.lane] -= tally.text_bytes;
            tally.dead_positions.sort_unstable();
            settlement.blocks.push(SettledBlock {
                id,
                attempts: tally.attempts,
                status,
                dead_positions: tally.dead_positions,
            });
        }
    }
}

#[cfg(test)]
mod tests {
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
        let (dead, rest) = batch.isolate(&[0, 3]);

        let mut first = Settlement::default();
        unsettled.resolve(&dead, Fate::Dead, 422, &mut first);
        assert_eq!((first.resolved.usage.events, first.blocks.len()), (2, 0));
        assert_eq!((unsettled.events(), unsettled.bytes()), (2, block.text_bytes()));

        unsettled.sent(&rest);
        let mut second = Settlement::default();
        unsettled.resolve(&rest, Fate::Delivered, 200, &mut second);
        let settled = SettledBlock { id: block.id(), attempts: 2, status: 200, dead_positions: vec![0, 3] };
        assert_eq!(second.blocks, [settled]);
        assert_eq!((unsettled.events(), unsettled.bytes()), (0, 0));
        let bytes = first.resolved.usage.bytes + second.resolved.usage.bytes;
        assert_eq!(bytes, block.text_bytes() as u64);
    }
}
