//! How blocks and settlements look on disk.
//!
//! Every stored value is one frame: a header of fixed size and a body, all little-endian, with a checksum over both,
//! in one piece. A raw scan of a volume's file therefore finds every intact frame, whatever the store's own index says.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `SLJF` |
//! | 4 | 1 | format, 2 |
//! | 5 | 1 | kind: 1 block, 2 settlement |
//! | 6 | 1 | row: 1 grants, 2 usage, 3 dead |
//! | 7 | 1 | flags: 1 body is LZ4, 2 refused at intake (dead row), 4 each event has its own time, 8 goes on with a group |
//! | 8 | 8 | seq of the first event |
//! | 16 | 4 | events |
//! | 20 | 2 | part, from 0 |
//! | 22 | 2 | parts |
//! | 24 | 8 | accepted, Unix milliseconds |
//! | 32 | 8 | due, Unix milliseconds, 0 for at once; of a settlement, the events of its block |
//! | 40 | 4 | length of the whole payload before compression |
//! | 44 | 4 | length of this frame's body |
//! | 48 | 4 | CRC32C of bytes 0–47 and the body |
//!
//! A block's payload is four bytes for each event, then their texts back to back. Of the four bytes the lower 28 bits are
//! the length of the event's text, the upper four say by which road it came ([`Source`]); format 1 left them 0, which
//! stands for a road that is not known. With flag 4 four more bytes for each event stand before the texts: the milliseconds
//! from the frame's `accepted` to its own. A block without flag 8 was written when all before it was durable; those with it
//! were written together with it, and no sync tells which of them came first. Compressed or not, the payload is cut into parts where it would pass
//! [`STORED_BYTES_MAX`]. The payload of a settlement is described in `settlement_record.rs`.

use bytes::Bytes;

use crate::event::{Lane, UnixMillis};
use crate::journal::consumer::{Block, BlockId};
use crate::journal::source::Source;

/// The largest value that is stored. sled moves a page into a file that it never syncs where it takes more than a quarter
/// of a segment, and up to 17 values are a page.
pub(in crate::journal) const STORED_BYTES_MAX: usize = 60 << 10;
/// The largest that was ever stored, in the larger segments of volumes from before the first release.
pub(in crate::journal) const STORED_BYTES_EVER: usize = 64 << 10;
/// The header's size.
pub(in crate::journal) const HEADER_BYTES: usize = 52;
/// The most payload that one frame carries.
pub(in crate::journal) const BODY_BYTES_MAX: usize = STORED_BYTES_MAX - HEADER_BYTES;

pub(super) const MAGIC: [u8; 4] = *b"SLJF";
/// What is written. Older formats stay readable.
pub(super) const FORMAT: u8 = 2;
const FORMAT_OLDEST: u8 = 1;
/// The bits of an event's length that hold its length.
const LENGTH_BITS: u32 = 28;
const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;
const FLAG_LZ4: u8 = 1;
const FLAG_INTAKE: u8 = 2;
const FLAG_TIMES: u8 = 4;
const FLAG_GOES_ON: u8 = 8;
pub(super) const CHECKSUM_AT: usize = 48;
/// No journal ever counts so far, and what comes after it can still be counted.
pub(super) const SEQ_MAX: u64 = u64::MAX >> 1;

/// One of the three rows of volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::journal) enum RowName {
    /// Pending and settled credit grants.
    Grants,
    /// Pending and settled usage.
    Usage,
    /// Dead letters.
    Dead,
}

impl RowName {
    pub(in crate::journal) const ALL: [Self; 3] = [Self::Grants, Self::Usage, Self::Dead];

    pub(in crate::journal) fn as_str(self) -> &'static str {
        match self {
            Self::Grants => "grants",
            Self::Usage => "usage",
            Self::Dead => "dead",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Grants => 1,
            Self::Usage => 2,
            Self::Dead => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|row| row.code() == code)
    }
}

impl From<Lane> for RowName {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Grants => Self::Grants,
            Lane::Usage => Self::Usage,
        }
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) enum Kind {
    /// A block, or a part of one.
    Block,
    /// The settlement of a block.
    Settlement,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Header {
    pub(super) format: u8,
    pub(in crate::journal) kind: Kind,
    pub(in crate::journal) row: RowName,
    pub(in crate::journal) seq: u64,
    pub(in crate::journal) events: u32,
    pub(in crate::journal) part: u16,
    pub(in crate::journal) parts: u16,
    pub(in crate::journal) accepted: UnixMillis,
    pub(in crate::journal) due: UnixMillis,
    pub(super) payload_len: u32,
    pub(in crate::journal) from_intake: bool,
    pub(super) timed: bool,
    /// The block was written together with those before it.
    pub(in crate::journal) goes_on: bool,
    pub(super) lz4: bool,
    pub(super) body_len: u32,
}

impl Header {
    /// The header of a settlement, or of anything else that is one small frame. What is not given is 0.
    pub(super) fn of_one(kind: Kind, row: RowName, seq: u64, payload: &[u8]) -> Self {
        Self {
            format: FORMAT,
            kind,
            row,
            seq,
            events: 0,
            part: 0,
            parts: 1,
            accepted: 0,
            due: 0,
            payload_len: length(payload.len()),
            from_intake: false,
            timed: false,
            goes_on: false,
            lz4: false,
            body_len: 0,
        }
    }

    /// The events' texts together: the payload without what stands before them.
    pub(in crate::journal) fn text_bytes(&self) -> u64 {
        let each = if self.timed { 8 } else { 4 };
        u64::from(self.payload_len).saturating_sub(u64::from(self.events) * each)
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::journal) enum FrameError {
    #[error("not a frame of the journal")]
    NotAFrame,
    #[error("written by a newer sledge (format {0}); start that version, or an even newer one")]
    NewerFormat(u8),
    #[error("a frame is damaged: its checksum or its lengths do not fit")]
    Damaged,
}

/// A block about to be stored.
#[derive(Clone, Copy, Debug)]
pub(in crate::journal) struct NewBlock<'a> {
    pub(in crate::journal) row: RowName,
    pub(in crate::journal) seq: u64,
    pub(in crate::journal) accepted: UnixMillis,
    pub(in crate::journal) due: UnixMillis,
    pub(in crate::journal) from_intake: bool,
    pub(in crate::journal) text: &'a [u8],
    pub(in crate::journal) ends: &'a [u32],
    /// By which road each came; none of them known where it is shorter.
    pub(in crate::journal) sources: &'a [Option<Source>],
    /// How long after `accepted` each was, in milliseconds; empty where all came at that time.
    pub(in crate::journal) times: &'a [u32],
    /// Whether blocks before it are made durable with it.
    pub(in crate::journal) goes_on: bool,
}

/// The frames of a block: one, or as many parts as its size asks for.
pub(in crate::journal) fn encode_block(block: &NewBlock<'_>) -> Vec<Vec<u8>> {
    let mut payload = Vec::with_capacity(block.ends.len() * 4 + block.text.len());
    let mut start = 0;
    let sources = block.sources.iter().copied().chain(std::iter::repeat(None));
    for (end, source) in block.ends.iter().zip(sources) {
        let road = u32::from(Source::code(source)) << LENGTH_BITS;
        payload.extend_from_slice(&(road | (end - start)).to_le_bytes());
        start = *end;
    }
    for time in block.times {
        payload.extend_from_slice(&time.to_le_bytes());
    }
    payload.extend_from_slice(block.text);
    let payload_len = length(payload.len());
    let packed = lz4_flex::block::compress(&payload);
    let (body, lz4) = if packed.len() < payload.len() { (packed, true) } else { (payload, false) };
    let parts = body.len().div_ceil(BODY_BYTES_MAX).max(1);
    let mut header = Header {
        format: FORMAT,
        kind: Kind::Block,
        row: block.row,
        seq: block.seq,
        events: length(block.ends.len()),
        part: 0,
        parts: u16::try_from(parts).unwrap_or(u16::MAX),
        accepted: block.accepted,
        due: block.due,
        payload_len,
        from_intake: block.from_intake,
        timed: !block.times.is_empty(),
        goes_on: block.goes_on,
        lz4,
        body_len: 0,
    };
    let mut frames = Vec::with_capacity(parts);
    for piece in body.chunks(BODY_BYTES_MAX) {
        frames.push(encode_frame(&header, piece));
        header.part += 1;
    }
    frames
}

/// Puts the parts of a block together again.
///
/// # Errors
/// When a frame is not intact or the parts do not belong together.
pub(in crate::journal) fn decode_block(frames: &[impl AsRef<[u8]>]) -> Result<(Header, Block), FrameError> {
    let (first, mut payload) = match frames {
        [only] => {
            let (header, body) = decode_frame(only.as_ref())?;
            (header, body.to_vec())
        }
        _ => join_parts(frames)?,
    };
    if first.lz4 {
        payload = lz4_flex::block::decompress(&payload, first.payload_len as usize)
            .map_err(|_| FrameError::Damaged)?;
    }
    let lengths_len = first.events as usize * 4;
    let text_at = if first.timed { lengths_len * 2 } else { lengths_len };
    if first.kind != Kind::Block
        || payload.len() != first.payload_len as usize
        || usize::from(first.parts) != frames.len()
        || payload.len() < text_at
    {
        return Err(FrameError::Damaged);
    }
    let text = Bytes::from(payload);
    let (lengths, times) = (text.slice(..lengths_len), text.slice(lengths_len..text_at));
    let text = text.slice(text_at..);
    let mut ends = Vec::with_capacity(first.events as usize);
    let mut end = 0_u32;
    for four in lengths.chunks_exact(4) {
        end = end.checked_add(u32_at(four, 0) & LENGTH_MASK).ok_or(FrameError::Damaged)?;
        ends.push(end);
    }
    if end as usize != text.len() {
        return Err(FrameError::Damaged);
    }
    let lane = if first.row == RowName::Grants { Lane::Grants } else { Lane::Usage };
    let id = BlockId { lane, seq: first.seq };
    let block = Block::new(id, first.accepted, first.due, text, ends.into());
    Ok((first, block.with_stored(lengths, times)))
}

fn join_parts(frames: &[impl AsRef<[u8]>]) -> Result<(Header, Vec<u8>), FrameError> {
    let mut whole: Option<(Header, Vec<u8>)> = None;
    for (at, frame) in frames.iter().enumerate() {
        let (header, body) = decode_frame(frame.as_ref())?;
        if usize::from(header.part) != at {
            return Err(FrameError::Damaged);
        }
        match &mut whole {
            None => whole = Some((header, body.to_vec())),
            Some((first, _)) if header.seq != first.seq || header.parts != first.parts => {
                return Err(FrameError::Damaged);
            }
            Some((_, payload)) => payload.extend_from_slice(body),
        }
    }
    whole.ok_or(FrameError::Damaged)
}

pub(super) fn encode_frame(header: &Header, body: &[u8]) -> Vec<u8> {
    let kind = match header.kind {
        Kind::Block => 1,
        Kind::Settlement => 2,
    };
    let flags = if header.lz4 { FLAG_LZ4 } else { 0 }
        | if header.from_intake { FLAG_INTAKE } else { 0 }
        | if header.timed { FLAG_TIMES } else { 0 }
        | if header.goes_on { FLAG_GOES_ON } else { 0 };
    let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&[FORMAT, kind, header.row.code(), flags]);
    frame.extend_from_slice(&header.seq.to_le_bytes());
    frame.extend_from_slice(&header.events.to_le_bytes());
    frame.extend_from_slice(&header.part.to_le_bytes());
    frame.extend_from_slice(&header.parts.to_le_bytes());
    frame.extend_from_slice(&header.accepted.to_le_bytes());
    frame.extend_from_slice(&header.due.to_le_bytes());
    frame.extend_from_slice(&header.payload_len.to_le_bytes());
    frame.extend_from_slice(&length(body.len()).to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame), body);
    frame.extend_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

/// Reads the header of a frame without looking at its body: for counting at open. The checksum is not verified.
///
/// # Errors
/// When the bytes do not begin with a header of this format.
pub(in crate::journal) fn read_header(frame: &[u8]) -> Result<Header, FrameError> {
    if frame.len() < HEADER_BYTES || !frame.starts_with(&MAGIC) {
        return Err(FrameError::NotAFrame);
    }
    let byte = |at: usize| frame.get(at).copied().unwrap_or_default();
    let format = byte(4);
    if !(FORMAT_OLDEST..=FORMAT).contains(&format) {
        // A flipped bit is no newer format: every format keeps its length and its checksum where they are.
        let is_whole = checksum_of(frame).is_some_and(|checksum| checksum == u32_at(frame, CHECKSUM_AT));
        return Err(if is_whole { FrameError::NewerFormat(format) } else { FrameError::Damaged });
    }
    let kind = match byte(5) {
        1 => Kind::Block,
        2 => Kind::Settlement,
        _ => return Err(FrameError::Damaged),
    };
    let seq = u64_at(frame, 8);
    if seq > SEQ_MAX {
        return Err(FrameError::Damaged);
    }
    Ok(Header {
        format,
        kind,
        row: RowName::from_code(byte(6)).ok_or(FrameError::Damaged)?,
        lz4: byte(7) & FLAG_LZ4 != 0,
        from_intake: byte(7) & FLAG_INTAKE != 0,
        timed: byte(7) & FLAG_TIMES != 0,
        goes_on: byte(7) & FLAG_GOES_ON != 0,
        seq,
        events: u32_at(frame, 16),
        part: u16_at(frame, 20),
        parts: u16_at(frame, 22),
        accepted: u64_at(frame, 24),
        due: u64_at(frame, 32),
        payload_len: u32_at(frame, 40),
        body_len: u32_at(frame, 44),
    })
}

/// The checksum that the frame at the beginning of `bytes` should have; `None` when its body is cut short.
pub(super) fn checksum_of(bytes: &[u8]) -> Option<u32> {
    let end = HEADER_BYTES.saturating_add(u32_at(bytes, 44) as usize);
    let (head, body) = (bytes.get(..CHECKSUM_AT)?, bytes.get(HEADER_BYTES..end)?);
    Some(crc32c::crc32c_append(crc32c::crc32c(head), body))
}

/// Reads and verifies the frame that `bytes` begins with (more may follow it, as in a raw scan).
///
/// # Errors
/// When there is no intact frame.
pub(in crate::journal) fn decode_frame(bytes: &[u8]) -> Result<(Header, &[u8]), FrameError> {
    let header = read_header(bytes)?;
    let end = HEADER_BYTES.saturating_add(header.body_len as usize);
    let body = bytes.get(HEADER_BYTES..end).ok_or(FrameError::Damaged)?;
    if checksum_of(bytes) != Some(u32_at(bytes, CHECKSUM_AT)) {
        return Err(FrameError::Damaged);
    }
    Ok((header, body))
}

/// The road in the four bytes of an event's length.
pub(in crate::journal) fn source_in(length: &[u8]) -> Option<Source> {
    Source::from_code(u8::try_from(u32_at(length, 0) >> LENGTH_BITS).unwrap_or_default())
}

/// The first place at or after `from` where a frame may begin.
pub(in crate::journal) fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let tail = bytes.get(from..)?;
    memchr::memmem::find(tail, &MAGIC).map(|at| from + at)
}

/// Intake bounds an event to a few MiB and blocks are built far smaller, so lengths always fit.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).unwrap_or([0; N])
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(in crate::journal) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(in crate::journal) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
