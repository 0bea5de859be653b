//! `dragoman demo`: where it is shown, and how.

use std::io::{self, IsTerminal as _};

use super::{Demo, Failure, environment};
use crate::demo::{self, Options};
use crate::identity::Clock;

/// Shows the demo. Without a terminal nobody is there to try anything, so that it ends by itself.
pub(super) fn run(args: &Demo) -> Result<(), Failure> {
    let terminal = io::stdout().is_terminal();
    let options = Options {
        // See no-color.org.
        colored: terminal && environment("NO_COLOR").is_none_or(|value| value.is_empty()),
        program: std::env::args().next().unwrap_or_else(|| "dragoman".to_owned()),
        stay: terminal && !args.once,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let shown = runtime.block_on(demo::run(&options, &Clock::system(), Box::new(io::stdout())));
    shown.map_err(|failure| Failure::operation(format!("the demo has failed: {failure}")))
}
