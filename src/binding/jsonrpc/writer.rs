//! A stream of events being written as server-sent events, with comments while there is none.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::server::fault_text;
use crate::a2a::{Event, Fault, Operation, Reason};
use crate::binding::{Edge, TOGETHER};
use crate::codec::jsonrpc::{Id, write_result};
use crate::codec::{schema, sse};
use crate::net::budget::keeping;
use crate::telemetry::Form;

/// How long a stream may be silent: clients built on httpx give up after 5 seconds.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(4);

pub(super) type Events = BoxStream<'static, Result<Event, Fault>>;

/// The text of a stream. Events that are ready together leave together: each piece costs a write to the socket.
pub(super) struct Writer {
    id: Id,
    operation: Operation,
    /// `None` once it is over.
    events: Option<Events>,
    /// Whether nothing was written yet: some clients break on a stream without an event.
    empty: bool,
    silence: Pin<Box<Sleep>>,
    edge: Edge,
}

impl Writer {
    pub(super) fn new(id: Id, operation: Operation, events: Events, edge: Edge) -> Self {
        let silence = Box::pin(sleep(KEEP_ALIVE));
        Self { id, operation, events: Some(events), empty: true, silence, edge }
    }

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
                Some(Ok(Event::End(_))) | None if self.empty => {
                    Err(Fault::new(Reason::StreamBroken, "the agent ended the stream without an event"))
                }
                Some(Ok(Event::End(_))) | None => {
                    self.events = None;
                    Ok(())
                }
            };
            self.empty = false;
            if let Err(fault) = written {
                self.fault(&fault, &mut text);
            }
        }
        // As long as the text is under way, so is the memory that it was made of.
        (!text.is_empty()).then(|| keeping(text, wires))
    }

    fn data(&self, wire: &[u8], text: &mut Vec<u8>) -> Result<(), Fault> {
        let start = text.len();
        text.reserve(wire.len() * 5 / 4 + 128);
        let message = schema::response(self.operation);
        let written = sse::write_event(text, |out| write_result(&self.id, message, wire, out));
        written.map_err(|error| {
            text.truncate(start);
            error.of_reply()
        })
    }

    /// Writes what ends the stream.
    fn fault(&mut self, fault: &Fault, text: &mut Vec<u8>) {
        self.events = None;
        let written = sse::write_event(text, |out| {
            out.extend_from_slice(&fault_text(&self.id, fault));
            Ok::<_, Infallible>(())
        });
        debug_assert!(written.is_ok());
    }
}

impl Body for Writer {
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
