//! Which events lie whole in the files of a journal: an independent reading of the frames that `src/journal/format/frame.rs`
//! describes, so that what salvage finds is not measured with salvage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const HEADER_BYTES: usize = 52;
const CHECKSUM_AT: usize = 48;
const BLOCK: u8 = 1;
const FLAG_LZ4: u8 = 1;

/// A block's row and seq.
pub(crate) type BlockName = (u8, u64);

/// The blocks of which every part lies whole in some volume, with the ids of their events.
pub(crate) fn whole_blocks(journal: &Path) -> BTreeMap<BlockName, BTreeSet<String>> {
    let mut parts: BTreeMap<BlockName, BTreeMap<u16, Part>> = BTreeMap::new();
    for row in ["grants", "usage"] {
        for volume in fs::read_dir(journal.join(row)).into_iter().flatten().flatten() {
            if volume.file_name().to_string_lossy().starts_with("volume-") && volume.path().is_dir() {
                scan(&fs::read(volume.path().join("db")).unwrap_or_default(), &mut parts);
            }
        }
    }
    parts.into_iter().filter_map(|(name, parts)| Some((name, ids(&parts)?))).collect()
}

/// One frame of a block.
struct Part {
    parts: u16,
    is_lz4: bool,
    payload_len: usize,
    body: Vec<u8>,
}

fn scan(bytes: &[u8], found: &mut BTreeMap<BlockName, BTreeMap<u16, Part>>) {
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&bytes[from..], b"SLJF").map(|at| from + at) {
        from = at + 1;
        let frame = &bytes[at..];
        let four = |at: usize| u32::from_le_bytes(frame[at..at + 4].try_into().unwrap());
        if frame.len() < HEADER_BYTES {
            return;
        }
        let body_len = four(44) as usize;
        let Some(body) = frame.get(HEADER_BYTES..HEADER_BYTES.saturating_add(body_len)) else { continue };
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame[..CHECKSUM_AT]), body);
        if checksum != four(CHECKSUM_AT) || frame[5] != BLOCK {
            continue;
        }
        let two = |at: usize| u16::from_le_bytes([frame[at], frame[at + 1]]);
        let name = (frame[6], u64::from_le_bytes(frame[8..16].try_into().unwrap()));
        let part = Part {
            parts: two(22),
            is_lz4: frame[7] & FLAG_LZ4 != 0,
            payload_len: four(40) as usize,
            body: body.to_vec(),
        };
        found.entry(name).or_default().insert(two(20), part);
        from = at + HEADER_BYTES + body_len;
    }
}

/// The ids in a block; `None` when a part is missing.
fn ids(parts: &BTreeMap<u16, Part>) -> Option<BTreeSet<String>> {
    let first = parts.get(&0)?;
    if usize::from(first.parts) != parts.len() {
        return None;
    }
    let body: Vec<u8> = parts.values().flat_map(|part| part.body.iter().copied()).collect();
    let payload =
        if first.is_lz4 { lz4_flex::block::decompress(&body, first.payload_len).unwrap() } else { body };
    const ID: &[u8] = b"\"external_id\":\"";
    let id_at = |at: usize| {
        let id = payload[at + ID.len()..].split(|byte| *byte == b'"').next().unwrap_or_default();
        String::from_utf8_lossy(id).into_owned()
    };
    Some(memchr::memmem::find_iter(&payload, ID).map(id_at).collect())
}
