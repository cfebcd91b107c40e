//! The index file of a volume: what a start needs to know of it without opening it, and what must be in it.
//!
//! Little-endian: magic `SLJX`, format 1, state (1 pending, 2 settled, 3 open), two bytes of zero, the time it was settled
//! or else the seq it began with, the number of blocks, then for each: seq, events, text bytes, the time from which it
//! counts as waiting, flags (1: refused at intake); at the end CRC32C of all before. A closed volume is as its index says:
//! before the first settlement goes in, another takes the index's place, durably. That one tells which blocks were pending
//! in the volume when it was written, and how far that goes (as a last block of no events): since then some of them may
//! have been settled, and others may have come. An older sledge does not know that state, and opens the volume.

use super::frame::{Header, u32_at, u64_at};
use crate::event::UnixMillis;

const MAGIC: &[u8; 4] = b"SLJX";
const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 20;
const ENTRY_BYTES: usize = 25;

/// What is known of a block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct BlockEntry {
    /// The seq of its first event.
    pub(in crate::journal) seq: u64,
    /// Its events.
    pub(in crate::journal) events: u32,
    /// Their texts, in bytes.
    pub(in crate::journal) text_bytes: u32,
    /// When it was accepted, or when it is due, whichever is later: from then on it counts as waiting.
    pub(in crate::journal) since: UnixMillis,
    /// Dead row: refused at intake rather than given up by delivery.
    pub(in crate::journal) from_intake: bool,
}

impl BlockEntry {
    /// That of the block whose first part has this header, with so many bytes of text.
    pub(in crate::journal) fn of(header: &Header, text_bytes: u64) -> Self {
        Self {
            seq: header.seq,
            events: header.events,
            text_bytes: u32::try_from(text_bytes).unwrap_or(u32::MAX),
            since: header.accepted.max(header.due),
            from_intake: header.from_intake,
        }
    }
}

/// The whole index of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) enum VolumeIndex {
    /// It is closed.
    Pending {
        /// The seq it began with; 0 where that is not known.
        begin: u64,
        /// These blocks of it are pending, and no others.
        blocks: Vec<BlockEntry>,
    },
    /// Every block of it is settled, since this time.
    Settled(UnixMillis),
    /// It is open.
    Open(Inventory),
}

/// What is in an open volume, as far as was known at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Inventory {
    /// The seq it began with; 0 where that is not known.
    pub(in crate::journal) begin: u64,
    /// These blocks of it were pending.
    pub(in crate::journal) blocks: Vec<BlockEntry>,
    /// Up to this seq every event of the row was in these blocks or accounted for otherwise.
    pub(in crate::journal) end: u64,
}

impl VolumeIndex {
    pub(in crate::journal) fn encode(&self) -> Vec<u8> {
        let (state, at, entries, end) = match self {
            Self::Pending { begin, blocks } => (1, *begin, blocks.as_slice(), None),
            Self::Settled(at) => (2, *at, &[][..], None),
            Self::Open(Inventory { begin, blocks, end }) => {
                (3, *begin, blocks.as_slice(), Some(end_at(*end)))
            }
        };
        let count = entries.len() + usize::from(end.is_some());
        let mut bytes = Vec::with_capacity(HEAD_BYTES + count * ENTRY_BYTES + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[FORMAT, state, 0, 0]);
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        for entry in entries.iter().chain(&end) {
            bytes.extend_from_slice(&entry.seq.to_le_bytes());
            bytes.extend_from_slice(&entry.events.to_le_bytes());
            bytes.extend_from_slice(&entry.text_bytes.to_le_bytes());
            bytes.extend_from_slice(&entry.since.to_le_bytes());
            bytes.push(u8::from(entry.from_intake));
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// What it says must be in the volume; `None` where nothing must.
    pub(in crate::journal) fn into_inventory(self) -> Option<Inventory> {
        match self {
            Self::Pending { begin, blocks } => {
                let end = blocks.last().map_or(begin, |last| last.seq + u64::from(last.events));
                Some(Inventory { begin, blocks, end })
            }
            Self::Settled(_) => None,
            Self::Open(inventory) => Some(inventory),
        }
    }

    /// Reads an index; `None` for anything that is not an intact one, and the volume has to be opened instead.
    pub(in crate::journal) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let entries = body.get(HEAD_BYTES..)?;
        let intact = body.starts_with(MAGIC)
            && body.get(4) == Some(&FORMAT)
            && crc32c::crc32c(body) == u32_at(checksum, 0)
            && entries.len() == u32_at(body, 16) as usize * ENTRY_BYTES;
        if !intact {
            return None;
        }
        let at = u64_at(body, 8);
        let mut blocks: Vec<BlockEntry> = entries.chunks_exact(ENTRY_BYTES).map(decode_entry).collect();
        match body.get(5) {
            Some(1) => Some(Self::Pending { begin: at, blocks }),
            Some(2) => Some(Self::Settled(at)),
            Some(3) => {
                let end = blocks.pop().filter(|last| last.events == 0)?.seq;
                Some(Self::Open(Inventory { begin: at, blocks, end }))
            }
            _ => None,
        }
    }
}

/// How an inventory tells how far it goes.
fn end_at(seq: u64) -> BlockEntry {
    BlockEntry { seq, events: 0, text_bytes: 0, since: 0, from_intake: false }
}

fn decode_entry(bytes: &[u8]) -> BlockEntry {
    BlockEntry {
        seq: u64_at(bytes, 0),
        events: u32_at(bytes, 8),
        text_bytes: u32_at(bytes, 12),
        since: u64_at(bytes, 16),
        from_intake: bytes.last() == Some(&1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> VolumeIndex {
        let entry = BlockEntry { seq: 9, events: 3, text_bytes: 600, since: 1_000, from_intake: false };
        let blocks = vec![entry, BlockEntry { seq: 12, from_intake: true, ..entry }];
        VolumeIndex::Pending { begin: 9, blocks }
    }

    fn open() -> VolumeIndex {
        let VolumeIndex::Pending { begin, blocks } = index() else { panic!("it is pending") };
        VolumeIndex::Open(Inventory { begin, blocks, end: 20 })
    }

    #[test]
    fn an_index_comes_back_as_it_was_written() {
        assert_eq!(VolumeIndex::decode(&index().encode()), Some(index()));
        let settled = VolumeIndex::Settled(77);
        assert_eq!(VolumeIndex::decode(&settled.encode()), Some(settled));
        assert_eq!(VolumeIndex::decode(&open().encode()), Some(open()));
    }

    #[test]
    fn an_index_is_as_the_page_on_durability_draws_it() {
        let bytes = index().encode();
        let fields = [
            ("magic `SLJX`", u64::from(u32_at(MAGIC, 0))),
            ("format, 1", 1),
            ("state: 1 pending, 2 settled, 3 open", 1),
            ("zero", 0),
            ("when it was settled, or else the seq it began with", 9),
            ("blocks", 2),
            ("for each block: seq (8), events (4), text bytes (4), waiting since (8), flags (1", 0),
        ];
        super::super::frame_tests::assert_as_drawn("An index", &bytes, &fields);
        assert_eq!(bytes.len(), HEAD_BYTES + 2 * ENTRY_BYTES + 4);
        let page = include_str!("../../../docs/durability.md");
        assert!(page.contains(&format!("| {HEAD_BYTES} | {ENTRY_BYTES} each |")));
    }

    #[test]
    fn a_damaged_or_cut_index_is_no_index() {
        let whole = index().encode();
        for len in 0..whole.len() {
            assert_eq!(VolumeIndex::decode(&whole[..len]), None, "cut at {len}");
            let mut damaged = whole.clone();
            damaged[len] ^= 0x10;
            assert_eq!(VolumeIndex::decode(&damaged), None, "damaged at {len}");
        }
    }
}
