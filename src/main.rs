//! The `cairn` binary: the window, the headless node and the command line. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    cairn::cli::main(std::env::args_os().collect())
}
