//! How a block's settlement looks on disk: what a later reader can know of the fate of each of its events.
//!
//! The frame's `accepted` is the time it was settled, its `events` the number of dead positions, its `due` the events of
//! the block, so that the settlement stands for them when the block is gone; 0 where it was not written down. Its payload is a row of
//! numbers, seven bits to a byte, the lowest first, with the top bit set on all bytes of a number but the last:
//!
//! 1. how many requests carried events of the block, and how many of them are described;
//! 2. for each of these: how long before the settlement it was answered, in milliseconds; the answer's status; the
//!    events of the whole request; the number of pieces of the block that it carried, 0 for all of it; for each piece how
//!    far it begins after the end of the one before, and its length;
//! 3. for each dead position how far it lies after the one before (the first: after 0).
//!
//! In format 1 the payload is the number of requests (4 bytes), the last answer's status (2 bytes), and the dead positions
//! (4 bytes each).

use std::ops::Range;

use super::frame::{FrameError, Header, Kind, RowName, decode_frame, encode_frame, u16_at, u32_at};
use crate::event::UnixMillis;
use crate::journal::attempts::{Attempt, Attempts, Carried};

/// More than are ever written, so that damage that no checksum shows asks for no memory.
const ATTEMPTS_MAX: u64 = 1_000;

/// A block's settlement, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) struct SettlementRecord {
    pub(in crate::journal) row: RowName,
    pub(in crate::journal) seq: u64,
    /// The events of the block; 0 where that is not known.
    pub(in crate::journal) events: u32,
    pub(in crate::journal) settled_at: UnixMillis,
    pub(in crate::journal) attempts: Attempts,
    /// Ascending.
    pub(in crate::journal) dead_positions: Vec<u32>,
}

impl SettlementRecord {
    /// A settlement of a block that was never sent.
    pub(in crate::journal) fn unsent(row: RowName, seq: u64, settled_at: UnixMillis) -> Self {
        Self { row, seq, events: 0, settled_at, attempts: Attempts::default(), dead_positions: Vec::new() }
    }

    /// Whether the event at `position` is a dead letter, or was.
    pub(in crate::journal) fn is_dead(&self, position: u32) -> bool {
        self.dead_positions.binary_search(&position).is_ok()
    }

    /// When the event at `position` had its outcome, at the earliest and at the latest.
    pub(in crate::journal) fn outcome(&self, position: u32) -> Range<UnixMillis> {
        self.attempts.delivered(position, self.settled_at)
    }

    /// The frame of this settlement.
    pub(in crate::journal) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        put(&mut payload, u64::from(self.attempts.made));
        put(&mut payload, self.attempts.noted.len() as u64);
        for attempt in &self.attempts.noted {
            put(&mut payload, self.settled_at.saturating_sub(attempt.at));
            put(&mut payload, u64::from(attempt.status));
            put(&mut payload, u64::from(attempt.events));
            let pieces = match &attempt.carried {
                Carried::All => &[][..],
                Carried::Pieces(pieces) => pieces,
            };
            put(&mut payload, pieces.len() as u64);
            let mut end = 0;
            for piece in pieces {
                put(&mut payload, u64::from(piece.start.saturating_sub(end)));
                put(&mut payload, piece.len() as u64);
                end = piece.end;
            }
        }
        let mut before = 0;
        for position in &self.dead_positions {
            put(&mut payload, u64::from(position.saturating_sub(before)));
            before = *position;
        }
        let header = Header {
            events: u32::try_from(self.dead_positions.len()).unwrap_or(u32::MAX),
            accepted: self.settled_at,
            due: u64::from(self.events),
            ..Header::of_one(Kind::Settlement, self.row, self.seq, &payload)
        };
        encode_frame(&header, &payload)
    }

    /// Reads a settlement back.
    ///
    /// # Errors
    /// When the frame is not an intact settlement.
    pub(in crate::journal) fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let (header, body) = decode_frame(frame)?;
        if header.kind != Kind::Settlement {
            return Err(FrameError::Damaged);
        }
        let read = if header.format == 1 { read_format_1(body, &header) } else { read(body, &header) };
        let (attempts, dead_positions) = read.ok_or(FrameError::Damaged)?;
        Ok(Self {
            row: header.row,
            seq: header.seq,
            events: u32::try_from(header.due).unwrap_or_default(),
            settled_at: header.accepted,
            attempts,
            dead_positions,
        })
    }
}

fn put(payload: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        payload.push(number.to_le_bytes().first().copied().unwrap_or_default() | 0x80);
        number >>= 7;
    }
    payload.extend(u8::try_from(number));
}

/// Takes the next number off the front.
fn take(payload: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0_u32);
    loop {
        let (byte, rest) = payload.split_first()?;
        *payload = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if *byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

fn take_u32(payload: &mut &[u8]) -> Option<u32> {
    take(payload)?.try_into().ok()
}

fn read(mut body: &[u8], header: &Header) -> Option<(Attempts, Vec<u32>)> {
    let made = take_u32(&mut body)?;
    let noted = take(&mut body).filter(|noted| *noted <= ATTEMPTS_MAX)?;
    let noted = (0..noted).map(|_| take_attempt(&mut body, header.accepted)).collect::<Option<_>>()?;
    let mut position = 0_u32;
    let mut dead_positions = Vec::new();
    for _ in 0..header.events {
        position = position.checked_add(take_u32(&mut body)?)?;
        dead_positions.push(position);
    }
    body.is_empty().then_some((Attempts { made, noted }, dead_positions))
}

fn take_attempt(body: &mut &[u8], settled_at: UnixMillis) -> Option<Attempt> {
    let at = settled_at.saturating_sub(take(body)?);
    let status = take(body)?.try_into().ok()?;
    let events = take_u32(body)?;
    let pieces = take(body)?;
    let mut carried = Vec::new();
    let mut end = 0_u32;
    for _ in 0..pieces {
        let start = end.checked_add(take_u32(body)?)?;
        end = start.checked_add(take_u32(body)?)?;
        carried.push(start..end);
    }
    let carried = if pieces == 0 { Carried::All } else { Carried::Pieces(carried.into()) };
    Some(Attempt { at, status, events, carried })
}

/// Of format 1 only the last answer is known, and not when it came.
fn read_format_1(body: &[u8], header: &Header) -> Option<(Attempts, Vec<u32>)> {
    let (fixed, positions) = body.split_at_checked(6)?;
    let (made, status) = (u32_at(fixed, 0), u16_at(fixed, 4));
    let last = Attempt { at: header.accepted, status, events: 0, carried: Carried::All };
    let noted = if made == 0 { Vec::new() } else { vec![last] };
    let dead_positions: Vec<u32> = positions.chunks_exact(4).map(|four| u32_at(four, 0)).collect();
    let is_whole = positions.len() == header.events as usize * 4;
    is_whole.then_some((Attempts { made, noted }, dead_positions))
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use proptest::prelude::*;

    use super::super::frame_tests::{bytes_of, hex_of};
    use super::*;

    fn record() -> SettlementRecord {
        let attempt = |at, status, carried| Attempt { at, status, events: 1_000, carried };
        SettlementRecord {
            row: RowName::Usage,
            seq: 7,
            events: 0,
            settled_at: 5_000,
            attempts: Attempts {
                made: 3,
                noted: vec![
                    attempt(4_000, 503, Carried::All),
                    attempt(4_900, 422, Carried::of(once(0..5), 8)),
                    attempt(5_000, 200, Carried::of([0..1, 2..4, 6..7], 8)),
                ],
            },
            dead_positions: vec![1, 4],
        }
    }

    /// The bytes of each format, written down: a change of this test is a change of the format, and needs a new number.
    #[test]
    fn every_format_stays_readable() {
        let format_2 = "534c4a460202020007000000000000000200000000000100881300000000000000000000000000001f0000001f000000\
                        364484f80303e807f703e8070064a603e80701000500c801e807030001010202010103";
        assert_eq!(hex_of(&record().encode()), format_2);
        assert_eq!(SettlementRecord::decode(&bytes_of(format_2)).unwrap(), record());

        let format_1 = "534c4a460102020007000000000000000200000000000100881300000000000000000000000000000e0000000e000000\
                        4dc7c40d03000000c8000100000004000000";
        let read = SettlementRecord::decode(&bytes_of(format_1)).unwrap();
        assert_eq!((read.seq, read.settled_at, read.attempts.made), (7, 5_000, 3));
        assert_eq!((read.attempts.noted[0].status, read.dead_positions), (200, vec![1, 4]));
    }

    #[test]
    fn the_settlement_of_an_event_alone_that_was_taken_at_once_is_small() {
        let took = Attempt { at: 1_700_000_000_000, status: 200, events: 100, carried: Carried::All };
        let attempts = Attempts { made: 1, noted: vec![took] };
        let unsent = SettlementRecord::unsent(RowName::Usage, 7, 1_700_000_000_020);
        let body = SettlementRecord { attempts, ..unsent }.encode().len() - super::super::frame::HEADER_BYTES;
        assert_eq!(body, 7, "a byte more than format 1, which knew no time");
    }

    fn carried() -> impl Strategy<Value = Carried> {
        let pieces = prop::collection::vec((0_u32..5, 1_u32..9), 1..40);
        let pieces = pieces.prop_map(|pieces| {
            let mut end = 0;
            let ranges: Vec<_> = pieces
                .into_iter()
                .map(|(gap, len)| {
                    end += gap + len;
                    end - len..end
                })
                .collect();
            Carried::of(ranges, 10_000)
        });
        prop_oneof![Just(Carried::All), pieces]
    }

    fn attempt() -> impl Strategy<Value = (u64, u16, u32, Carried)> {
        (any::<u32>().prop_map(u64::from), any::<u16>(), any::<u32>(), carried())
    }

    proptest! {
        #[test]
        fn settlements_come_back_as_they_were_stored(
            seq in 0..1_u64 << 63, events in any::<u32>(), settled_at in (1_u64 << 33)..(1_u64 << 60), made in any::<u32>(),
            noted in prop::collection::vec(attempt(), 0..9), mut dead_positions in prop::collection::vec(any::<u32>(), 0..20),
        ) {
            dead_positions.sort_unstable();
            let noted = noted.into_iter().map(|(before, status, events, carried)| {
                Attempt { at: settled_at - before, status, events, carried }
            });
            let attempts = Attempts { made, noted: noted.collect() };
            let record = SettlementRecord { row: RowName::Usage, seq, events, settled_at, attempts, dead_positions };
            prop_assert_eq!(SettlementRecord::decode(&record.encode()).unwrap(), record);
        }

        #[test]
        fn arbitrary_payloads_never_panic_and_ask_for_no_memory(
            payload in prop::collection::vec(any::<u8>(), 0..60), events in any::<u32>(),
        ) {
            let header = Header { events, ..Header::of_one(Kind::Settlement, RowName::Usage, 7, &payload) };
            drop(SettlementRecord::decode(&encode_frame(&header, &payload)));
        }
    }
}
