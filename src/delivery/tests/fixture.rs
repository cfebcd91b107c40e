//! Blocks, events and a house for delivery to live in.

use std::sync::Arc;

use crate::delivery::Run;
use crate::event::{Lane, UnixMillis};
use crate::journal::{Block, BlockId};

/// A block of these texts.
pub(in crate::delivery) fn block_of(lane: Lane, seq: u64, texts: &[&str]) -> Arc<Block> {
    block_at(lane, seq, 0, 0, texts)
}

/// A block of these texts, accepted and due at these times.
pub(in crate::delivery) fn block_at(
    lane: Lane,
    seq: u64,
    accepted: UnixMillis,
    due: UnixMillis,
    texts: &[&str],
) -> Arc<Block> {
    let mut end = 0;
    let ends: Vec<u32> = texts
        .iter()
        .map(|text| {
            end += u32::try_from(text.len()).unwrap();
            end
        })
        .collect();
    let text = texts.concat().into_bytes().into();
    Arc::new(Block::new(BlockId { lane, seq }, accepted, due, text, ends.into()))
}

/// A block of `events` events, each named after its lane and seq.
pub(in crate::delivery) fn block(lane: Lane, seq: u64, events: usize) -> Arc<Block> {
    let letter = if lane == Lane::Grants { 'g' } else { 'u' };
    let texts: Vec<String> =
        (0..events as u64).map(|position| format!(r#"{{"name":"{letter}{}"}}"#, seq + position)).collect();
    block_of(lane, seq, &texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// All of a block.
pub(in crate::delivery) fn run_of(block: &Arc<Block>) -> Run {
    Run { block: Arc::clone(block), positions: 0..u32::try_from(block.len()).unwrap() }
}

/// The names of the events of a request, in order. Panics when the body is not what Polar takes.
pub(in crate::delivery) fn names_in(body: &[u8]) -> Vec<String> {
    let parsed: serde_json::Value = serde_json::from_slice(body).unwrap();
    let events = parsed["events"].as_array().unwrap();
    events.iter().map(|event| event["name"].as_str().unwrap_or_default().to_owned()).collect()
}
