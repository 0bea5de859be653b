//! The `dragoman-controller` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    dragoman::cli::controller::main()
}
