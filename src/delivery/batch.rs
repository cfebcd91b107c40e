//! The events of one request, and which block and position each of them came from.

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::cuts::CutFrom;
use super::history::History;
use crate::event::{Lane, ONCE, PerLane, UnixMillis, external_id};
use crate::journal::{Amount, Block, Source};

const OPENING: &[u8] = br#"{"events":["#;
const CLOSING: &[u8] = b"]}";
/// What a body holds beside its events and the commas between them.
pub(super) const FRAMING_BYTES: usize = OPENING.len() + CLOSING.len();

/// Neighbouring events of one block.
#[derive(Clone, Debug)]
pub struct Run {
    /// The block they lie in.
    pub block: Arc<Block>,
    /// Their positions in it.
    pub positions: Range<u32>,
}

impl Run {
    /// How many events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.positions.clone().map(|position| self.block.event(position as usize).unwrap_or_default())
    }

    /// When they were accepted, and how many of them one after the other at the same time.
    pub(super) fn accept_times(&self) -> Vec<(UnixMillis, usize)> {
        let mut times: Vec<(UnixMillis, usize)> = Vec::new();
        for position in self.positions.clone() {
            let accepted = self.block.accepted_at(position as usize);
            match times.last_mut() {
                Some((time, events)) if *time == accepted => *events += 1,
                _ => times.push((accepted, 1)),
            }
        }
        times
    }

    /// Their texts together, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.texts().map(<[u8]>::len).sum()
    }
}

/// The events of one request, in the order they are sent. The order never changes, so that two requests that Polar
/// works on at once can't lock each other up.
#[derive(Clone, Debug)]
pub struct Batch {
    runs: Vec<Run>,
    events: usize,
    text_bytes: usize,
    /// What it has been through.
    pub history: History,
    /// The batches it was joined from, which come apart again when it fails.
    parts: Vec<Self>,
    /// The other half of what was split. The answer to this half tells of it, too, so it waits for that.
    tail: Option<Box<Self>>,
}

impl Batch {
    /// A batch of these events.
    #[must_use]
    pub fn new(runs: Vec<Run>) -> Self {
        Self::with_history(runs, History::default())
    }

    fn with_history(mut runs: Vec<Run>, history: History) -> Self {
        runs.retain(|run| !run.is_empty());
        let events = runs.iter().map(Run::len).sum();
        let text_bytes = runs.iter().map(Run::text_bytes).sum();
        Self { runs, events, text_bytes, history, parts: Vec::new(), tail: None }
    }

    /// All of these in one request, in the order of their seqs. What they have been through stays theirs.
    #[must_use]
    pub fn join(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let mut joined = Self::merge(parts.clone());
        joined.history = History { is_piece: true, is_picked: true, ..joined.history };
        joined.parts = parts;
        joined
    }

    /// All events of these in one batch, in the order of their seqs, with hardly any history.
    pub(super) fn merge(batches: Vec<Self>) -> Self {
        let requests = batches.iter().map(|batch| batch.history.requests).max().unwrap_or_default();
        let early = batches.iter().map(|batch| batch.history.early).max().unwrap_or_default();
        debug_assert!(batches.iter().all(|batch| batch.tail.is_none()), "what waits for it would be lost");
        let mut runs: Vec<Run> = batches.into_iter().flat_map(|batch| batch.runs).collect();
        runs.sort_by_key(|run| {
            let id = run.block.id();
            (id.lane != Lane::Grants, id.seq + u64::from(run.positions.start))
        });
        Self::with_history(runs, History { requests, early, ..History::default() })
    }

    /// This batch, with the other half of what both were, to wait for its answer.
    pub(super) fn with_tail(self, tail: Self) -> Self {
        Self { tail: Some(Box::new(tail)), ..self }
    }

    pub(super) fn take_tail(&mut self) -> Option<Self> {
        self.tail.take().map(|tail| *tail)
    }

    /// Whether several were joined to this one.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The most trials that any of its events had, alone or in this batch.
    pub(super) fn most_trials(&self) -> u32 {
        let of_parts = self.parts.iter().map(|part| part.history.trials).max();
        of_parts.unwrap_or_default().max(self.history.trials)
    }

    /// What was joined, apart again. Each of them was in the requests of all of them, too.
    #[must_use]
    pub fn apart(mut self) -> Vec<Self> {
        let before = self.parts.iter().map(|part| part.history.requests).max().unwrap_or_default();
        for part in &mut self.parts {
            part.history.requests += self.history.requests.saturating_sub(before);
            part.history.last_sent = self.history.last_sent;
        }
        self.parts
    }

    /// How many events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Where its events lie, in order.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Whether a grant is among them.
    #[must_use]
    pub fn has_grants(&self) -> bool {
        self.runs.iter().any(|run| run.block.id().lane == Lane::Grants)
    }

    /// Whether an event of it had been here before: Polar may well have that.
    #[must_use]
    pub fn has_restored(&self) -> bool {
        let is_restored = |run: &Run| {
            let mut sources = run.positions.clone().map(|position| run.block.source(position as usize));
            sources.any(|source| matches!(source, Some(Source::Restored(_))))
        };
        self.runs.iter().any(is_restored)
    }

    /// How many of its events are grants that may well have been made before.
    pub(super) fn made_to_be_repeated(&self) -> u64 {
        let is_once = |text: &&[u8]| external_id(text).is_some_and(|id| id.starts_with(ONCE));
        self.runs.iter().flat_map(Run::texts).filter(is_once).count() as u64
    }

    /// The same event, copied out of its block when that has others, and the block it has now when it is another one.
    pub(super) fn excerpt(mut self) -> (Self, Option<Arc<Block>>) {
        let [run] = self.runs.as_mut_slice() else { return (self, None) };
        if run.len() != 1 || run.block.len() == 1 {
            return (self, None);
        }
        run.block = Arc::new(run.block.excerpt(run.positions.start as usize));
        let block = Arc::clone(&run.block);
        (self, Some(block))
    }

    /// The seq of its first event.
    pub(super) fn oldest_seq(&self) -> u64 {
        self.runs.first().map_or(0, |run| run.block.id().seq + u64::from(run.positions.start))
    }

    /// The texts of its events, in bytes.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The body of its request, in bytes.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        FRAMING_BYTES + self.text_bytes + self.events.saturating_sub(1)
    }

    /// The body of its request: the stored texts, joined. It is made anew for each request, so that a batch that
    /// waits takes no memory beside its blocks.
    #[must_use]
    pub fn body(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(self.body_bytes());
        body.put_slice(OPENING);
        for (index, text) in self.runs.iter().flat_map(Run::texts).enumerate() {
            if index > 0 {
                body.put_u8(b',');
            }
            body.put_slice(text);
        }
        body.put_slice(CLOSING);
        body.freeze()
    }

    /// How much of each lane it carries.
    #[must_use]
    pub fn amounts(&self) -> PerLane<Amount> {
        let mut amounts = PerLane::<Amount>::default();
        for run in &self.runs {
            let amount = &mut amounts[run.block.id().lane];
            amount.events += run.len() as u64;
            amount.bytes += run.text_bytes() as u64;
        }
        amounts
    }

    /// Two halves, each to be proven by itself. `confirmed` is how many events Polar has confirmed so far.
    #[must_use]
    pub fn split(self, confirmed: u64, cut_from: Option<CutFrom>) -> (Self, Self) {
        let half = self.events.div_ceil(2);
        let history = History { is_picked: true, ..self.history.of_a_piece(confirmed, cut_from) };
        self.cut_after(half, history)
    }

    /// The first so many events, and the rest, both with this history.
    pub(super) fn cut_after(self, events: usize, history: History) -> (Self, Self) {
        debug_assert!(self.tail.is_none(), "what waits for it would be lost");
        let (mut first, mut second, mut room) = (Vec::new(), Vec::new(), events);
        for run in self.runs {
            let taken = run.len().min(room);
            room -= taken;
            let middle = run.positions.start + u32::try_from(taken).unwrap_or(u32::MAX);
            first.push(Run { block: Arc::clone(&run.block), positions: run.positions.start..middle });
            second.push(Run { block: run.block, positions: middle..run.positions.end });
        }
        (Self::with_history(first, history), Self::with_history(second, history))
    }

    /// Takes the events at these indices out (ascending, each once); the second batch is the rest. Both keep the order; neither
    /// has the failures of both, which may have been the other's.
    #[must_use]
    pub fn isolate(self, indices: &[usize]) -> (Self, Self) {
        debug_assert!(self.tail.is_none(), "what waits for it would be lost");
        let history = self.history.of_some();
        let (mut named, mut rest) = (Vec::new(), Vec::new());
        let mut wanted = indices.iter().copied().peekable();
        let mut index = 0;
        for run in self.runs {
            let mut rest_from = run.positions.start;
            for position in run.positions.clone() {
                if wanted.next_if_eq(&index).is_some() {
                    rest.push(Run { block: Arc::clone(&run.block), positions: rest_from..position });
                    named.push(Run { block: Arc::clone(&run.block), positions: position..position + 1 });
                    rest_from = position + 1;
                }
                index += 1;
            }
            rest.push(Run { block: run.block, positions: rest_from..run.positions.end });
        }
        (Self::with_history(named, history), Self::with_history(rest, history))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::delivery::cuts::Cuts;
    use crate::delivery::tests::fixture::{block, names_in, run_of};

    #[test]
    fn a_body_is_the_stored_texts_joined_and_nothing_else() {
        let batch = Batch::new(vec![run_of(&block(Lane::Grants, 1, 2)), run_of(&block(Lane::Usage, 7, 1))]);
        let body = batch.body();
        assert_eq!(&body[..], br#"{"events":[{"name":"g1"},{"name":"g2"},{"name":"u7"}]}"#);
        assert_eq!(body.len(), batch.body_bytes());
        assert_eq!((batch.amounts().grants.events, batch.amounts().usage.events), (2, 1));
    }

    proptest! {
        #[test]
        fn cutting_a_batch_in_any_way_loses_doubles_and_reorders_nothing(
            sizes in prop::collection::vec(1_usize..9, 1..6),
            steps in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..12),
        ) {
            let mut seq = 0;
            let mut runs = Vec::new();
            for size in sizes {
                runs.push(run_of(&block(Lane::Usage, seq, size)));
                seq += size as u64;
            }
            let whole = Batch::new(runs);
            let expected = names_in(&whole.body());
            let mut pieces = vec![whole];
            for (pick, mask) in steps {
                let at = pick.index(pieces.len());
                let piece = pieces.remove(at);
                let length = piece.len();
                let (left, right) = if mask & 1 == 0 {
                    let (left, right) = piece.split(0, Some(Cuts::default().cut(length, 1, 1)));
                    prop_assert!(left.len().abs_diff(right.len()) <= 1);
                    (left, right)
                } else {
                    let named: Vec<usize> =
                        (0..length).filter(|index| mask >> (index % 63 + 1) & 1 == 1).collect();
                    let (left, right) = piece.isolate(&named);
                    prop_assert_eq!(left.len(), named.len());
                    (left, right)
                };
                prop_assert_eq!(left.len() + right.len(), length);
                pieces.extend([left, right].into_iter().filter(|piece| !piece.is_empty()));
            }
            let mut found = Vec::new();
            for piece in &pieces {
                let body = piece.body();
                prop_assert_eq!(body.len(), piece.body_bytes());
                let names = names_in(&body);
                prop_assert_eq!(names.len(), piece.len());
                let order: Vec<_> = names.iter().map(|name| expected.iter().position(|other| other == name)).collect();
                prop_assert!(order.is_sorted());
                found.extend(names);
            }
            found.sort();
            let mut expected = expected;
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
