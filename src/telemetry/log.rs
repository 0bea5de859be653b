//! Log lines on stderr: JSON with the fields at the top, or text for people.

use std::fmt;
use std::io::IsTerminal as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt::layer};

use crate::codec::text::write_string;

/// How lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Sends everything from `level` up to stderr. A second call changes nothing.
pub fn start(format: Format, level: Level) {
    let registry = tracing_subscriber::registry();
    // Our own lines follow the level; libraries speak only when something is wrong.
    let filter = tracing_subscriber::filter::Targets::new()
        .with_target("dragoman", level)
        .with_default(LevelFilter::from_level(Level::WARN.min(level)));
    let started = match format {
        Format::Json => registry
            .with(layer().event_format(Json).with_writer(std::io::stderr).with_filter(filter))
            .try_init(),
        Format::Text => {
            let colored = std::io::stderr().is_terminal();
            registry
                .with(
                    layer()
                        .with_ansi(colored)
                        .with_target(false)
                        .with_writer(std::io::stderr)
                        .with_filter(filter),
                )
                .try_init()
        }
    };
    if let Err(error) = started {
        tracing::debug!(%error, "Logging was started before");
    }
}

/// `{"time":…,"level":…,` and the event's fields in their order.
#[derive(Debug)]
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"time\":\"")?;
        SystemTime.format_time(&mut writer)?;
        let mut line = Line { out: writer, result: Ok(()) };
        line.out.write_str("\"")?;
        line.field("level", format_args!("\"{}\"", event.metadata().level().as_str().to_ascii_lowercase()));
        event.record(&mut line);
        line.result?;
        line.out.write_str("}\n")
    }
}

/// A line that is being written, up to the first error.
struct Line<'w> {
    out: Writer<'w>,
    result: fmt::Result,
}

impl Line<'_> {
    /// One member; `value` is JSON already.
    fn field(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.result = self.result.and_then(|()| write!(self.out, ",\"{name}\":{value}"));
    }
}

impl Visit for Line<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.field(field.name(), format_args!("{value}"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field.name(), format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field.name(), format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field.name(), format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Vec::with_capacity(value.len() + 2);
        write_string(&mut text, value);
        self.field(field.name(), format_args!("{}", String::from_utf8_lossy(&text)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_json_object_with_the_fields_at_the_top() {
        let memory = Memory::default();
        let writer = memory.clone();
        let layer = layer().event_format(Json).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let error = "no\u{1}\"way\"";
            tracing::info!(agent = "a\nb", code = -32001, peer = None::<&str>, ms = f64::NAN, %error, "Call finished");
        });
        let line: Value = serde_json::from_slice(&memory.0.lock().unwrap()).unwrap();
        assert_eq!(line["message"], "Call finished");
        assert_eq!((line["agent"].as_str(), line["code"].as_i64()), (Some("a\nb"), Some(-32001)));
        assert_eq!((line["error"].as_str(), line["level"].as_str()), (Some("no\u{1}\"way\""), Some("info")));
        assert!(line.get("peer").is_none() && line.get("ms").is_none() && line["time"].is_string());
    }
}
