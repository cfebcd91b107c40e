//! The whole journal, over a store that loses power and over real sled.

mod damage;
mod damage_model;
mod fixtures;
mod golden;
mod journal;
mod model;
mod reading;

pub(super) use fixtures::{
    PATIENCE, crash, damage_block, delivered, keep, keep_blocks, letter, numbered, on_disk, over,
    over_uncopied, read_all, seqs_in, settings, texts_of, try_over, twelve_letters, usage,
};
