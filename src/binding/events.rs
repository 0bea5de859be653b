//! A stream of events being written as server-sent events, with comments while there is none.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue, Response, header};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::{EVENT_STREAM, Edge, TOGETHER};
use crate::a2a::{self, Dialect, Event, Fault, Params, Reason, Reply};
use crate::codec::{self, sse};
use crate::net::budget::keeping;
use crate::telemetry::Form;

/// How long a stream may be silent: clients built on httpx give up after 5 seconds.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(4);

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) type Events = BoxStream<'static, Result<Event, Fault>>;

/// How a binding writes its events.
pub(super) trait Envelope: Send + Unpin + 'static {
    /// Writes the event of a message in canonical form.
    fn message(&self, wire: &[u8], text: &mut Vec<u8>) -> Result<(), codec::Error>;

    /// Writes the event of a fault, which ends the stream.
    fn fault(&self, fault: &Fault, text: &mut Vec<u8>);
}

/// The events of a reply to a streaming call.
pub(super) fn of(reply: Reply) -> Events {
    match reply.body {
        a2a::Body::Events(events) => events,
        a2a::Body::Once(_) => {
            let fault = Fault::new(Reason::Internal, "one answer came where a stream was due");
            stream::iter([Err(fault)]).boxed()
        }
    }
}

/// The fault of a stream that ends before it has begun.
pub(super) fn empty() -> Fault {
    Fault::new(Reason::StreamBroken, "the agent ended the stream without an event")
}

/// A response whose body is that stream.
pub(super) fn respond(
    envelope: impl Envelope,
    dialect: Dialect,
    params: &Params,
    events: Events,
    edge: Edge,
) -> Response<tonic::body::Body> {
    let silence = Box::pin(sleep(KEEP_ALIVE));
    let writer = Writer { envelope, events: Some(events), empty: true, silence, edge };
    let mut response = Response::new(tonic::body::Body::new(writer));
    let headers = response.headers_mut();
    params.append_for(dialect, headers);
    headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The text of a stream. Events that are ready together leave together: each piece costs a write to the socket.
struct Writer<E> {
    envelope: E,
    /// `None` once it is over.
    events: Option<Events>,
    /// Whether nothing was written yet: some clients break on a stream without an event.
    empty: bool,
    silence: Pin<Box<Sleep>>,
    edge: Edge,
}

impl<E: Envelope> Writer<E> {
    /// Writes all events that are there; none, and the stream waits or is over.
    fn gather(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        let (mut text, mut wires) = (Vec::new(), Vec::new());
        while text.len() < TOGETHER
            && let Some(events) = &mut self.events
            && let Poll::Ready(event) = events.poll_next_unpin(cx)
        {
            let written = match event {
                Some(Ok(Event::Data(wire))) => {
                    let written = self.data(&wire, &mut text);
                    wires.push(wire);
                    written
                }
                Some(Err(fault)) => Err(fault),
                Some(Ok(Event::End(_))) | None if self.empty => Err(empty()),
                Some(Ok(Event::End(_))) | None => {
                    self.events = None;
                    Ok(())
                }
            };
            self.empty = false;
            if let Err(fault) = written {
                self.events = None;
                self.envelope.fault(&fault, &mut text);
            }
        }
        // As long as the text is under way, so is the memory that it was made of.
        (!text.is_empty()).then(|| keeping(text, wires))
    }

    fn data(&self, wire: &[u8], text: &mut Vec<u8>) -> Result<(), Fault> {
        let start = text.len();
        text.reserve(wire.len() * 5 / 4 + 128);
        self.envelope.message(wire, text).map_err(|error| {
            text.truncate(start);
            error.of_reply()
        })
    }
}

impl<E: Envelope> Body for Writer<E> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let text = match self.gather(cx) {
            Some(text) => text,
            None if self.events.is_none() => return Poll::Ready(None),
            None => {
                ready!(self.silence.poll_unpin(cx));
                Bytes::from_static(sse::KEEP_ALIVE)
            }
        };
        self.silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
        self.edge.metrics.count(self.edge.direction, Form::Json, text.len());
        Poll::Ready(Some(Ok(Frame::data(text))))
    }
}
