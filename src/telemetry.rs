//! What an operator sees: metrics, and one log line for each finished call. Never a payload, never a credential.

pub mod log;
mod observe;

use std::collections::HashSet;
use std::sync::Arc;

use http::HeaderName;
pub use observe::observe;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::a2a::{Call, Fault, Name};

/// The W3C trace context header.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Upper bounds of the duration buckets, in seconds.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0];
/// How many agents have a label of their own; further ones are `other`.
const AGENTS_MAX: usize = 500;

/// Which way a call goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From a peer to the local agent.
    Inbound,
    /// From the local agent to a peer.
    Outbound,
}

impl Direction {
    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl EncodeLabelValue for Direction {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct CallLabels {
    direction: Direction,
    agent: Arc<str>,
    operation: &'static str,
    binding: &'static str,
    dialect: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct FlowLabels {
    direction: Direction,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ByteLabels {
    direction: Direction,
    form: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct FaultLabels {
    reason: &'static str,
}

/// The form in which bytes are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// JSON text, toward agents.
    Json,
    /// Canonical bytes, between sidecars.
    Protobuf,
}

/// The metrics of calls. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<CallLabels, Counter>,
    duration: Family<FlowLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<FlowLabels, Gauge>,
    streams: Family<FlowLabels, Gauge>,
    bytes: Family<ByteLabels, Counter>,
    faults: Family<FaultLabels, Counter>,
    agents: Arc<std::sync::Mutex<HashSet<Arc<str>>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Family::default(),
            streams: Family::default(),
            bytes: Family::default(),
            faults: Family::default(),
            agents: Arc::default(),
        }
    }
}

impl Metrics {
    /// Registers all of them, and what was built.
    pub fn register(&self, registry: &mut Registry) {
        // What is zero now is shown as zero, not left out.
        for direction in [Direction::Inbound, Direction::Outbound] {
            drop(self.in_flight.get_or_create(&FlowLabels { direction }));
            drop(self.streams.get_or_create(&FlowLabels { direction }));
        }
        registry.register("dragoman_calls", "Finished calls", self.calls.clone());
        registry.register("dragoman_call_duration_seconds", "How long calls took", self.duration.clone());
        registry.register("dragoman_calls_in_flight", "Calls under way", self.in_flight.clone());
        registry.register("dragoman_streams_open", "Streams under way", self.streams.clone());
        registry.register("dragoman_bytes", "Bytes of bodies", self.bytes.clone());
        registry.register("dragoman_faults", "Calls that failed", self.faults.clone());
        registry.register(
            "dragoman_build",
            "What was built",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
    }

    /// Counts the bytes of a body.
    pub fn count(&self, direction: Direction, form: Form, bytes: usize) {
        let form = match form {
            Form::Json => "json",
            Form::Protobuf => "protobuf",
        };
        self.bytes.get_or_create(&ByteLabels { direction, form }).inc_by(bytes as u64);
    }

    /// Counts a request that was refused before it became a call, and logs it.
    pub fn refused(&self, direction: Direction, fault: &Fault) {
        let reason = fault.row().name;
        self.faults.get_or_create(&FaultLabels { reason }).inc();
        tracing::info!(
            target: "dragoman::refused",
            direction = direction.as_str(),
            decision = "refused",
            reason,
            code = fault.code(),
            cause = fault.cause(),
            "Request refused"
        );
    }

    /// Counts an agent's error data that was too large to cross.
    pub fn truncated(&self) {
        self.faults.get_or_create(&FaultLabels { reason: "DATA_TRUNCATED" }).inc();
    }

    /// The label of an agent: its name while it is one of few, so that callers cannot fill the memory with names.
    fn agent(&self, name: &Name, known: bool) -> Arc<str> {
        let mut agents = self.agents.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match agents.get(name.as_str()) {
            Some(agent) => Arc::clone(agent),
            None if known && agents.len() < AGENTS_MAX => {
                let agent: Arc<str> = name.as_str().into();
                agents.insert(Arc::clone(&agent));
                agent
            }
            None => "other".into(),
        }
    }
}

/// The trace that a call belongs to, if it says so: the second part of `traceparent`.
fn trace_id(call: &Call) -> Option<String> {
    let traceparent = call.params.get(&TRACEPARENT)?;
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}
