//! sledge as its users meet it: the real binary, real sockets, real sled, and Polar as its simulator.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

mod command_line;
mod configuration;
mod dead_letters;
mod delivered;
mod delivery;
mod dev_process;
mod durability;
mod fake_polar;
mod first_minute;
mod isolation;
mod listeners;
mod one_command;
mod outages;
mod races;
mod readme;
mod run_command;
mod senders;
mod simulator;
mod sledge_process;
mod socket_rights;
mod survival;
mod tidy;
mod tool;
mod trace;
