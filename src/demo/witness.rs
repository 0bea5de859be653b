//! What is known of each hop, from what every operator sees: the sidecars' log, their metrics and their admin pages.

use std::collections::VecDeque;
use std::fmt;

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Failure;
use super::caller::Caller;
use super::stage::Sidecar;

/// How many lines wait to be read; further ones are lost, and what they would have shown is then missed.
const LINES_MAX: usize = 4096;
/// How many warnings are kept.
const WARNINGS_MAX: usize = 20;
const FINISHED: &str = "dragoman::call";

/// A line of the log: its target and its fields, as the log's JSON has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Map<String, Value>);

/// A finished call, as one sidecar saw it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// `outbound` at the caller's sidecar, `inbound` at the agent's.
    pub(super) direction: String,
    /// The agent's full name.
    pub(super) agent: String,
    /// What was asked.
    pub(super) operation: String,
    /// Who asked, as the handshake has shown.
    pub(super) peer: Option<String>,
    /// `allowed` or `denied`.
    pub(super) decision: String,
    /// Why it failed, if it did.
    pub(super) reason: Option<String>,
    /// The same in full, for operators only.
    pub(super) cause: Option<String>,
    /// How long it took, in milliseconds.
    pub(super) millis: f64,
    /// The protobuf bytes of the question and of the answer.
    pub(super) bytes: u64,
    /// The trace that it belongs to.
    pub(super) trace: Option<String>,
}

/// Collects the log of all sidecars in this process.
#[derive(Debug)]
pub(super) struct Witness {
    lines: mpsc::Receiver<Line>,
    /// What went wrong, as the log told it.
    warnings: VecDeque<String>,
}

impl Witness {
    /// Begins to listen. From now on the log of this process goes nowhere else.
    pub(super) fn start() -> Result<Self, Failure> {
        let (lines_tx, lines) = mpsc::channel(LINES_MAX);
        let started = tracing_subscriber::registry().with(Ear(lines_tx)).try_init();
        started.map_err(|error| Failure::Unexpected(format!("the log cannot be read: {error}")))?;
        Ok(Self { lines, warnings: VecDeque::new() })
    }

    /// All calls of one trace that have finished since the last time that any were asked for.
    pub(super) fn calls(&mut self, trace: &str) -> Vec<Seen> {
        let mut calls = Vec::new();
        while let Ok(line) = self.lines.try_recv() {
            calls.extend(self.read(&line));
        }
        calls.retain(|call| call.trace.as_deref() == Some(trace));
        calls
    }

    /// The next call to finish, as its agent's sidecar sees it; one that fails, as its caller's sidecar sees it too.
    pub(super) async fn next(&mut self) -> Option<Seen> {
        loop {
            let line = self.lines.recv().await?;
            let seen = self.read(&line);
            if let Some(seen) = seen.filter(|seen| seen.direction == "inbound" || seen.reason.is_some()) {
                return Some(seen);
            }
        }
    }

    /// What has gone wrong so far, as the log tells it.
    pub(super) fn warnings(mut self) -> VecDeque<String> {
        while let Ok(line) = self.lines.try_recv() {
            self.read(&line);
        }
        self.warnings
    }

    fn read(&mut self, line: &Line) -> Option<Seen> {
        let seen = line.finished();
        if seen.is_none() {
            if self.warnings.len() == WARNINGS_MAX {
                self.warnings.pop_front();
            }
            self.warnings.push_back(line.to_string());
        }
        seen
    }
}

/// Hears what is logged: every finished call, and whatever is a warning or worse.
struct Ear(mpsc::Sender<Line>);

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == FINISHED || *metadata.level() <= Level::WARN {
            let mut line = Line::default();
            line.0.insert("target".to_owned(), metadata.target().into());
            event.record(&mut line);
            // Who does not read the log in time misses lines, and then says which call it has not seen.
            drop(self.0.try_send(line));
        }
    }
}

impl Line {
    fn text(&self, key: &str) -> Option<String> {
        self.0.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    fn finished(&self) -> Option<Seen> {
        if self.text("target")? != FINISHED {
            return None;
        }
        let bytes = |key| self.0.get(key).and_then(Value::as_u64).unwrap_or_default();
        Some(Seen {
            direction: self.text("direction")?,
            agent: self.text("agent")?,
            operation: self.text("operation")?,
            peer: self.text("peer"),
            decision: self.text("decision")?,
            reason: self.text("reason"),
            cause: self.text("cause"),
            millis: self.0.get("duration_ms").and_then(Value::as_f64).unwrap_or_default(),
            bytes: bytes("bytes_in") + bytes("bytes_out"),
            trace: self.text("trace_id"),
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Value::Object(self.0.clone()))
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

/// The bytes of bodies that went out through a sidecar so far, in both forms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bytes {
    /// On localhost.
    pub(super) json: u64,
    /// Between the pods.
    pub(super) protobuf: u64,
}

impl Bytes {
    /// Reads a sidecar's metrics.
    pub(super) async fn of(sidecar: &Sidecar) -> Result<Self, Failure> {
        let page = Caller::new(sidecar.admin("/metrics")?).get().await?;
        Ok(Self::read(&page))
    }

    fn read(page: &str) -> Self {
        // What was never counted is not there yet.
        let of = |form: &str| {
            let labels = ["dragoman_bytes_total{", "direction=\"outbound\"", form];
            let line = page.lines().find(|line| labels.iter().all(|label| line.contains(label)));
            line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
        };
        Self { json: of("form=\"json\""), protobuf: of("form=\"protobuf\"") }
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { json: self.json + other.json, protobuf: self.protobuf + other.protobuf }
    }

    /// What has come on top since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            json: self.json.saturating_sub(before.json),
            protobuf: self.protobuf.saturating_sub(before.protobuf),
        }
    }
}

/// Who a sidecar is, as its own front page says.
pub(super) async fn identity(sidecar: &Sidecar) -> Result<String, Failure> {
    let page = Caller::new(sidecar.admin("/")?).get().await?;
    let id = page.lines().find_map(|line| line.strip_prefix("identity: "));
    id.map(str::to_owned).ok_or_else(|| Failure::Unexpected("a sidecar does not say who it is".to_owned()))
}

/// Where a sidecar has found an agent.
pub(super) async fn found(sidecar: &Sidecar, agent: &str) -> Result<String, Failure> {
    let page = Caller::new(sidecar.admin("/endpoints")?).get().await?;
    let missing = || Failure::Unexpected(format!("{agent} is not among the endpoints of its caller"));
    let page: Value = serde_json::from_str(&page).map_err(|_| missing())?;
    let endpoint = page.as_array().into_iter().flatten().find(|endpoint| endpoint["name"] == agent);
    let address = endpoint.and_then(|endpoint| endpoint["addresses"][0].as_str());
    address.map(str::to_owned).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_call_is_read_from_the_log() {
        let (lines_tx, lines) = mpsc::channel(4);
        let mut witness = Witness { lines, warnings: VecDeque::new() };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Ear(lines_tx)), || {
            tracing::info!(target: "dragoman", "Listening");
            tracing::info!(
                target: FINISHED,
                direction = "inbound",
                agent = "a.b.c",
                operation = "GetTask",
                peer = Some("spiffe://c/x"),
                decision = "denied",
                cause = None::<&str>,
                duration_ms = 1.5,
                bytes_in = 3_usize,
                bytes_out = 4_usize,
                trace_id = Some("t"),
                "Call finished"
            );
            tracing::warn!("Something is odd");
        });
        let calls = witness.calls("t");
        let [call] = &calls[..] else { panic!("{calls:?}") };
        assert_eq!((call.bytes, call.peer.as_deref()), (7, Some("spiffe://c/x")));
        assert_eq!((call.decision.as_str(), &call.cause), ("denied", &None));
        assert!((call.millis - 1.5).abs() < f64::EPSILON);
        let warnings = witness.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("Something is odd"), "{warnings:?}");
    }

    #[test]
    fn bytes_are_read_from_the_metrics() {
        let page = "# TYPE dragoman_bytes counter\n\
            dragoman_bytes_total{direction=\"inbound\",form=\"json\"} 9\n\
            dragoman_bytes_total{direction=\"outbound\",form=\"json\"} 120\n\
            dragoman_bytes_total{direction=\"outbound\",form=\"protobuf\"} 50\n";
        let now = Bytes::read(page);
        assert_eq!(now, Bytes { json: 120, protobuf: 50 });
        assert_eq!(now.since(Bytes { json: 20, protobuf: 50 }), Bytes { json: 100, protobuf: 0 });
        assert_eq!(Bytes::read("# TYPE dragoman_bytes counter\n"), Bytes::default());
    }
}
