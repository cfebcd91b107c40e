//! The simulator, held to what is known of Polar line by line, through its own HTTP.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod answers;
mod control;
mod documentation;
mod money;
mod pydantic;
mod schema;
mod throughput;
mod wire;
