//! The `dragoman` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Gives memory back after a crowd has left, and takes less time for each call than the C library's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    dragoman::cli::main()
}
