//! Lines as JSON: `{"time":…,"level":…,` and the event's fields in their order. Each is written once, into the buffer that
//! it leaves in.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::DROPPED;
use super::moment::{self, digits};
use super::writer::Lines;
use crate::codec::text::write_string;

/// What most lines fit into: that of a finished call has some 400 bytes.
const USUAL: usize = 512;

/// Sends every event away as a line.
#[derive(Debug)]
pub(super) struct Json {
    lines: Lines,
    now: fn() -> SystemTime,
}

impl Json {
    pub(super) fn new(lines: Lines, now: fn() -> SystemTime) -> Self {
        Self { lines, now }
    }
}

impl<S: Subscriber> Layer<S> for Json {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let mut out = Vec::with_capacity(USUAL);
        let mut line = Line::begin(&mut out, (self.now)(), level);
        event.record(&mut line);
        line.end();
        self.lines.push(&out, level <= Level::WARN);
    }
}

/// Writes the line that says how many others are missing.
pub(super) fn dropped(out: &mut Vec<u8>, now: SystemTime, lines: u64) {
    let mut line = Line::begin(out, now, Level::WARN);
    line.text("message", DROPPED);
    line.number("lines", lines);
    line.end();
}

/// A line that is being written.
struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    fn begin(out: &'a mut Vec<u8>, now: SystemTime, level: Level) -> Self {
        out.extend_from_slice(b"{\"time\":\"");
        moment::write(out, now);
        out.extend_from_slice(match level {
            Level::ERROR => b"\",\"level\":\"error\"",
            Level::WARN => b"\",\"level\":\"warn\"",
            Level::INFO => b"\",\"level\":\"info\"",
            Level::DEBUG => b"\",\"level\":\"debug\"",
            Level::TRACE => b"\",\"level\":\"trace\"",
        });
        Self(out)
    }

    fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }

    /// The name of a member. It is an identifier and needs no escapes.
    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, value: impl itoa::Integer) {
        self.name(name);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_string(self.0, value);
    }
}

impl Visit for Line<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.name(field.name());
        match thousandths(value) {
            Some(whole) => {
                self.0.extend_from_slice(itoa::Buffer::new().format(whole / 1000).as_bytes());
                let mut fraction = *b".000";
                digits(&mut fraction[1..], whole % 1000);
                self.0.extend_from_slice(&fraction);
            }
            None => self.0.extend_from_slice(ryu_js::Buffer::new().format_finite(value).as_bytes()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field.name());
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field.name());
        write_string(self.0, "");
        // A value that cannot be shown is shown as far as it goes.
        write!(Pieces(self.0), "{value:?}").unwrap_or_default();
    }
}

/// A number that three digits after the point tell exactly, in thousandths: microseconds in milliseconds are such, and
/// cheaper to write than other doubles.
fn thousandths(value: f64) -> Option<u64> {
    let whole = (value * 1e3).round();
    let exact = (0.0..1e15).contains(&whole) && whole / 1e3 == value;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an integer below 2^53")]
    exact.then_some(whole as u64)
}

/// Lengthens the string at the end of a line.
struct Pieces<'a>(&'a mut Vec<u8>);

impl fmt::Write for Pieces<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        // Each piece comes with quotes: those between two go.
        self.0.pop();
        let seam = self.0.len();
        write_string(self.0, piece);
        self.0.remove(seam);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::writer::tests::{Memory, start};
    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(86_400)
    }

    /// What is written while `log` runs.
    fn written(log: impl FnOnce()) -> String {
        let memory = Memory::default();
        let (lines, writer) = start(memory.clone());
        let registry = tracing_subscriber::registry().with(Json::new(lines, now));
        tracing::subscriber::with_default(registry, log);
        drop(writer);
        memory.text()
    }

    #[test]
    fn a_line_is_one_json_object_with_the_fields_at_the_top() {
        let line = written(|| {
            let error = "no\u{1}\"way\"";
            tracing::info!(agent = "a\nb", code = -32001, peer = None::<&str>, ms = f64::NAN, %error, "Call finished");
        });
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "Call finished");
        assert_eq!((line["agent"].as_str(), line["code"].as_i64()), (Some("a\nb"), Some(-32001)));
        assert_eq!((line["error"].as_str(), line["level"].as_str()), (Some("no\u{1}\"way\""), Some("info")));
        assert!(line.get("peer").is_none() && line.get("ms").is_none() && line["time"].is_string());
    }

    #[test]
    fn a_line_is_written_to_the_letter() {
        let line = written(|| {
            let (list, empty) = (["a", "\\"], "");
            tracing::warn!(ms = 1001.02, whole = 2.0, tiny = 1e-7, minus = -1.5, n = 7_u64, yes = true, ?list, %empty, "{} pieces", 2);
        });
        let expected = "{\"time\":\"1970-01-02T00:00:00.000000Z\",\"level\":\"warn\",\"message\":\"2 pieces\",\
            \"ms\":1001.020,\"whole\":2.000,\"tiny\":1e-7,\"minus\":-1.5,\"n\":7,\"yes\":true,\"list\":\"[\\\"a\\\", \\\"\\\\\\\\\\\"]\",\"empty\":\"\"}\n";
        assert_eq!(line, expected);
    }

    proptest! {
        #[test]
        fn every_number_is_written_so_that_it_is_read_again(value: f64, micros in 0..u64::from(u32::MAX)) {
            for value in [value, micros as f64 / 1e3].into_iter().filter(|value| value.is_finite()) {
                let line = written(|| tracing::info!(value));
                let written = line.split("\"value\":").nth(1).and_then(|rest| rest.strip_suffix("}\n"));
                prop_assert_eq!(written.and_then(|text| text.parse().ok()), Some(value), "{}", line);
                prop_assert!(serde_json::from_str::<Value>(&line).is_ok(), "{}", line);
            }
        }
    }

    #[test]
    fn each_level_has_its_name() {
        let lines = written(|| {
            tracing::error!("");
            tracing::warn!("");
            tracing::info!("");
            tracing::debug!("");
            tracing::trace!("");
        });
        let level = |line: &str| serde_json::from_str::<Value>(line).unwrap()["level"].clone();
        let levels: Vec<Value> = lines.lines().map(level).collect();
        assert_eq!(levels, ["error", "warn", "info", "debug", "trace"]);
    }

    #[test]
    fn missing_lines_have_a_line_of_their_own() {
        let mut out = Vec::new();
        dropped(&mut out, now(), 3);
        let expected = "{\"time\":\"1970-01-02T00:00:00.000000Z\",\"level\":\"warn\",\
            \"message\":\"Log lines were dropped\",\"lines\":3}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
