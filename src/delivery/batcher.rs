//! Events that were never sent, gathering until they make a request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch::{Batch, FRAMING_BYTES, Run};
use crate::event::{Lane, PerLane};
use crate::journal::Block;

/// Gathers fresh events of both lanes and cuts them into batches, grants first.
#[derive(Debug)]
pub(super) struct Batcher {
    events_max: usize,
    bytes_max: usize,
    lanes: PerLane<Gathering>,
}

#[derive(Debug, Default)]
struct Gathering {
    runs: VecDeque<(Run, Instant)>,
    events: usize,
    bytes: usize,
}

impl Batcher {
    /// A batcher for requests of at most so many events and so many bytes of body. An event that is larger than that
    /// by itself still goes, alone.
    pub(super) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self { events_max, bytes_max, lanes: PerLane::default() }
    }

    /// Cuts batches by these limits from now on.
    pub(super) fn limit_to(&mut self, events_max: usize, bytes_max: usize) {
        (self.events_max, self.bytes_max) = (events_max, bytes_max);
    }

    /// Adds a block's events.
    pub(super) fn push(&mut self, block: Arc<Block>, now: Instant) {
        let gathering = &mut self.lanes[block.id().lane];
        gathering.events += block.len();
        gathering.bytes += block.text_bytes();
        let positions = 0..u32::try_from(block.len()).unwrap_or(u32::MAX);
        gathering.runs.push_back((Run { block, positions }, now));
    }

    /// Whether nothing is gathered.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.grants.events + self.lanes.usage.events == 0
    }

    /// Whether a grant is among what is gathered.
    pub(super) fn has_grants(&self) -> bool {
        self.lanes.grants.events > 0
    }

    /// The bytes of the event that leaves next.
    pub(super) fn next_bytes(&self) -> Option<usize> {
        let (run, _) = Lane::ALL.into_iter().find_map(|lane| self.lanes[lane].runs.front())?;
        run.block.event(run.positions.start as usize).map(<[u8]>::len)
    }

    /// Whether the next batch can't grow any more. Grants alone are asked for with `Lane::Grants`.
    pub(super) fn is_full(&self, lane: Lane) -> bool {
        let (mut events, mut bytes) = (self.lanes.grants.events, self.lanes.grants.bytes);
        if lane == Lane::Usage {
            events += self.lanes.usage.events;
            bytes += self.lanes.usage.bytes;
        }
        events >= self.events_max || FRAMING_BYTES + bytes + events >= self.bytes_max
    }

    /// When the oldest of what is gathered has waited its time: `linger` for grants, `usage_linger` for the others.
    pub(super) fn lingers_until(&self, linger: Duration, usage_linger: Duration) -> Option<Instant> {
        let oldest = |gathering: &Gathering| gathering.runs.front().map(|(_, since)| *since);
        let grants = oldest(&self.lanes.grants).map(|since| since + linger);
        let usage = oldest(&self.lanes.usage).map(|since| since + usage_linger);
        [grants, usage].into_iter().flatten().min()
    }

    /// The next batch: the oldest grants, then the oldest usage events, as many as fit.
    pub(super) fn cut(&mut self) -> Option<Batch> {
        let mut runs = Vec::new();
        let (mut events, mut bytes) = (0, FRAMING_BYTES);
        for lane in Lane::ALL {
            while self.cut_run(lane, &mut runs, &mut events, &mut bytes) {}
            if self.lanes[lane].events > 0 {
                break;
            }
        }
        (!runs.is_empty()).then(|| Batch::new(runs))
    }

    /// Moves the front run of `lane`, or the part of it that fits. Says whether all of it did.
    fn cut_run(&mut self, lane: Lane, runs: &mut Vec<Run>, events: &mut usize, bytes: &mut usize) -> bool {
        let gathering = &mut self.lanes[lane];
        let Some((run, _)) = gathering.runs.front_mut() else { return false };
        let start = run.positions.start;
        let mut end = start;
        while end < run.positions.end && *events < self.events_max {
            let text = run.block.event(end as usize).map_or(0, <[u8]>::len);
            let with_comma = text + usize::from(*events > 0);
            if *events > 0 && *bytes + with_comma > self.bytes_max {
                break;
            }
            *events += 1;
            *bytes += with_comma;
            gathering.events -= 1;
            gathering.bytes -= text;
            end += 1;
        }
        let whole = end == run.positions.end;
        if end > start {
            runs.push(Run { block: Arc::clone(&run.block), positions: start..end });
        }
        run.positions.start = end;
        if whole {
            gathering.runs.pop_front();
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::delivery::tests::fixture::{block, block_of, names_in};

    #[test]
    fn grants_come_first_and_usage_fills_the_rest() {
        let mut batcher = Batcher::new(3, 1_000);
        let now = Instant::now();
        batcher.push(block(Lane::Usage, 1, 4), now);
        batcher.push(block(Lane::Grants, 1, 1), now);
        assert_eq!(names_in(&batcher.cut().unwrap().body()), ["g1", "u1", "u2"]);
        assert_eq!(names_in(&batcher.cut().unwrap().body()), ["u3", "u4"]);
        assert!(batcher.is_empty() && batcher.cut().is_none());
    }

    #[test]
    fn an_event_over_the_limit_goes_alone() {
        let mut batcher = Batcher::new(10, 40);
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(60));
        batcher.push(block_of(Lane::Usage, 1, &["{}", &long, "{}"]), Instant::now());
        let sizes: Vec<usize> = std::iter::from_fn(|| batcher.cut()).map(|batch| batch.len()).collect();
        assert_eq!(sizes, [1, 1, 1]);
    }

    #[test]
    fn a_grant_does_not_wait_as_long_as_usage_may() {
        let mut batcher = Batcher::new(10, 1_000);
        let (now, short, long) = (Instant::now(), Duration::from_millis(50), Duration::from_secs(2));
        assert_eq!(batcher.lingers_until(short, long), None);
        batcher.push(block(Lane::Usage, 1, 1), now);
        assert_eq!(batcher.lingers_until(short, long), Some(now + long));
        batcher.push(block(Lane::Grants, 1, 1), now);
        assert_eq!(batcher.lingers_until(short, long), Some(now + short));
    }

    proptest! {
        #[test]
        fn every_event_leaves_once_in_order_within_the_limits(
            blocks in prop::collection::vec((any::<bool>(), prop::collection::vec(1_usize..60, 1..20)), 1..12),
            events_max in 1_usize..30,
            bytes_max in 20_usize..400,
        ) {
            let mut batcher = Batcher::new(events_max, bytes_max);
            let mut expected = PerLane::<Vec<String>>::default();
            for (number, (is_grant, sizes)) in blocks.iter().enumerate() {
                let lane = if *is_grant { Lane::Grants } else { Lane::Usage };
                let names: Vec<String> = sizes.iter().enumerate().map(|(position, size)| {
                    format!("{number}.{position}.{}", "x".repeat(*size))
                }).collect();
                let texts: Vec<String> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                batcher.push(block_of(lane, number as u64 * 100, &texts), Instant::now());
                expected[lane].extend(names);
            }
            let mut found = Vec::new();
            while let Some(batch) = batcher.cut() {
                prop_assert!(batch.len() <= events_max);
                let body = batch.body();
                prop_assert!(body.len() <= bytes_max || batch.len() == 1);
                found.extend(names_in(&body));
            }
            prop_assert!(batcher.is_empty());
            prop_assert_eq!((batcher.lanes.grants.bytes, batcher.lanes.usage.bytes), (0, 0));
            expected.grants.extend(expected.usage);
            prop_assert_eq!(found, expected.grants);
        }
    }
}
