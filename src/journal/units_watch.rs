//! What the writer tells the counts of pending units. It is asked for, or there is none and nothing is told.

use std::collections::HashMap;
use std::ops::Range;

use super::consumer::{Block, BlockId};
use super::pending_units::PendingUnits;
use super::settlement::Settlement;
use crate::event::{EventBuf, Lane, PerLane, Units, UnixMillis};

/// Events that are counted under one lock, so that whoever asks waits for microseconds.
const EVENTS_AT_ONCE: usize = 64;

/// The writer's side of the counts.
///
/// Blocks that were found at the start are counted by and by, oldest first in each lane. Until a block's turn has come
/// nothing of it is taken off; what of it is settled meanwhile is remembered, and left out when it is counted.
#[derive(Debug)]
pub(super) struct UnitsWatch {
    units: PendingUnits,
    /// The seqs that were first used in this life.
    begun: PerLane<u64>,
    surveyed_to: PerLane<u64>,
    settled_before: HashMap<BlockId, Vec<Range<u32>>>,
}

impl UnitsWatch {
    /// A watch over lanes whose next events get these seqs.
    pub(super) fn new(units: PendingUnits, begun: PerLane<u64>) -> Self {
        Self { units, begun, surveyed_to: PerLane::default(), settled_before: HashMap::new() }
    }

    /// Events became durable in a lane.
    pub(super) fn added(&self, events: &EventBuf) {
        let texts: Vec<&[u8]> = events.iter().collect();
        self.each(texts.into_iter(), |units, some| units.add(some));
    }

    /// Events were settled.
    pub(super) fn settled(&mut self, settlement: &Settlement) {
        for run in &settlement.runs {
            let id = run.block.id();
            if self.is_counted(id) {
                self.take_off(&run.block, run.positions.clone(), settlement.delivered_at);
            } else {
                self.settled_before.entry(id).or_default().push(run.positions.clone());
            }
        }
        for block in &settlement.blocks {
            // Nobody will find it any more.
            self.settled_before.remove(&block.id);
        }
    }

    /// Counts a block that was found at the start.
    pub(super) fn survey(&mut self, block: &Block) {
        let id = block.id();
        if self.is_counted(id) {
            return;
        }
        let settled = self.settled_before.remove(&id).unwrap_or_default();
        let positions = (0..u32::try_from(block.len()).unwrap_or(u32::MAX))
            .filter(|position| !settled.iter().any(|run| run.contains(position)));
        let texts = positions.filter_map(|position| block.event(position as usize));
        self.each(texts, |units, some| units.add(some));
        self.surveyed_to[id.lane] = id.seq + 1;
    }

    /// The first seq of a lane that was not used before this life.
    pub(super) fn begun(&self, lane: Lane) -> u64 {
        self.begun[lane]
    }

    /// Everything that was found at the start is counted.
    pub(super) fn surveyed(&mut self) {
        self.surveyed_to = self.begun;
        self.settled_before = HashMap::new();
        self.units.surveyed();
    }

    fn is_counted(&self, id: BlockId) -> bool {
        id.seq >= self.begun[id.lane] || id.seq < self.surveyed_to[id.lane]
    }

    fn take_off(&self, block: &Block, positions: Range<u32>, delivered: Option<UnixMillis>) {
        let texts = positions.filter_map(|position| block.event(position as usize));
        self.each(texts, |units, some| units.take_off(some, delivered));
    }

    /// Reads the texts before anything is locked.
    fn each<'t>(&self, texts: impl Iterator<Item = &'t [u8]>, count: impl Fn(&PendingUnits, &[Units<'t>])) {
        let mut some = Vec::with_capacity(EVENTS_AT_ONCE);
        for units in texts.filter_map(Units::read) {
            some.push(units);
            if some.len() == EVENTS_AT_ONCE {
                count(&self.units, &some);
                some.clear();
            }
        }
        count(&self.units, &some);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::attempts::Attempts;
    use super::super::settlement::{SettledBlock, SettledRun};
    use super::*;
    use crate::event::CustomerRef;

    fn block(seq: u64, values: &[i64]) -> Arc<Block> {
        let mut events = EventBuf::new();
        for value in values {
            events.push(event(*value).as_bytes(), 0);
        }
        let (text, ends) = events.parts();
        let id = BlockId { lane: Lane::Usage, seq };
        Arc::new(Block::new(id, 0, 0, text.to_vec().into(), ends.into()))
    }

    fn event(value: i64) -> String {
        format!(r#"{{"name":"n","external_customer_id":"c","metadata":{{"units":{value}}}}}"#)
    }

    fn settled(block: &Arc<Block>, positions: Range<u32>, whole: bool) -> Settlement {
        let blocks =
            SettledBlock { id: block.id(), attempts: Attempts::default(), dead_positions: Vec::new() };
        Settlement {
            runs: vec![SettledRun { block: Arc::clone(block), positions }],
            blocks: if whole { vec![blocks] } else { Vec::new() },
            ..Settlement::default()
        }
    }

    fn sum(units: &PendingUnits) -> String {
        let pending = units.of(&[CustomerRef::External("c".to_owned())]);
        pending.pending.first().map_or("0".to_owned(), |named| named.sums["units"].get().to_owned())
    }

    #[test]
    fn what_settles_before_its_block_is_counted_is_left_out_and_never_taken_off_twice() {
        let units = PendingUnits::new(10);
        let mut watch = UnitsWatch::new(units.clone(), PerLane { grants: 0, usage: 100 });
        let (gone, half, late) = (block(0, &[1, 1]), block(2, &[10, 20, 40]), block(5, &[100]));
        watch.settled(&settled(&gone, 0..1, false));
        watch.settled(&settled(&gone, 1..2, true));
        watch.settled(&settled(&half, 1..2, false));
        let mut fresh = EventBuf::new();
        fresh.push(event(1_000).as_bytes(), 0);
        watch.added(&fresh);
        assert_eq!(sum(&units), "1000");
        // The block that is gone is not found any more.
        watch.survey(&half);
        assert_eq!(sum(&units), "1050");
        watch.survey(&half);
        assert_eq!(sum(&units), "1050", "counted once");
        watch.settled(&settled(&half, 0..1, false));
        watch.settled(&settled(&half, 2..3, true));
        watch.survey(&late);
        watch.surveyed();
        watch.settled(&settled(&late, 0..1, true));
        watch.settled(&settled(&block(100, &[1_000]), 0..1, true));
        assert_eq!(sum(&units), "0");
        assert!(watch.settled_before.is_empty());
    }
}
