//! The JSON-RPC side that is called.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::StreamBody;
use tokio::time::timeout;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::{EVENT_STREAM, JSON};
use crate::a2a::{self, Agent, Binding, Call, Event, Fault, Operation, Params, Reason, Reply};
use crate::binding::{Arrival, Edge, unread};
use crate::codec::jsonrpc::{Id, Rejected, read_request, write_fault, write_result};
use crate::codec::{schema, sse};
use crate::net::budget::{Held, keeping};
use crate::net::{BoxError, collect};
use crate::telemetry::{Direction, Form, Metrics};

/// How long a stream may be silent: clients built on httpx give up after 5 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

type Events = BoxStream<'static, Result<Event, Fault>>;

/// Turns JSON-RPC requests into calls to an agent.
#[derive(Clone, Debug)]
pub struct Server {
    edge: Edge,
    agent: Agent,
}

impl Server {
    /// Calls go to `agent`.
    pub fn new(edge: Edge, agent: Agent) -> Self {
        Self { edge, agent }
    }

    /// Answers one POST. What can go wrong is told in JSON-RPC with HTTP status 200; only an agent's own HTTP status
    /// is kept.
    pub async fn serve<B>(&self, request: Request<B>, arrival: Arrival) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        match self.read(request, arrival).await {
            Ok((id, call, held)) if call.operation.is_streaming() => self.stream(id, call, held).await,
            Ok((id, call, held)) => self.once(&id, call, held).await,
            Err(Rejected { id, operation, fault }) => {
                self.edge.metrics.refused(self.edge.direction, &fault);
                let streaming = operation.is_some_and(Operation::is_streaming);
                if streaming { self.refuse_stream(id, fault) } else { self.refuse(&id, &fault) }
            }
        }
    }

    async fn read<B>(&self, request: Request<B>, arrival: Arrival) -> Result<(Id, Call, Held), Rejected>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let (head, body) = request.into_parts();
        let (body, held) = self.edge.budget.count(body);
        let body = collect(Body::new(body), self.edge.limit).await;
        let body =
            body.map_err(|error| Rejected { id: Id::null(), operation: None, fault: unread(&error) })?;
        self.edge.metrics.count(self.edge.direction, Form::Json, body.len());
        let request = read_request(&body, self.edge.limit)?;
        let call = Call {
            operation: request.operation,
            body: request.body.into(),
            params: Params::from_headers(&head.headers),
            binding: Binding::Jsonrpc,
            agent: arrival.agent,
            peer: arrival.peer,
            base: arrival.base,
            deadline: None,
        };
        Ok((request.id, call, held))
    }

    async fn once(&self, id: &Id, call: Call, held: Held) -> Response<Body> {
        let operation = call.operation;
        let reply = self.agent.clone().oneshot(call).await;
        drop(held);
        match reply {
            Ok(Reply { params, body: a2a::Body::Once(wire) }) => {
                let mut json = Vec::with_capacity(wire.len() * 5 / 4 + 128);
                match write_result(id, schema::response(operation), &wire, &mut json) {
                    // As long as the text is under way, so is the memory that it was made of.
                    Ok(()) => self.json(StatusCode::OK, &params, keeping(json, wire)),
                    Err(error) => self.refuse(id, &error.of_reply()),
                }
            }
            Ok(_) => self.refuse(id, &Fault::new(Reason::Internal, "a stream came where one answer was due")),
            Err(fault) => self.refuse(id, &fault),
        }
    }

    fn json(&self, status: StatusCode, params: &Params, json: Bytes) -> Response<Body> {
        self.edge.metrics.count(self.edge.direction, Form::Json, json.len());
        let mut response = Response::new(Body::new(http_body_util::Full::new(json)));
        *response.status_mut() = status;
        params.append_to(response.headers_mut());
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        response
    }

    fn refuse(&self, id: &Id, fault: &Fault) -> Response<Body> {
        self.json(fault.http().unwrap_or(StatusCode::OK), fault.params(), fault_text(id, fault).into())
    }

    /// Answers with a stream. Its head is sent as soon as the agent answers, or before the caller loses patience.
    async fn stream(&self, id: Id, call: Call, held: Held) -> Response<Body> {
        let operation = call.operation;
        let mut reply = self
            .agent
            .clone()
            .oneshot(call)
            .map(move |reply| {
                drop(held);
                reply
            })
            .boxed();
        match timeout(KEEP_ALIVE, &mut reply).await {
            Ok(Ok(reply)) => {
                let params = reply.params.clone();
                self.events(id, operation, params, events(reply))
            }
            Ok(Err(fault)) if fault.http().is_some() => self.refuse(&id, &fault),
            Ok(Err(fault)) => {
                let params = fault.params().clone();
                self.events(id, operation, params, stream::iter([Err(fault)]).boxed())
            }
            Err(_) => self.events(id, operation, Params::default(), later(reply)),
        }
    }

    fn refuse_stream(&self, id: Id, fault: Fault) -> Response<Body> {
        self.events(
            id,
            Operation::SendStreamingMessage,
            Params::default(),
            stream::iter([Err(fault)]).boxed(),
        )
    }

    fn events(&self, id: Id, operation: Operation, params: Params, events: Events) -> Response<Body> {
        let writer = Writer {
            id,
            operation,
            events: Some(events),
            empty: true,
            direction: self.edge.direction,
            metrics: self.edge.metrics.clone(),
        };
        let mut response = Response::new(Body::new(StreamBody::new(writer.frames())));
        let headers = response.headers_mut();
        params.append_to(headers);
        headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        response
    }
}

fn fault_text(id: &Id, fault: &Fault) -> Vec<u8> {
    let mut json = Vec::new();
    if let Err(error) = write_fault(id, fault, &mut json) {
        json.clear();
        let written = write_fault(id, &error.of_reply(), &mut json);
        debug_assert!(written.is_ok(), "a fault of ours has no data that could be wrong");
    }
    json
}

fn events(reply: Reply) -> Events {
    match reply.body {
        a2a::Body::Events(events) => events,
        a2a::Body::Once(_) => {
            let fault = Fault::new(Reason::Internal, "one answer came where a stream was due");
            stream::iter([Err(fault)]).boxed()
        }
    }
}

/// The events of a reply that is not there yet.
fn later(reply: BoxFuture<'static, Result<Reply, Fault>>) -> Events {
    let events = reply.map(|reply| match reply {
        Ok(reply) => events(reply),
        Err(fault) => stream::iter([Err(fault)]).boxed(),
    });
    events.flatten_stream().boxed()
}

/// A stream of events being written as text.
struct Writer {
    id: Id,
    operation: Operation,
    /// `None` once it is over.
    events: Option<Events>,
    /// Whether nothing was sent yet: some clients break on a stream without an event.
    empty: bool,
    direction: Direction,
    metrics: Metrics,
}

impl Writer {
    fn frames(self) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
        stream::unfold(self, |mut writer| async move {
            let text = writer.next().await?;
            writer.metrics.count(writer.direction, Form::Json, text.len());
            Some((Ok(Frame::data(text)), writer))
        })
    }

    /// The next piece of text: an event, or a comment if there is none for a while.
    async fn next(&mut self) -> Option<Bytes> {
        let Ok(event) = timeout(KEEP_ALIVE, self.events.as_mut()?.next()).await else {
            return Some(Bytes::from_static(sse::KEEP_ALIVE));
        };
        let written = match event {
            Some(Ok(Event::Data(wire))) => self.data(wire),
            Some(Err(fault)) => Err(fault),
            Some(Ok(Event::End(_))) | None if self.empty => {
                Err(Fault::new(Reason::StreamBroken, "the agent ended the stream without an event"))
            }
            Some(Ok(Event::End(_))) | None => return None,
        };
        self.empty = false;
        Some(written.unwrap_or_else(|fault| {
            self.events = None;
            let mut text = Vec::new();
            let written = sse::write_event(&mut text, |out| {
                out.extend_from_slice(&fault_text(&self.id, &fault));
                Ok::<_, Infallible>(())
            });
            debug_assert!(written.is_ok());
            text.into()
        }))
    }

    fn data(&self, wire: Bytes) -> Result<Bytes, Fault> {
        let mut text = Vec::with_capacity(wire.len() * 5 / 4 + 128);
        sse::write_event(&mut text, |out| {
            write_result(&self.id, schema::response(self.operation), &wire, out)
        })
        .map_err(|error| error.of_reply())?;
        Ok(keeping(text, wire))
    }
}
