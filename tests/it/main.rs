//! sledge as its users meet it: the real binary, real sockets, real sled, and Polar as its simulator.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

mod fake_polar;
mod isolation;
mod listeners;
mod outages;
mod senders;
mod sledge_process;
mod survival;
mod tidy;
