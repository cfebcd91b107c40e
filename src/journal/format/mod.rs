//! How it looks on disk, to the byte: frames, settlements, index files and the mark.

mod decimal;
pub(super) mod frame;
#[cfg(test)]
mod frame_tests;
mod high_water;
mod settlement_record;
mod volume_index;

pub(super) use decimal::Decimal;
pub(super) use frame::{
    BODY_BYTES_MAX, FrameError, Header, Kind, NewBlock, RowName, STORED_BYTES_EVER, decode_block,
    decode_frame, encode_block, read_header, source_in, u32_at,
};
#[cfg(test)]
pub(super) use frame::{HEADER_BYTES, STORED_BYTES_MAX};
pub(super) use high_water::HighWater;
pub(super) use settlement_record::SettlementRecord;
pub(super) use volume_index::{BlockEntry, Inventory, VolumeIndex};
