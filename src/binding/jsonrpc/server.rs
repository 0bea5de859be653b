//! The JSON-RPC side that is called.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use tokio::time::timeout;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::JSON;
use crate::a2a::{self, Agent, Binding, Call, Dialect, Fault, Operation, Params, Reason, Reply};
use crate::binding::events::{self, Envelope, Events, KEEP_ALIVE};
use crate::binding::{Arrival, Edge, unread};
use crate::codec::jsonrpc::{Id, Rejected, read_request, write_fault, write_result};
use crate::codec::{self, schema, sse};
use crate::net::budget::keeping;
use crate::net::{BoxError, collect};
use crate::telemetry::Form;

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
            Ok((id, call)) if call.operation.is_streaming() => self.stream(id, call).await,
            Ok((id, call)) => self.once(&id, call).await,
            Err(Rejected { id, operation, fault }) => {
                self.edge.metrics.refused(self.edge.direction, &fault);
                let streaming = operation.is_some_and(Operation::is_streaming);
                if streaming { self.refuse_stream(id, fault) } else { self.refuse(&id, &fault) }
            }
        }
    }

    async fn read<B>(&self, request: Request<B>, arrival: Arrival) -> Result<(Id, Call), Rejected>
    where
        B: HttpBody<Error: Into<BoxError>> + Unpin,
    {
        let (head, body) = request.into_parts();
        let (body, held) = self.edge.requests.count(body);
        let body = collect(body, self.edge.limit).await;
        let body =
            body.map_err(|error| Rejected { id: Id::null(), operation: None, fault: unread(&error) })?;
        self.edge.metrics.count(self.edge.direction, Form::Json, body.len());
        let request = read_request(&body, self.edge.limit)?;
        let call = Call {
            operation: request.operation,
            // It counts until nobody needs it any more.
            body: keeping(request.body, held),
            params: Params::from_headers(&head.headers),
            binding: Binding::Jsonrpc,
            dialect: Dialect::V1_0,
            agent: arrival.agent,
            peer: arrival.peer,
            base: arrival.base,
            deadline: None,
        };
        Ok((request.id, call))
    }

    async fn once(&self, id: &Id, call: Call) -> Response<Body> {
        let operation = call.operation;
        match self.agent.clone().oneshot(call).await {
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
    async fn stream(&self, id: Id, call: Call) -> Response<Body> {
        let operation = call.operation;
        let mut reply = self.agent.clone().oneshot(call).boxed();
        match timeout(KEEP_ALIVE, &mut reply).await {
            Ok(Ok(reply)) => {
                let params = reply.params.clone();
                self.events(id, operation, &params, events::of(reply))
            }
            Ok(Err(fault)) if fault.http().is_some() => self.refuse(&id, &fault),
            Ok(Err(fault)) => {
                let params = fault.params().clone();
                self.events(id, operation, &params, stream::iter([Err(fault)]).boxed())
            }
            Err(_) => self.events(id, operation, &Params::default(), later(reply)),
        }
    }

    fn refuse_stream(&self, id: Id, fault: Fault) -> Response<Body> {
        self.events(
            id,
            Operation::SendStreamingMessage,
            &Params::default(),
            stream::iter([Err(fault)]).boxed(),
        )
    }

    fn events(&self, id: Id, operation: Operation, params: &Params, events: Events) -> Response<Body> {
        events::respond(Called { id, operation }, params, events, self.edge.clone())
    }
}

/// What was called, as each event of the answer repeats it.
struct Called {
    id: Id,
    operation: Operation,
}

impl Envelope for Called {
    fn message(&self, wire: &[u8], text: &mut Vec<u8>) -> Result<(), codec::Error> {
        let message = schema::response(self.operation);
        sse::write_event(text, |out| write_result(&self.id, message, wire, out))
    }

    fn fault(&self, fault: &Fault, text: &mut Vec<u8>) {
        let written = sse::write_event(text, |out| {
            out.extend_from_slice(&fault_text(&self.id, fault));
            Ok::<_, Infallible>(())
        });
        debug_assert!(written.is_ok());
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

/// The events of a reply that is not there yet.
fn later(reply: BoxFuture<'static, Result<Reply, Fault>>) -> Events {
    let events = reply.map(|reply| match reply {
        Ok(reply) => events::of(reply),
        Err(fault) => stream::iter([Err(fault)]).boxed(),
    });
    events.flatten_stream().boxed()
}
