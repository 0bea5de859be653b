//! The `dragoman` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    dragoman::cli::main()
}
