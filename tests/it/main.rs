//! sledge as its users meet it: the real binary, real sockets, real sled, and Polar as its simulator.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

mod certificates;
mod chaos;
mod command_line;
mod configuration;
mod connect_proxy;
mod containers;
mod core_dumps;
mod dead_letters;
mod delivered;
mod delivery;
mod dev_process;
mod doctor;
mod durability;
mod examples;
mod fake_polar;
mod fidelity;
mod first_minute;
mod first_mistakes;
mod forward;
mod guide;
mod isolation;
mod journal_proof;
mod journal_tools;
mod listeners;
mod memory;
mod one_command;
mod outages;
mod parity;
mod pending;
mod races;
mod readme;
mod reckoning;
mod recorder;
mod run_command;
mod sdks;
mod sdks_page;
mod senders;
mod simulate_process;
mod simulator;
mod sledge_process;
mod socket_rights;
mod survival;
mod system_calls;
mod tidy;
mod tls_front;
mod token;
mod tool;
mod trace;
mod way_to_polar;
mod wiretap;
