//! Log lines on stderr: JSON with the fields at the top, or text for people.

mod json;
mod moment;
mod writer;

use std::io::{self, IsTerminal as _};
use std::time::SystemTime;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::json::Json;
use self::writer::{Pace, Writer};

/// What is said when lines were lost.
const DROPPED: &str = "Log lines were dropped";

/// How lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The owner of the log. Dropped, it writes what is still to be written; lines that come later are lost.
#[derive(Debug)]
#[must_use = "the log ends with it"]
pub struct Log {
    _writer: Writer,
}

/// Sends everything from `level` up to stderr, for as long as the owner lives. A second call changes nothing.
///
/// # Errors
/// If no thread can be started.
pub fn start(format: Format, level: Level) -> io::Result<Log> {
    let dropped = move |out: &mut Vec<u8>, lines| match format {
        Format::Json => json::dropped(out, now(), lines),
        Format::Text => {
            moment::write(out, now());
            out.extend_from_slice(format!("  WARN {DROPPED} lines={lines}\n").as_bytes());
        }
    };
    let (lines, writer) = Writer::start(io::stderr(), Pace::default(), dropped)?;
    let registry = tracing_subscriber::registry();
    // Our own lines follow the level; libraries speak only when something is wrong. A filter over everything is asked
    // once for each place in the code, one for a layer each time.
    let filter = Targets::new()
        .with_target("dragoman", level)
        .with_default(LevelFilter::from_level(Level::WARN.min(level)));
    let started = match format {
        Format::Json => registry.with(Json::new(lines, now)).with(filter).try_init(),
        Format::Text => {
            let colored = io::stderr().is_terminal();
            let text = layer().with_ansi(colored).with_target(false).with_writer(lines);
            registry.with(text).with(filter).try_init()
        }
    };
    if let Err(error) = started {
        tracing::debug!(%error, "Logging was started before");
    }
    Ok(Log { _writer: writer })
}

/// When a line is written.
#[expect(clippy::disallowed_methods, reason = "the edge where the log reads the clock")]
fn now() -> SystemTime {
    SystemTime::now()
}
