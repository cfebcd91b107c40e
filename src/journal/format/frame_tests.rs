//! The frame, held to its drawing and to the bytes of every format.

use proptest::prelude::*;

use super::frame::*;
use crate::journal::source::Source;
use crate::metrics::Listener;

fn block<'a>(text: &'a [u8], ends: &'a [u32]) -> NewBlock<'a> {
    NewBlock {
        row: RowName::Usage,
        seq: 7,
        accepted: 1_000,
        due: 2_000,
        from_intake: false,
        text,
        ends,
        sources: &[],
        times: &[],
        goes_on: false,
    }
}

pub(super) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn noise(len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

#[test]
fn an_event_of_a_megabyte_is_cut_into_parts_that_sled_keeps_inline() {
    let text = noise(1 << 20);
    let ends = [1 << 20];
    let frames = encode_block(&block(&text, &ends));
    assert!(frames.len() > 16);
    assert!(frames.iter().all(|frame| frame.len() <= STORED_BYTES_MAX));
    let (header, block) = decode_block(&frames).unwrap();
    assert_eq!(header.events, 1);
    assert_eq!(block.event(0), Some(text.as_slice()));
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let frames = encode_block(&block(b"{\"a\":1}{\"b\":2}", &[7, 14]));
    let [frame] = frames.as_slice() else { panic!("one frame expected") };
    for at in 0..frame.len() * 8 {
        let mut damaged = frame.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert!(decode_block(&[damaged]).is_err(), "bit {at}");
    }
}

#[test]
fn parts_of_different_blocks_are_not_joined() {
    let text = noise(100_000);
    let ends = [100_000];
    let one = encode_block(&block(&text, &ends));
    let other = encode_block(&NewBlock { seq: 8, ..block(&text, &ends) });
    assert_eq!(decode_block(&[&one[0], &other[1]]).unwrap_err(), FrameError::Damaged);
    assert_eq!(decode_block(&[&one[0]]).unwrap_err(), FrameError::Damaged);
    assert_eq!(decode_block(&[&one[1], &one[0]]).unwrap_err(), FrameError::Damaged);
}

#[test]
fn a_frame_of_a_newer_format_says_so() {
    let mut frame = encode_block(&block(b"{}", &[2])).remove(0);
    frame[4] = 3;
    assert_eq!(decode_frame(&frame).unwrap_err(), FrameError::Damaged, "only a bit that flipped");
    let checksum = checksum_of(&frame).unwrap();
    frame[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(decode_frame(&frame).unwrap_err(), FrameError::NewerFormat(3));
}

/// The bytes of each format, written down: a change of this test is a change of the format, and needs a new number.
#[test]
fn every_format_stays_readable() {
    let sources = [Some(Source::Listener(Listener::Datagram)), None];
    let new = NewBlock { sources: &sources, ..block(b"{\"a\":1}{}", &[7, 9]) };
    let format_2 = "534c4a460201020007000000000000000200000000000100e803000000000000d0070000000000001100000011000000\
                    00c1a1e907000030020000007b2261223a317d7b7d";
    assert_eq!(hex_of(&encode_block(&new).remove(0)), format_2);
    let (header, read) = decode_block(&[bytes_of(format_2)]).unwrap();
    assert_eq!((header.format, header.text_bytes(), read.event(0)), (2, 9, Some(&b"{\"a\":1}"[..])));
    assert_eq!([0, 1, 2].map(|position| read.source(position)), [sources[0], None, None]);
    assert_eq!([0, 1].map(|position| read.accepted_at(position)), [1_000, 1_000]);
    let timed = encode_block(&NewBlock { times: &[0x0102_0304, 0x0708_090a], ..new });
    assert_eq!((timed[0][7], &timed[0][HEADER_BYTES + 8..][..8]), (4, &[4, 3, 2, 1, 10, 9, 8, 7][..]));
    let (header, read) = decode_block(&timed).unwrap();
    assert_eq!((header.text_bytes(), read.event(1)), (9, Some(&b"{}"[..])));
    assert_eq!([0, 1].map(|position| read.accepted_at(position)), [0x0102_0304 + 1_000, 0x0708_090a + 1_000]);

    let format_1 = "534c4a460101020007000000000000000100000000000100e803000000000000d0070000000000000b0000000b000000\
                    c60db30a070000007b2261223a317d";
    let (header, read) = decode_block(&[bytes_of(format_1)]).unwrap();
    assert_eq!((header.format, header.seq, header.accepted, header.due), (1, 7, 1_000, 2_000));
    assert_eq!((read.event(0), read.source(0)), (Some(&b"{\"a\":1}"[..]), None));
}

/// The tables of docs/durability.md below this heading: offset, bytes and meaning of each row.
pub(super) fn table_of(heading: &str) -> Vec<(usize, usize, String)> {
    let page = include_str!("../../../docs/durability.md");
    let section = page.split(&format!("\n### {heading}\n")).nth(1).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [offset, bytes, meaning] = cells.as_slice() else { panic!("{line}") };
            Some((offset.parse().ok()?, bytes.parse().unwrap_or(0), (*meaning).to_owned()))
        })
        .collect()
}

/// Every field of the table lies where the one before it ends, and holds what it says in these bytes.
pub(super) fn assert_as_drawn(heading: &str, bytes: &[u8], fields: &[(&str, u64)]) {
    let rows = table_of(heading);
    assert_eq!(rows.len(), fields.len(), "{heading}: {rows:?}");
    let mut end = 0;
    for ((offset, len, meaning), (name, value)) in rows.iter().zip(fields) {
        assert_eq!(*offset, end, "{heading}: {meaning}");
        assert!(meaning.starts_with(name), "{heading}: {meaning}, not {name}");
        let field = &bytes[*offset..offset + len];
        let number = field.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        // Longer fields than a number are zero.
        assert!(*len <= 8 || field.iter().all(|byte| *byte == 0), "{heading}: {meaning}");
        assert_eq!(number, *value, "{heading}: {meaning}");
        end += len;
    }
}

#[test]
fn a_frame_is_as_the_page_on_durability_draws_it() {
    let magic = u64::from(u32_at(&MAGIC, 0));
    let new = NewBlock { from_intake: true, times: &[1, 0x0506_0708], ..block(b"{\"a\":1}{}", &[7, 9]) };
    let frame = encode_block(&new).remove(0);
    let checksum = u64::from(checksum_of(&frame).unwrap());
    let fields = [
        ("magic `SLJF`", magic),
        ("format", u64::from(FORMAT)),
        ("kind: 1 block, 2 settlement", 1),
        ("row: 1 grants, 2 usage, 3 dead", 2),
        ("flags: 1 the body is LZ4, 2 refused at intake (dead row), 4 each event", 6),
        ("seq of the first event", 7),
        ("events", 2),
        ("part, from 0", 0),
        ("parts", 1),
        ("accepted", 1_000),
        ("due", 2_000),
        ("length of the whole payload", 25),
        ("length of this frame's body", 25),
        ("checksum of bytes 0 to 47", checksum),
        ("body", 0),
    ];
    assert_as_drawn("A frame", &frame, &fields);
    assert_eq!(table_of("A frame").last().unwrap().0, HEADER_BYTES);
    let page = include_str!("../../../docs/durability.md");
    assert!(page.contains(&format!("at most {STORED_BYTES_MAX} bytes")), "the largest stored value");
    let roads: Vec<String> =
        (0..16).filter_map(|code| Some(format!("{code} {}", Source::from_code(code)?.as_str()))).collect();
    assert!(page.contains(&format!("Roads: {}; 0 is not known.", roads.join(", "))), "{roads:?}");
}

proptest! {
    #[test]
    fn blocks_come_back_as_they_were_stored(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 1..50),
        seq in 0..=SEQ_MAX, accepted in any::<u64>(), due in any::<u64>(), timed in any::<bool>(), goes_on in any::<bool>(),
    ) {
        let mut ends = Vec::new();
        let mut joined = Vec::new();
        for text in &texts {
            joined.extend_from_slice(text);
            ends.push(u32::try_from(joined.len()).unwrap());
        }
        let road = |at: usize| Source::from_code(u8::try_from(at % 16).unwrap());
        let sources: Vec<Option<Source>> = (0..texts.len()).map(road).collect();
        let times: Vec<u32> = (0_u32..).map(|at| at * 7).take(if timed { texts.len() } else { 0 }).collect();
        let new = NewBlock {
            row: RowName::Grants, seq, accepted, due, from_intake: false, text: &joined, ends: &ends, sources: &sources,
            times: &times, goes_on,
        };
        let (header, block) = decode_block(&encode_block(&new)).unwrap();
        prop_assert_eq!((header.seq, header.accepted, header.due, header.goes_on), (seq, accepted, due, goes_on));
        prop_assert_eq!(header.text_bytes(), joined.len() as u64);
        prop_assert_eq!(block.len(), texts.len());
        for (position, text) in texts.iter().enumerate() {
            prop_assert_eq!(block.event(position), Some(text.as_slice()));
            prop_assert_eq!(block.source(position), sources[position]);
            let after = times.get(position).copied().unwrap_or_default();
            prop_assert_eq!(block.accepted_at(position), accepted.saturating_add(u64::from(after)));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode_frame(&bytes).is_err());
        let mut with_magic = MAGIC.to_vec();
        with_magic.extend_from_slice(&bytes);
        prop_assert!(decode_block(&[with_magic]).is_err());
    }
}
