//! What must hold of any bytes at all, for the fuzzers in `fuzz/` and the cases they left behind.

use super::format::{HighWater, VolumeIndex, frame};
use super::volumes::scan_file;

/// Where a frame keeps its checksum, and where its body begins.
const CHECKSUM: std::ops::Range<usize> = 48..52;

/// A file of any content is scanned to its end, every block found in it can be unpacked, and no frame, index or mark is
/// read beyond its bytes; with a checksum that fits too, which a fuzzer does not find by itself.
///
/// # Panics
/// When that does not hold.
pub fn frames(bytes: &[u8]) {
    read(bytes);
    let mut fitting = bytes.to_vec();
    if fitting.len() >= CHECKSUM.end {
        fitting.splice(..4, *b"SLJF");
        let body_len = u32::try_from(fitting.len() - CHECKSUM.end).unwrap_or_default();
        fitting.splice(44..48, body_len.to_le_bytes());
        let (head, body) = fitting.split_at(CHECKSUM.end);
        let head = head.get(..CHECKSUM.start).unwrap_or_default();
        let checksum = crc32c::crc32c_append(crc32c::crc32c(head), body);
        fitting.splice(CHECKSUM, checksum.to_le_bytes());
        read(&fitting);
    }
}

fn read(bytes: &[u8]) {
    let found = scan_file(bytes).unwrap_or_default();
    for (entry, stored) in found.pending() {
        let block = frame::decode_block(&stored).map(|(_, block)| block);
        assert_eq!(block.map(|block| block.len()), Ok(entry.events as usize));
        assert!(found.next_seq() > entry.seq);
    }
    drop(frame::decode_block(&[bytes]));
    drop(frame::decode_block(&[bytes, bytes]));
    if let Some(index) = VolumeIndex::decode(bytes) {
        assert_eq!(VolumeIndex::decode(&index.encode()), Some(index));
    }
    let mark = HighWater::decode_file(bytes);
    if mark != HighWater::default() {
        assert_eq!(HighWater::decode_file(&mark.encode()), mark);
    }
}
