//! What an agent on plain HTTP answers: a stream being read, and what can go wrong before that.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{Response, header};
use http_body_util::BodyExt as _;

use super::{EVENT_STREAM, Edge};
use crate::a2a::{Event, Fault, Params, Reason};
use crate::codec::sse;
use crate::net::budget::{Counted, Held, keeping};
use crate::net::http1::{Answer, Unanswered};
use crate::net::{BodyError, describe};
use crate::telemetry::Form;

/// Whether a response is a stream of events.
pub(super) fn is_event_stream<B>(response: &Response<B>) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|text| text.as_bytes().starts_with(EVENT_STREAM.as_bytes()))
}

/// The fault of a request that got no response.
pub(super) fn unreachable(error: &Unanswered) -> Fault {
    let fault = Fault::new(Reason::AgentUnreachable, "the agent cannot be reached").because(describe(error));
    if error.is_never_sent() { fault.never_processed() } else { fault }
}

/// The fault of an answer that could not be read to its end.
pub(super) fn unread(error: &BodyError) -> Fault {
    match error {
        BodyError::Broken(_) => {
            Fault::new(Reason::AgentUnreachable, "the agent broke off its answer").because(error)
        }
        BodyError::Busy(_) | BodyError::TooLarge(_) => crate::binding::unread(error),
    }
}

/// The events of a stream, of which `read` makes canonical bytes.
pub(super) fn events<R>(body: Answer, edge: &Edge, read: R) -> BoxStream<'static, Result<Event, Fault>>
where
    R: Fn(&[u8]) -> Result<Vec<u8>, Fault> + Send + Sync + 'static,
{
    let (body, held) = edge.replies.count(body);
    let events = sse::Reader::new(edge.limit);
    Reader { body, held, events, read, edge: edge.clone(), over: false }.events()
}

/// An agent's stream being read.
struct Reader<R> {
    body: Counted<Answer>,
    /// The memory of the event that is being read.
    held: Held,
    events: sse::Reader,
    read: R,
    edge: Edge,
    over: bool,
}

impl<R: Fn(&[u8]) -> Result<Vec<u8>, Fault> + Send + Sync + 'static> Reader<R> {
    fn events(self) -> BoxStream<'static, Result<Event, Fault>> {
        stream::unfold(self, |mut reader| async move {
            if reader.over {
                return None;
            }
            let event = reader.next().await;
            reader.over = !matches!(event, Ok(Event::Data(_)));
            Some((event, reader))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Event, Fault> {
        loop {
            if let Some(data) = self.events.event().map_err(too_large)? {
                return self.data(&data);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(piece) = frame.data_ref() {
                        self.edge.metrics.count(self.edge.direction, Form::Json, piece.len());
                        self.events.push(piece);
                    }
                }
                Some(Err(error)) => return Err(broken(&error.into())),
                None => {
                    return match self.events.finish().map_err(too_large)? {
                        Some(data) => self.data(&data),
                        None => Ok(Event::End(Params::default())),
                    };
                }
            }
        }
    }

    fn data(&self, data: &[u8]) -> Result<Event, Fault> {
        let held = self.held.split();
        (self.read)(data).map(|wire| Event::Data(keeping(wire, held)))
    }
}

fn broken(error: &BodyError) -> Fault {
    match error {
        BodyError::Broken(error) => {
            Fault::new(Reason::StreamBroken, "the agent broke off the stream").because(describe(&**error))
        }
        error => crate::binding::unread(error),
    }
}

fn too_large(error: sse::TooLarge) -> Fault {
    Fault::new(Reason::MessageTooLarge, format!("the agent sent {error}"))
}
