//! The binary: the command line's result becomes the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    sledge::cli::main(std::env::args_os()).into()
}
