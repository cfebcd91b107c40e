//! How far the journal has ever got: a small file of its own, beside the volumes, that notices when a volume lost its
//! tail. A store that lost acknowledged blocks opens as if nothing had happened; this mark remembers better.
//!
//! Two slots of 64 bytes, written in turn, each after the sync it describes: magic `SLJW`, format 1, three bytes of
//! zero, generation, then for grants, usage and dead the seq that was next; CRC32C at offset 40, the rest zero. A torn
//! write spoils one slot; the other is at most a second older.

use super::frame::{RowName, u32_at, u64_at};

/// A slot's size.
pub(super) const SLOT_BYTES: usize = 64;
/// How many slots the file has.
pub(super) const SLOTS: u64 = 2;

const MAGIC: &[u8; 4] = b"SLJW";
const FORMAT: u8 = 1;
const CHECKSUM_AT: usize = 40;

/// The next seq of each row, at a moment when everything before it was durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::journal) struct HighWater {
    /// Counts the marks ever written; the higher of two intact slots counts.
    pub(super) generation: u64,
    next_seqs: [u64; RowName::ALL.len()],
}

impl HighWater {
    /// The mark after this one, with what is durable now.
    pub(in crate::journal) fn next(self, next_seq: impl Fn(RowName) -> u64) -> Self {
        Self { generation: self.generation + 1, next_seqs: RowName::ALL.map(next_seq) }
    }

    /// The next seq of a row.
    pub(in crate::journal) fn next_seq(&self, row: RowName) -> u64 {
        let at = RowName::ALL.iter().position(|name| *name == row);
        at.and_then(|at| self.next_seqs.get(at)).copied().unwrap_or_default()
    }

    /// Whether a row has moved since this mark.
    pub(in crate::journal) fn is_behind(&self, next_seq: impl Fn(RowName) -> u64) -> bool {
        self.next_seqs != RowName::ALL.map(next_seq)
    }

    /// Which slot this mark goes to.
    pub(in crate::journal) fn slot(&self) -> u64 {
        self.generation % SLOTS
    }

    pub(in crate::journal) fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[FORMAT, 0, 0, 0]);
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        for next_seq in self.next_seqs {
            bytes.extend_from_slice(&next_seq.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.resize(SLOT_BYTES, 0);
        bytes.try_into().unwrap_or([0; SLOT_BYTES])
    }

    /// The newest intact mark of a file; the zero mark when there is none.
    pub(in crate::journal) fn decode_file(bytes: &[u8]) -> Self {
        bytes
            .chunks(SLOT_BYTES)
            .filter_map(decode_slot)
            .max_by_key(|mark| mark.generation)
            .unwrap_or_default()
    }
}

fn decode_slot(slot: &[u8]) -> Option<HighWater> {
    let body = slot.get(..CHECKSUM_AT)?;
    let intact = slot.len() == SLOT_BYTES
        && body.starts_with(MAGIC)
        && body.get(4) == Some(&FORMAT)
        && u32_at(slot, CHECKSUM_AT) == crc32c::crc32c(body);
    intact.then(|| HighWater {
        generation: u64_at(body, 8),
        next_seqs: [u64_at(body, 16), u64_at(body, 24), u64_at(body, 32)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(generation: u64, usage: u64) -> HighWater {
        HighWater { generation, next_seqs: [3, usage, 1] }
    }

    #[test]
    fn the_mark_is_as_the_page_on_durability_draws_it() {
        let slot = mark(6, 100).encode();
        let checksum = u64::from(crc32c::crc32c(&slot[..CHECKSUM_AT]));
        let fields = [
            ("magic `SLJW`", u64::from(u32_at(MAGIC, 0))),
            ("format, 1", 1),
            ("zero", 0),
            ("generation", 6),
            ("next seq of grants", 3),
            ("next seq of usage", 100),
            ("next seq of dead", 1),
            ("checksum of bytes 0 to 39", checksum),
            ("zero", 0),
        ];
        super::super::frame_tests::assert_as_drawn("The mark", &slot, &fields);
    }

    #[test]
    fn the_newest_intact_slot_counts() {
        let (older, newer) = (mark(6, 100), mark(7, 150));
        assert_ne!(older.slot(), newer.slot(), "the newer never overwrites the older");
        let mut file = [older.encode(), newer.encode()].concat();
        assert_eq!(HighWater::decode_file(&file), newer);
        for at in SLOT_BYTES..SLOT_BYTES + CHECKSUM_AT + 4 {
            let mut torn = file.clone();
            torn[at] ^= 0x40;
            assert_eq!(HighWater::decode_file(&torn), older, "byte {at}");
        }
        file.truncate(100);
        assert_eq!(HighWater::decode_file(&file), older);
        assert_eq!(HighWater::decode_file(&[]), HighWater::default());
    }
}
