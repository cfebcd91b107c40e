//! What the writer tells the counts of pending units. It is asked for, or there is none and nothing is told.

use std::collections::BTreeMap;

use super::pending_units::PendingUnits;
use crate::event::{EventBuf, Lane, PerLane, Units};
use crate::journal::consumer::{Block, BlockId};
use crate::journal::settlement::Settlement;

/// Events that are counted under one lock, so that whoever asks waits for microseconds.
const EVENTS_AT_ONCE: usize = 64;

/// The writer's side of the counts.
///
/// What was found at the start is counted by and by, oldest first in each lane. Until an event's turn has come it is not
/// taken off; that it is settled meanwhile is remembered, and it is left out when its turn comes. Events go by their seqs:
/// the blocks they lie in may be joined at any time.
#[derive(Debug)]
pub(in crate::journal) struct UnitsWatch {
    units: PendingUnits,
    /// The seqs that were first used in this life.
    begun: PerLane<u64>,
    surveyed_to: PerLane<u64>,
    /// Ranges of seqs, by where they begin.
    settled_before: PerLane<BTreeMap<u64, u64>>,
}

impl UnitsWatch {
    /// A watch over lanes whose next events get these seqs.
    pub(in crate::journal) fn new(units: PendingUnits, begun: PerLane<u64>) -> Self {
        Self { units, begun, surveyed_to: PerLane::default(), settled_before: PerLane::default() }
    }

    /// Events became durable in a lane.
    pub(in crate::journal) fn added(&self, events: &EventBuf) {
        let texts: Vec<&[u8]> = events.iter().collect();
        self.each(texts.into_iter(), |units, some| units.add(some));
    }

    /// Events were settled.
    pub(in crate::journal) fn settled(&mut self, settlement: &Settlement) {
        for run in &settlement.runs {
            let BlockId { lane, seq } = run.block.id();
            let counted = |position: &u32| self.is_counted(lane, seq + u64::from(*position));
            let texts = run.positions.clone().filter(counted);
            let texts = texts.filter_map(|position| run.block.event(position as usize));
            self.each(texts, |units, some| units.take_off(some, settlement.delivered_at));
            for position in run.positions.clone() {
                let seq = seq + u64::from(position);
                if !self.is_counted(lane, seq) {
                    remember(&mut self.settled_before[lane], seq);
                }
            }
        }
    }

    /// Counts a block that was found at the start, or what of it is not counted yet.
    pub(super) fn survey(&mut self, block: &Block) {
        let BlockId { lane, seq } = block.id();
        let is_due = |position: &usize| {
            let seq = seq + *position as u64;
            let settled = self.settled_before[lane].range(..=seq).next_back();
            !self.is_counted(lane, seq) && settled.is_none_or(|(_, end)| seq >= *end)
        };
        let texts = (0..block.len()).filter(is_due).filter_map(|position| block.event(position));
        self.each(texts, |units, some| units.add(some));
        self.surveyed_to[lane] = self.surveyed_to[lane].max(seq + block.len() as u64);
    }

    /// The first seq of a lane that was not used before this life.
    pub(super) fn begun(&self, lane: Lane) -> u64 {
        self.begun[lane]
    }

    /// Events are pending no more, and nobody can say any more whose they were.
    pub(in crate::journal) fn lost(&self) {
        self.units.lost();
    }

    /// Everything that was found at the start is counted.
    pub(super) fn surveyed(&mut self) {
        self.surveyed_to = self.begun;
        self.settled_before = PerLane::default();
        self.units.surveyed();
    }

    fn is_counted(&self, lane: Lane, seq: u64) -> bool {
        seq >= self.begun[lane] || seq < self.surveyed_to[lane]
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

/// Delivery goes oldest first, so that nearly every seq only makes a range longer.
fn remember(ranges: &mut BTreeMap<u64, u64>, seq: u64) {
    match ranges.range_mut(..=seq).next_back() {
        Some((_, end)) if *end == seq => *end = seq + 1,
        Some((_, end)) if *end > seq => {}
        Some(_) | None => drop(ranges.insert(seq, seq + 1)),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;

    use super::*;
    use crate::event::CustomerRef;
    use crate::journal::attempts::Attempts;
    use crate::journal::settlement::{SettledBlock, SettledRun};

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
        assert!(watch.settled_before.usage.is_empty());
    }

    #[test]
    fn blocks_that_are_joined_midway_are_counted_once() {
        let units = PendingUnits::new(10);
        let mut watch = UnitsWatch::new(units.clone(), PerLane { grants: 0, usage: 100 });
        watch.survey(&block(0, &[1]));
        watch.survey(&block(1, &[2]));
        let joined = block(0, &[1, 2, 4, 8]);
        watch.settled(&settled(&joined, 1..3, false));
        assert_eq!(sum(&units), "1", "of what is settled the counted part is taken off");
        watch.survey(&joined);
        assert_eq!(sum(&units), "9");
        watch.surveyed();
        watch.settled(&settled(&joined, 0..1, false));
        watch.settled(&settled(&joined, 3..4, true));
        assert_eq!(sum(&units), "0");
    }
}
