//! The JSON-RPC side that is called.

use std::borrow::Cow;
use std::convert::Infallible;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::{FutureExt as _, StreamExt as _};
use http::request::Parts;
use http::{Response, StatusCode, header};
use http_body::Body as HttpBody;
use tokio::time::timeout;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::JSON;
use crate::a2a::{self, A2A_VERSION, Agent, Binding, Call, Dialect, Fault, Operation, Params, Reason, Reply};
use crate::binding::events::{self, Envelope, Events, KEEP_ALIVE};
use crate::binding::{Arrival, Edge, spoken, unread};
use crate::codec::jsonrpc::{Id, Rejected, Request, read_request, write_fault, write_result};
use crate::codec::{self, Form, sse};
use crate::net::budget::keeping;
use crate::net::{BoxError, collect};
use crate::telemetry;

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
    pub async fn serve<B>(&self, request: http::Request<B>, arrival: Arrival) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        match self.read(request, arrival).await {
            Ok((called, call)) if call.operation.is_streaming() => self.stream(called, call).await,
            Ok((called, call)) => self.once(&called, call).await,
            Err(Rejected { id, operation, dialect, fault }) => {
                self.edge.metrics.refused(self.edge.direction, &fault);
                let operation = operation.unwrap_or(Operation::SendMessage);
                let called = Called { id, form: super::form(dialect), operation };
                if operation.is_streaming() {
                    self.refuse_stream(called, fault)
                } else {
                    self.refuse(&called, &fault)
                }
            }
        }
    }

    async fn read<B>(&self, request: http::Request<B>, arrival: Arrival) -> Result<(Called, Call), Rejected>
    where
        B: HttpBody<Error: Into<BoxError>> + Unpin,
    {
        let (head, body) = request.into_parts();
        let (body, held) = self.edge.requests.count(body);
        let body = collect(body, self.edge.limit).await;
        let body = body.map_err(|error| Rejected::nameless(unread(&error)))?;
        self.edge.metrics.count(self.edge.direction, telemetry::Form::Json, body.len());
        let Request { id, operation, form, body } = read_request(&body, self.edge.limit)?;
        if let Err(fault) = check_version(&head) {
            return Err(Rejected { id, operation: Some(operation), dialect: form.dialect(), fault });
        }
        let mut params = Params::from_headers(&head.headers);
        params.speak(Dialect::V1_0);
        let call = Call {
            operation,
            // It counts until nobody needs it any more.
            body: keeping(body, held),
            params,
            binding: Binding::Jsonrpc,
            dialect: form.dialect(),
            agent: arrival.agent,
            peer: arrival.peer,
            base: arrival.base,
            deadline: None,
        };
        Ok((Called { id, operation, form }, call))
    }

    async fn once(&self, called: &Called, call: Call) -> Response<Body> {
        match self.agent.clone().oneshot(call).await {
            Ok(Reply { params, body: a2a::Body::Once(wire) }) => {
                let mut json = Vec::with_capacity(wire.len() * 5 / 4 + 128);
                match called.write(&wire, &mut json) {
                    // As long as the text is under way, so is the memory that it was made of.
                    Ok(()) => self.json(StatusCode::OK, called, &params, keeping(json, wire)),
                    Err(error) => self.refuse(called, &error.of_reply()),
                }
            }
            Ok(_) => {
                self.refuse(called, &Fault::new(Reason::Internal, "a stream came where one answer was due"))
            }
            Err(fault) => self.refuse(called, &fault),
        }
    }

    fn json(&self, status: StatusCode, called: &Called, params: &Params, json: Bytes) -> Response<Body> {
        self.edge.metrics.count(self.edge.direction, telemetry::Form::Json, json.len());
        let mut response = Response::new(Body::new(http_body_util::Full::new(json)));
        *response.status_mut() = status;
        params.append_for(called.form.dialect(), response.headers_mut());
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        response
    }

    fn refuse(&self, called: &Called, fault: &Fault) -> Response<Body> {
        let status = fault.http().unwrap_or(StatusCode::OK);
        self.json(status, called, fault.params(), called.fault_text(fault).into())
    }

    /// Answers with a stream. Its head is sent as soon as the agent answers, or before the caller loses patience.
    async fn stream(&self, called: Called, call: Call) -> Response<Body> {
        let mut reply = self.agent.clone().oneshot(call).boxed();
        match timeout(KEEP_ALIVE, &mut reply).await {
            Ok(Ok(reply)) => {
                let params = reply.params.clone();
                self.events(called, &params, events::of(reply))
            }
            Ok(Err(fault)) if fault.http().is_some() => self.refuse(&called, &fault),
            Ok(Err(fault)) => self.refuse_stream(called, fault),
            Err(_) => self.events(called, &Params::default(), later(reply)),
        }
    }

    fn refuse_stream(&self, called: Called, fault: Fault) -> Response<Body> {
        let params = fault.params().clone();
        self.events(called, &params, stream::iter([Err(fault)]).boxed())
    }

    fn events(&self, called: Called, params: &Params, events: Events) -> Response<Body> {
        let dialect = called.form.dialect();
        events::respond(called, dialect, params, events, self.edge.clone())
    }
}

/// What was called: every answer repeats the id, in the dialect of the method.
struct Called {
    id: Id,
    operation: Operation,
    form: Form,
}

impl Called {
    fn write(&self, wire: &[u8], json: &mut Vec<u8>) -> Result<(), codec::Error> {
        write_result(&self.id, self.form, self.operation, wire, json)
    }

    fn fault_text(&self, fault: &Fault) -> Vec<u8> {
        let (mut json, dialect) = (Vec::new(), self.form.dialect());
        if let Err(error) = write_fault(&self.id, dialect, fault, &mut json) {
            json.clear();
            let written = write_fault(&self.id, dialect, &error.of_reply(), &mut json);
            debug_assert!(written.is_ok(), "a fault of ours has no data that could be wrong");
        }
        json
    }
}

impl Envelope for Called {
    fn message(&self, wire: &[u8], text: &mut Vec<u8>) -> Result<(), codec::Error> {
        sse::write_event(text, |out| self.write(wire, out))
    }

    fn fault(&self, fault: &Fault, text: &mut Vec<u8>) {
        let written = sse::write_event(text, |out| {
            out.extend_from_slice(&self.fault_text(fault));
            Ok::<_, Infallible>(())
        });
        debug_assert!(written.is_ok());
    }
}

/// The method tells the dialect; the header, or a parameter of the query, only whether anybody here speaks that version.
fn check_version(head: &Parts) -> Result<(), Fault> {
    let header = head.headers.get(A2A_VERSION).map(|version| String::from_utf8_lossy(version.as_bytes()));
    let query = || {
        let pairs = head.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
        let mut versions = pairs.filter(|(name, _)| A2A_VERSION.as_str().eq_ignore_ascii_case(name));
        versions.next().map(|(_, version)| version.into())
    };
    let version: Cow<'_, str> = header.or_else(query).unwrap_or_default();
    spoken(&version).map(drop)
}

/// The events of a reply that is not there yet.
fn later(reply: BoxFuture<'static, Result<Reply, Fault>>) -> Events {
    let events = reply.map(|reply| match reply {
        Ok(reply) => events::of(reply),
        Err(fault) => stream::iter([Err(fault)]).boxed(),
    });
    events.flatten_stream().boxed()
}
