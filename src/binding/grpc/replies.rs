//! A reply as the frames of a gRPC response: its messages, and the status in the trailers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};

use super::server::{status, trailers};
use super::{GRPC_STATUS, SMALL, framed, put_framed};
use crate::a2a::{self, Event, Fault, Params};
use crate::binding::{Edge, TOGETHER};

/// The frames of a reply. Events that are ready together leave together: each frame costs as much as a small event.
pub(super) struct Replies {
    /// What has yet to be sent of the messages that are there.
    ready: VecDeque<Bytes>,
    /// What is yet to come; `None` once that is over.
    events: Option<BoxStream<'static, Result<Event, Fault>>>,
    /// The status, once it is known; then it is sent last.
    status: Option<HeaderMap>,
    edge: Edge,
    foreign: bool,
}

impl Replies {
    pub(super) fn new(body: a2a::Body, edge: Edge, foreign: bool) -> Self {
        let (ready, events, status) = match body {
            a2a::Body::Once(message) => (framed(message).collect(), None, Some(ok(&Params::default()))),
            a2a::Body::Events(events) => (VecDeque::new(), Some(events), None),
        };
        Self { ready, events, status, edge, foreign }
    }

    /// Waits for events, and takes all that are there.
    fn gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut together = BytesMut::new();
        while let Some(events) = &mut self.events {
            let event = match events.poll_next_unpin(cx) {
                Poll::Ready(event) => event,
                Poll::Pending if together.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            };
            match event {
                Some(Ok(Event::Data(message))) if message.len() <= SMALL => {
                    put_framed(&message, &mut together)
                }
                Some(Ok(Event::Data(message))) => {
                    self.put(mem::take(&mut together));
                    self.ready.extend(framed(message));
                    break;
                }
                Some(Ok(Event::End(params))) => self.end(ok(&params)),
                Some(Err(fault)) => self.end(trailers(&status(&self.edge, &fault, self.foreign))),
                None => self.end(ok(&Params::default())),
            }
            if together.len() >= TOGETHER {
                break;
            }
        }
        self.put(together);
        Poll::Ready(())
    }

    fn put(&mut self, together: BytesMut) {
        if !together.is_empty() {
            self.ready.push_back(together.freeze());
        }
    }

    fn end(&mut self, status: HeaderMap) {
        self.events = None;
        self.status = Some(status);
    }
}

impl Body for Replies {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ready.is_empty() && self.events.is_some() {
            ready!(self.gather(cx));
        }
        let frame = match self.ready.pop_front() {
            Some(piece) => Some(Frame::data(piece)),
            None => self.status.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }
}

/// The trailers of a call that went well.
fn ok(params: &Params) -> HeaderMap {
    let mut trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    params.append_to(&mut trailers);
    trailers
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyStream;

    use super::*;
    use crate::a2a::Reason;
    use crate::net::budget::Budget;
    use crate::telemetry::{Direction, Metrics};

    /// The lengths of the pieces, and the status behind them.
    async fn frames(events: Vec<Result<Event, Fault>>) -> (Vec<usize>, HeaderMap) {
        let edge = Edge {
            direction: Direction::Inbound,
            limit: 1 << 20,
            requests: Budget::new(1 << 20),
            replies: Budget::new(1 << 20),
            metrics: Metrics::default(),
        };
        let body = a2a::Body::Events(stream::iter(events).boxed());
        let whole = Replies::new(body, edge, false);
        let (mut lengths, mut status) = (Vec::new(), HeaderMap::new());
        let mut frames = BodyStream::new(whole);
        while let Some(frame) = frames.next().await {
            match frame.unwrap().into_data() {
                Ok(data) => lengths.push(data.len()),
                Err(frame) => status = frame.into_trailers().unwrap(),
            }
        }
        (lengths, status)
    }

    fn event(length: usize) -> Result<Event, Fault> {
        Ok(Event::Data(Bytes::from(vec![7; length])))
    }

    #[tokio::test]
    async fn small_events_leave_together_and_large_ones_apart_but_in_order() {
        let (lengths, status) = frames(vec![event(10), event(20), event(SMALL + 1), event(30)]).await;
        assert_eq!(lengths, [5 + 10 + 5 + 20, 5, SMALL + 1, 5 + 30]);
        assert_eq!(status[GRPC_STATUS], "0");
        let (lengths, _) = frames((0..6).map(|_| event(SMALL - 5)).collect()).await;
        assert_eq!(lengths, [TOGETHER, 2 * SMALL], "not all at once");
    }

    #[tokio::test]
    async fn what_was_there_before_a_fault_is_sent_before_it() {
        let fault = Fault::new(Reason::StreamBroken, "it broke");
        let (lengths, status) = frames(vec![event(10), Err(fault)]).await;
        assert_eq!((lengths, &status[GRPC_STATUS]), (vec![15], &HeaderValue::from_static("14")));
    }
}
