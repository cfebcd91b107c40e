//! Packs events into blocks: those of a group, where many small appends share one and a large event has its own, and
//! those of small blocks that are joined later.

use super::open_volume::StoredBlock;
use crate::event::{EventBuf, UnixMillis};
use crate::journal::consumer::Block;
use crate::journal::format::{BODY_BYTES_MAX, BlockEntry, NewBlock, RowName, encode_block};
use crate::journal::source::Source;

/// Events in a block: no more than go into one request.
pub(super) const BLOCK_EVENTS_MAX: usize = 1_000;
/// Text in a block of several events: even where LZ4 gains nothing, it stays one stored value.
pub(super) const BLOCK_TEXT_BYTES_MAX: usize = BODY_BYTES_MAX - BLOCK_EVENTS_MAX * 4;

/// Builds the blocks of one row in one group.
#[derive(Debug)]
pub(in crate::journal) struct BlockBuilder {
    row: RowName,
    accepted: UnixMillis,
    next_seq: u64,
    from_intake: bool,
    text: Vec<u8>,
    ends: Vec<u32>,
    sources: Vec<Option<Source>>,
    /// Empty as long as all events of the block came at one time.
    times: Vec<u32>,
    due: UnixMillis,
    blocks: Vec<(BlockEntry, StoredBlock)>,
}

impl BlockBuilder {
    /// Begins with the seq the next event gets.
    pub(in crate::journal) fn new(row: RowName, accepted: UnixMillis, next_seq: u64) -> Self {
        Self {
            row,
            accepted,
            next_seq,
            from_intake: false,
            text: Vec::new(),
            ends: Vec::new(),
            sources: Vec::new(),
            times: Vec::new(),
            due: 0,
            blocks: Vec::new(),
        }
    }

    /// Adds events that came by one road. Events that are not due yet share blocks with their like only, so that they
    /// hold up no others.
    pub(in crate::journal) fn push_all(&mut self, source: Source, events: &EventBuf) {
        for (text, due) in events.iter_with_due() {
            let held = if due > self.accepted { due } else { 0 };
            if (held > 0) != (self.due > 0) {
                self.end_block();
            }
            self.push(Some(source), text);
            self.due = self.due.max(held);
        }
    }

    /// Adds one dead letter, in a block of its own: it has its own number, and is taken out alone.
    pub(in crate::journal) fn push_letter(&mut self, from_intake: bool, text: &[u8]) {
        self.from_intake = from_intake;
        self.push(None, text);
        self.end_block();
    }

    /// Adds the events of a stored block, each with its seq, its road and its time. Those that are held stay by themselves.
    pub(super) fn push_stored(&mut self, block: &Block) {
        let follows = self.next_seq + self.ends.len() as u64 == block.id().seq;
        if !follows || block.due() > 0 || self.due > 0 {
            self.end_block();
            self.next_seq = block.id().seq;
        }
        for position in 0..block.len() {
            let text = block.event(position).unwrap_or_default();
            let accepted = block.accepted_at(position);
            let after = accepted.checked_sub(self.accepted).and_then(|after| u32::try_from(after).ok());
            // A block begins with its oldest event, and a clock may have been set back.
            if self.is_full_with(text) || after.is_none() {
                self.end_block();
            }
            if self.ends.is_empty() {
                self.accepted = accepted;
            }
            let after = after.filter(|_| !self.ends.is_empty()).unwrap_or_default();
            if after > 0 && self.times.is_empty() {
                self.times.resize(self.ends.len(), 0);
            }
            if after > 0 || !self.times.is_empty() {
                self.times.push(after);
            }
            self.push(block.source(position), text);
            self.due = block.due();
        }
    }

    /// Takes the blocks that are finished.
    pub(super) fn take_full(&mut self) -> Vec<(BlockEntry, StoredBlock)> {
        std::mem::take(&mut self.blocks)
    }

    fn is_full_with(&self, text: &[u8]) -> bool {
        let is_full =
            self.ends.len() >= BLOCK_EVENTS_MAX || self.text.len() + text.len() > BLOCK_TEXT_BYTES_MAX;
        is_full && !self.ends.is_empty()
    }

    fn push(&mut self, source: Option<Source>, text: &[u8]) {
        if self.is_full_with(text) {
            self.end_block();
        }
        self.sources.push(source);
        self.text.extend_from_slice(text);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    fn end_block(&mut self) {
        if !self.ends.is_empty() {
            let stored = encode_block(&NewBlock {
                row: self.row,
                seq: self.next_seq,
                accepted: self.accepted,
                due: self.due,
                from_intake: self.from_intake,
                text: &self.text,
                ends: &self.ends,
                sources: &self.sources,
                times: &self.times,
                goes_on: !self.blocks.is_empty(),
            });
            let events = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
            let entry = BlockEntry {
                seq: self.next_seq,
                events,
                text_bytes: u32::try_from(self.text.len()).unwrap_or(u32::MAX),
                since: self.accepted.max(self.due),
                from_intake: self.from_intake,
            };
            self.blocks.push((entry, stored));
            self.next_seq += u64::from(events);
            self.text.clear();
            self.ends.clear();
            self.sources.clear();
            self.times.clear();
        }
        self.due = 0;
    }

    /// Whether nothing was added.
    pub(in crate::journal) fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.blocks.is_empty()
    }

    /// The blocks, ready to be written.
    pub(in crate::journal) fn finish(mut self) -> Vec<(BlockEntry, StoredBlock)> {
        self.end_block();
        self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::format::{STORED_BYTES_MAX, decode_block};
    use crate::metrics::Listener;

    const NDJSON: Source = Source::Listener(Listener::Ndjson);

    fn buf(texts: &[&[u8]], due: UnixMillis) -> EventBuf {
        let mut buf = EventBuf::new();
        texts.iter().for_each(|text| buf.push(text, due));
        buf
    }

    #[test]
    fn small_appends_share_a_block() {
        let mut builder = BlockBuilder::new(RowName::Usage, 1_000, 50);
        (0..100).for_each(|_| builder.push_all(NDJSON, &buf(&[b"{}"], 0)));
        let blocks = builder.finish();
        assert_eq!(blocks.len(), 1);
        assert_eq!((blocks[0].0.seq, blocks[0].0.events), (50, 100));
    }

    #[test]
    fn joined_blocks_keep_the_time_and_the_road_of_each_event() {
        const HTTP: Source = Source::Listener(Listener::Http);
        let mut blocks = Vec::new();
        let mut next_seq = 50;
        // A clock that is set back, a block of three, one that is held, and a gap in the seqs.
        for (accepted, source, texts, due) in [
            (1_000, NDJSON, &[b"{\"n\":1}"][..], 0),
            (1_700, HTTP, &[b"{\"n\":2}", b"{\"n\":3}", b"{\"n\":4}"], 0),
            (1_600, NDJSON, &[b"{\"n\":5}"], 0),
            (400, NDJSON, &[b"{\"n\":6}"], 0),
            (500, NDJSON, &[b"{\"n\":7}"], 9_000),
            (600, NDJSON, &[b"{\"n\":8}"], 0),
        ] {
            let mut builder = BlockBuilder::new(RowName::Usage, accepted, next_seq);
            let texts: Vec<&[u8]> = texts.iter().map(|text| text.as_slice()).collect();
            builder.push_all(source, &buf(&texts, due));
            blocks.extend(builder.finish());
            next_seq += texts.len() as u64 + u64::from(accepted == 600);
        }
        let known = |stored: &StoredBlock| {
            let (_, block) = decode_block(stored).unwrap();
            let of = |position: usize| {
                let text = block.event(position).unwrap().to_vec();
                let seq = block.id().seq + position as u64;
                (seq, block.accepted_at(position), block.source(position), block.due(), text)
            };
            (0..block.len()).map(of).collect::<Vec<_>>()
        };
        let mut joined = BlockBuilder::new(RowName::Usage, 0, 50);
        for (_, stored) in &blocks {
            joined.push_stored(&decode_block(stored).unwrap().1);
        }
        let joined = joined.finish();
        let lens: Vec<u32> = joined.iter().map(|(entry, _)| entry.events).collect();
        assert_eq!(lens, [5, 1, 1, 1]);
        let before: Vec<_> = blocks.iter().flat_map(|(_, stored)| known(stored)).collect();
        let after: Vec<_> = joined.iter().flat_map(|(_, stored)| known(stored)).collect();
        assert_eq!(after, before);
        let entry = joined[0].0;
        assert_eq!((entry.seq, entry.text_bytes, entry.since), (50, 35, 1_000));
    }

    #[test]
    fn no_stored_value_is_large_enough_for_a_blob() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut builder = BlockBuilder::new(RowName::Usage, 1_000, 0);
        let mut texts = Vec::new();
        let mut lens: Vec<usize> = (0..400).map(|_| rng.usize(1..2_000)).collect();
        lens.extend([BLOCK_TEXT_BYTES_MAX, 1 << 20, 70_000]);
        for len in lens {
            let text: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
            builder.push_all(NDJSON, &buf(&[&text], 0));
            texts.push(text);
        }
        let mut seq = 0;
        let mut found = Vec::new();
        for (entry, stored) in builder.finish() {
            assert_eq!(entry.seq, seq);
            seq += u64::from(entry.events);
            assert!(stored.iter().all(|frame| frame.len() <= STORED_BYTES_MAX));
            let (_, block) = decode_block(&stored).unwrap();
            found.extend((0..block.len()).map(|position| block.event(position).unwrap().to_vec()));
        }
        assert_eq!(found, texts);
    }

    #[test]
    fn events_that_are_not_due_wait_among_themselves() {
        let mut builder = BlockBuilder::new(RowName::Usage, 1_000, 0);
        builder.push_all(NDJSON, &buf(&[b"{\"a\":1}"], 0));
        builder.push_all(NDJSON, &buf(&[b"{\"a\":2}"], 5_000));
        let mut mixed = buf(&[b"{\"a\":3}"], 500);
        mixed.push(b"{\"a\":4}", 9_000);
        mixed.push(b"{\"a\":5}", 7_000);
        mixed.push(b"{\"a\":6}", 0);
        builder.push_all(NDJSON, &mixed);
        let blocks = builder.finish();
        let dues: Vec<_> = blocks.iter().map(|(_, stored)| decode_block(stored).unwrap().1.due()).collect();
        assert_eq!(dues, [0, 5_000, 0, 9_000, 0]);
        assert_eq!(blocks[1].0.since, 5_000);
    }
}
