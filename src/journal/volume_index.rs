//! The index file of a closed volume: what a start needs to know of it without opening it.
//!
//! Little-endian: magic `SLJX`, format 1, state (1 pending, 2 settled), two bytes of zero, the time it was written,
//! the number of blocks, then for each: seq, events, text bytes, the time from which it counts as waiting, flags (1:
//! refused at intake); at the end CRC32C of all before. A volume with an index is as the index says: it is removed,
//! durably, before the first settlement goes in.

use super::frame::{u32_at, u64_at};
use crate::event::UnixMillis;

const MAGIC: &[u8; 4] = b"SLJX";
const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 20;
const ENTRY_BYTES: usize = 25;

/// What is known of a block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockEntry {
    /// The seq of its first event.
    pub(super) seq: u64,
    /// Its events.
    pub(super) events: u32,
    /// Their texts, in bytes.
    pub(super) text_bytes: u32,
    /// When it was accepted, or when it is due, whichever is later: from then on it counts as waiting.
    pub(super) since: UnixMillis,
    /// Dead row: refused at intake rather than given up by delivery.
    pub(super) from_intake: bool,
}

/// The whole index of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VolumeIndex {
    /// These blocks of it are pending, and no others.
    Pending(Vec<BlockEntry>),
    /// Every block of it is settled, since this time.
    Settled(UnixMillis),
}

impl VolumeIndex {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (state, at, entries) = match self {
            Self::Pending(entries) => (1, 0, entries.as_slice()),
            Self::Settled(at) => (2, *at, &[][..]),
        };
        let mut bytes = Vec::with_capacity(HEAD_BYTES + entries.len() * ENTRY_BYTES + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[FORMAT, state, 0, 0]);
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
        for entry in entries {
            bytes.extend_from_slice(&entry.seq.to_le_bytes());
            bytes.extend_from_slice(&entry.events.to_le_bytes());
            bytes.extend_from_slice(&entry.text_bytes.to_le_bytes());
            bytes.extend_from_slice(&entry.since.to_le_bytes());
            bytes.push(u8::from(entry.from_intake));
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads an index; `None` for anything that is not an intact one, and the volume has to be opened instead.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let entries = body.get(HEAD_BYTES..)?;
        let intact = body.starts_with(MAGIC)
            && body.get(4) == Some(&FORMAT)
            && crc32c::crc32c(body) == u32_at(checksum, 0)
            && entries.len() == u32_at(body, 16) as usize * ENTRY_BYTES;
        if !intact {
            return None;
        }
        match body.get(5) {
            Some(1) => Some(Self::Pending(entries.chunks_exact(ENTRY_BYTES).map(decode_entry).collect())),
            Some(2) => Some(Self::Settled(u64_at(body, 8))),
            _ => None,
        }
    }
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
        VolumeIndex::Pending(vec![entry, BlockEntry { seq: 12, from_intake: true, ..entry }])
    }

    #[test]
    fn an_index_comes_back_as_it_was_written() {
        assert_eq!(VolumeIndex::decode(&index().encode()), Some(index()));
        let settled = VolumeIndex::Settled(77);
        assert_eq!(VolumeIndex::decode(&settled.encode()), Some(settled));
    }

    #[test]
    fn an_index_is_as_the_page_on_durability_draws_it() {
        let bytes = index().encode();
        let fields = [
            ("magic `SLJX`", u64::from(u32_at(MAGIC, 0))),
            ("format, 1", 1),
            ("state: 1 pending, 2 settled", 1),
            ("zero", 0),
            ("when it was settled", 0),
            ("blocks", 2),
            ("for each block: seq (8), events (4), text bytes (4), waiting since (8), flags (1", 0),
        ];
        super::super::frame::tests::assert_as_drawn("An index", &bytes, &fields);
        assert_eq!(bytes.len(), HEAD_BYTES + 2 * ENTRY_BYTES + 4);
        let page = include_str!("../../docs/durability.md");
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
