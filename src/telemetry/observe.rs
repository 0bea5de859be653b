//! The stage that sees each call begin and end, streams included.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;
use tower::service_fn;

use super::metrics::Kind;
use super::{Direction, Form, Metrics, TraceId};
use crate::a2a::{Binding, Body, Call, Dialect, Event, Fault, Name, Operation, Reason, Reply, Stage};
use crate::drain::{Busy, Drain};

/// Counts and logs what passes through to `inner`, and keeps the house from ending before it has.
pub fn observe(mut inner: impl Stage, direction: Direction, metrics: Metrics, drain: Drain) -> impl Stage {
    service_fn(move |call: Call| {
        let mut record = Record::begin(&call, direction, metrics.clone(), drain.busy());
        let reply = inner.call(call);
        async move {
            match reply.await {
                Ok(Reply { params, body: Body::Once(bytes) }) => {
                    record.bytes_out = bytes.len();
                    record.end(Outcome::Ok);
                    Ok(Reply { params, body: Body::Once(bytes) })
                }
                Ok(Reply { params, body: Body::Events(events) }) => {
                    record.stream();
                    Ok(Reply { params, body: Body::Events(Watched { events, record }.boxed()) })
                }
                Err(fault) => {
                    record.end(Outcome::Fault(&fault));
                    Err(fault)
                }
            }
        }
    })
}

/// A stream with the record of its call.
struct Watched {
    events: BoxStream<'static, Result<Event, Fault>>,
    record: Record,
}

impl Stream for Watched {
    type Item = Result<Event, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.events.poll_next_unpin(cx);
        match &next {
            Poll::Ready(Some(Ok(Event::Data(bytes)))) => self.record.bytes_out += bytes.len(),
            Poll::Ready(Some(Ok(Event::End(_))) | None) => self.record.end(Outcome::Ok),
            Poll::Ready(Some(Err(fault))) => self.record.end(Outcome::Fault(fault)),
            Poll::Pending => {}
        }
        next
    }
}

/// How a call ended.
enum Outcome<'a> {
    /// The caller left.
    Canceled,
    Fault(&'a Fault),
    Ok,
}

/// What is known of a call that is under way. Dropped without an end, the caller has left.
struct Record {
    direction: Direction,
    operation: Operation,
    binding: Binding,
    dialect: Dialect,
    agent: Name,
    peer: Option<Arc<str>>,
    trace_id: Option<TraceId>,
    started: Instant,
    bytes_in: usize,
    bytes_out: usize,
    streaming: bool,
    ended: bool,
    metrics: Metrics,
    /// While a call is under way the house does not end.
    _busy: Busy,
}

impl Record {
    fn begin(call: &Call, direction: Direction, metrics: Metrics, busy: Busy) -> Self {
        metrics.flow(direction).in_flight.inc();
        metrics.count(direction, Form::Protobuf, call.body.len());
        Self {
            direction,
            operation: call.operation,
            binding: call.binding,
            dialect: call.dialect,
            agent: call.agent.clone(),
            peer: call.peer.clone(),
            trace_id: TraceId::of(call),
            started: Instant::now(),
            bytes_in: call.body.len(),
            bytes_out: 0,
            streaming: false,
            ended: false,
            metrics,
            _busy: busy,
        }
    }

    fn stream(&mut self) {
        self.streaming = true;
        self.metrics.flow(self.direction).streams.inc();
    }

    fn end(&mut self, outcome: Outcome<'_>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let Self { direction, operation, binding, dialect, .. } = *self;
        let elapsed = self.started.elapsed().as_secs_f64();
        let flow = self.metrics.flow(direction);
        flow.in_flight.dec();
        if self.streaming {
            flow.streams.dec();
        }
        flow.duration.observe(elapsed);
        self.metrics.count(direction, Form::Protobuf, self.bytes_out);
        let (code, decision, fault) = match outcome {
            Outcome::Canceled => ("CANCELED", "allowed", None),
            Outcome::Fault(fault) => (fault.row().name, decision(fault), Some(fault)),
            Outcome::Ok => ("OK", "allowed", None),
        };
        let known = fault.is_none_or(|fault| fault.reason() != Reason::AgentNotFound);
        self.metrics.finished(&self.agent, known, Kind { direction, operation, binding, dialect, code });
        if let Some(fault) = fault {
            self.metrics.failed(fault.row().name);
        }
        tracing::info!(
            target: "dragoman::call",
            direction = direction.as_str(),
            peer = self.peer.as_deref(),
            agent = self.agent.as_str(),
            operation = operation.name(),
            binding = binding.as_str(),
            decision,
            reason = fault.map(|fault| fault.row().name),
            cause = fault.and_then(Fault::cause),
            code = fault.map_or(0, Fault::code),
            duration_ms = (elapsed * 1e6).round() / 1e3,
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            trace_id = self.trace_id.as_ref().and_then(TraceId::as_str),
            "Call finished"
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(Outcome::Canceled);
    }
}

/// What policy made of a call that failed.
fn decision(fault: &Fault) -> &'static str {
    let by_the_agent = fault.http().is_some() || fault.agent_error().is_some();
    match fault.reason() {
        Reason::PermissionDenied | Reason::PeerMismatch | Reason::PeerUntrusted if !by_the_agent => "denied",
        _ => "allowed",
    }
}
