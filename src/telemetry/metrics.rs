//! The metrics of calls. What each call counts is looked up once and then held, so that counting is adding.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::{Direction, Form};
use crate::a2a::{Binding, Dialect, Fault, Name, Operation};

/// Upper bounds of the duration buckets, in seconds.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0];
/// How many agents have a label of their own; further ones are `other`.
const AGENTS_MAX: usize = 500;

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

/// The metrics of calls. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    calls: Family<CallLabels, Counter>,
    duration: Family<FlowLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<FlowLabels, Gauge>,
    streams: Family<FlowLabels, Gauge>,
    bytes: Family<ByteLabels, Counter>,
    faults: Family<FaultLabels, Counter>,
    inbound: Flow,
    outbound: Flow,
    agents: Mutex<Agents>,
}

impl Default for Inner {
    fn default() -> Self {
        let duration = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let (in_flight, streams, bytes) = (Family::default(), Family::default(), Family::default());
        // What is zero now is shown as zero, not left out.
        let flow = |direction| Flow {
            duration: duration.get_or_create_owned(&FlowLabels { direction }),
            in_flight: in_flight.get_or_create_owned(&FlowLabels { direction }),
            streams: streams.get_or_create_owned(&FlowLabels { direction }),
            json: bytes.get_or_create_owned(&ByteLabels { direction, form: "json" }),
            protobuf: bytes.get_or_create_owned(&ByteLabels { direction, form: "protobuf" }),
        };
        let (inbound, outbound) = (flow(Direction::Inbound), flow(Direction::Outbound));
        let (calls, faults) = (Family::default(), Family::default());
        Self {
            calls,
            duration,
            in_flight,
            streams,
            bytes,
            faults,
            inbound,
            outbound,
            agents: Mutex::default(),
        }
    }
}

/// What is counted of calls that go one way.
#[derive(Debug)]
pub(super) struct Flow {
    /// How long calls took, in seconds.
    pub(super) duration: Histogram,
    /// Calls under way.
    pub(super) in_flight: Gauge,
    /// Streams under way.
    pub(super) streams: Gauge,
    json: Counter,
    protobuf: Counter,
}

/// What tells finished calls to one agent apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Kind {
    pub(super) direction: Direction,
    pub(super) operation: Operation,
    pub(super) binding: Binding,
    pub(super) dialect: Dialect,
    /// `OK`, `CANCELED` or the name of a fault's reason.
    pub(super) code: &'static str,
}

/// The agents that have a label of their own, and all others.
#[derive(Debug)]
struct Agents {
    named: HashMap<Arc<str>, Tally>,
    other: Tally,
}

impl Default for Agents {
    fn default() -> Self {
        Self { named: HashMap::new(), other: Tally::of("other".into()) }
    }
}

/// The finished calls to one agent. Its kinds are few enough to be looked through.
#[derive(Debug)]
struct Tally {
    agent: Arc<str>,
    kinds: Vec<(Kind, Counter)>,
}

impl Tally {
    fn of(agent: Arc<str>) -> Self {
        Self { agent, kinds: Vec::new() }
    }

    fn count(&mut self, kind: Kind, calls: &Family<CallLabels, Counter>) {
        if let Some((_, counter)) = self.kinds.iter().find(|(counted, _)| *counted == kind) {
            counter.inc();
            return;
        }
        let counter = calls.get_or_create_owned(&CallLabels {
            direction: kind.direction,
            agent: Arc::clone(&self.agent),
            operation: kind.operation.name(),
            binding: kind.binding.as_str(),
            dialect: kind.dialect.as_str(),
            code: kind.code,
        });
        counter.inc();
        self.kinds.push((kind, counter));
    }
}

impl Metrics {
    /// Registers all of them, and what was built.
    pub fn register(&self, registry: &mut Registry) {
        let Inner { calls, duration, in_flight, streams, bytes, faults, .. } = &*self.0;
        registry.register("dragoman_calls", "Finished calls", calls.clone());
        registry.register("dragoman_call_duration_seconds", "How long calls took", duration.clone());
        registry.register("dragoman_calls_in_flight", "Calls under way", in_flight.clone());
        registry.register("dragoman_streams_open", "Streams under way", streams.clone());
        registry.register("dragoman_bytes", "Bytes of bodies", bytes.clone());
        registry.register("dragoman_faults", "Calls that failed", faults.clone());
        registry.register(
            "dragoman_build",
            "What was built",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
    }

    /// Counts the bytes of a body.
    pub fn count(&self, direction: Direction, form: Form, bytes: usize) {
        let flow = self.flow(direction);
        let counter = match form {
            Form::Json => &flow.json,
            Form::Protobuf => &flow.protobuf,
        };
        counter.inc_by(bytes as u64);
    }

    /// Counts a request that was refused before it became a call, and logs it.
    pub fn refused(&self, direction: Direction, fault: &Fault) {
        let reason = fault.row().name;
        self.failed(reason);
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
        self.failed("DATA_TRUNCATED");
    }

    /// Counts a fault.
    pub(super) fn failed(&self, reason: &'static str) {
        self.0.faults.get_or_create(&FaultLabels { reason }).inc();
    }

    /// What is counted of calls that go this way.
    pub(super) fn flow(&self, direction: Direction) -> &Flow {
        match direction {
            Direction::Inbound => &self.0.inbound,
            Direction::Outbound => &self.0.outbound,
        }
    }

    /// Counts a finished call. An agent's label is its name while it is one of few and `known` to exist, so that callers
    /// cannot fill the memory with names.
    pub(super) fn finished(&self, agent: &Name, known: bool, kind: Kind) {
        let calls = &self.0.calls;
        let mut agents = self.0.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = agents.named.get_mut(agent.as_str()) {
            tally.count(kind, calls);
        } else if known && agents.named.len() < AGENTS_MAX {
            let label: Arc<str> = agent.as_str().into();
            let tally = agents.named.entry(Arc::clone(&label)).or_insert_with(|| Tally::of(label));
            tally.count(kind, calls);
        } else {
            agents.other.count(kind, calls);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::a2a::Home;

    fn page(metrics: &Metrics) -> String {
        let (mut registry, mut page) = (Registry::default(), String::new());
        metrics.register(&mut registry);
        encode(&mut page, &registry).unwrap();
        page
    }

    fn name(text: &str) -> Name {
        Name::parse(text, &Home { namespace: "travel".to_owned(), mesh: "east".to_owned() }).unwrap()
    }

    fn kind(code: &'static str) -> Kind {
        Kind {
            direction: Direction::Inbound,
            operation: Operation::GetTask,
            binding: Binding::Grpc,
            dialect: Dialect::V1_0,
            code,
        }
    }

    fn series(agent: &str, code: &str) -> String {
        format!(
            "dragoman_calls_total{{direction=\"inbound\",agent=\"{agent}\",operation=\"GetTask\",\
             binding=\"GRPC\",dialect=\"1.0\",code=\"{code}\"}}"
        )
    }

    #[test]
    fn clones_count_together_and_each_call_under_its_own_labels() {
        let metrics = Metrics::default();
        let currency = name("currency");
        for code in ["OK", "OK", "TASK_NOT_FOUND"] {
            metrics.clone().finished(&currency, true, kind(code));
        }
        metrics.finished(&currency, true, Kind { binding: Binding::Jsonrpc, ..kind("OK") });
        metrics.count(Direction::Outbound, Form::Json, 3);
        metrics.count(Direction::Outbound, Form::Json, 4);
        let page = page(&metrics);
        let jsonrpc = series("currency.travel.east", "OK").replace("GRPC", "JSONRPC");
        for sample in [
            series("currency.travel.east", "OK") + " 2",
            series("currency.travel.east", "TASK_NOT_FOUND") + " 1",
            jsonrpc + " 1",
            "dragoman_bytes_total{direction=\"outbound\",form=\"json\"} 7".to_owned(),
        ] {
            assert!(page.contains(&(sample.clone() + "\n")), "{sample}: {page}");
        }
    }

    #[test]
    fn only_so_many_agents_have_a_label_and_only_those_that_exist() {
        let metrics = Metrics::default();
        metrics.finished(&name("nobody"), false, kind("AGENT_NOT_FOUND"));
        for n in 0..AGENTS_MAX {
            metrics.finished(&name(&format!("agent-{n}")), true, kind("OK"));
        }
        metrics.finished(&name("one-more"), true, kind("OK"));
        // Who has a label keeps it, whatever becomes of the agent.
        metrics.finished(&name("agent-7"), false, kind("AGENT_NOT_FOUND"));
        let page = page(&metrics);
        assert!(!page.contains("nobody") && !page.contains("one-more"));
        for (agent, code) in [
            ("other", "AGENT_NOT_FOUND"),
            ("other", "OK"),
            ("agent-7.travel.east", "AGENT_NOT_FOUND"),
            ("agent-499.travel.east", "OK"),
        ] {
            assert!(page.contains(&(series(agent, code) + " 1\n")), "{agent} {code}");
        }
    }
}
