//! The JSON-RPC side that calls: an agent on plain HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyStream, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tonic::body::Body;
use tower::Service;

use super::{EVENT_STREAM, JSON};
use crate::a2a::{self, A2A_VERSION, Call, Event, Fault, Operation, Params, Reason, Reply};
use crate::binding::Edge;
use crate::codec::jsonrpc::{Id, Outcome, read_reply, write_request};
use crate::codec::{schema, sse};
use crate::net::budget::{Exhausted, Held, keeping};
use crate::net::peers::describe;
use crate::net::{BodyError, collect};
use crate::telemetry::Form;

/// How long a connection to an agent may rest: uvicorn and Node close theirs after five seconds.
const IDLE: Duration = Duration::from_secs(2);

/// A client for plain HTTP/1.1 that gives up connecting after `connect`.
pub fn http_client(connect: Duration) -> legacy::Client<HttpConnector, Body> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(connect));
    connector.set_keepalive(Some(Duration::from_secs(60)));
    legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// Sends calls to an agent.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<HttpConnector, Body>,
    url: Uri,
    edge: Edge,
    next_id: Arc<AtomicU64>,
}

impl Client {
    /// Calls are posted to `url`.
    pub fn new(http: legacy::Client<HttpConnector, Body>, url: Uri, edge: Edge) -> Self {
        Self { http, url, edge, next_id: Arc::default() }
    }

    /// The same client with another URL.
    #[must_use]
    pub fn at(&self, url: Uri) -> Self {
        Self { url, ..self.clone() }
    }

    async fn send(self, call: Call) -> Result<Reply, Fault> {
        let operation = call.operation;
        let request = self.request(call)?;
        let response = self.http.request(request).await.map_err(|error| unreachable(&error))?;
        if operation.is_streaming() && is_event_stream(&response) {
            return Ok(self.events(response, operation));
        }
        let (head, body) = response.into_parts();
        let (body, held) = self.edge.budget.count(body);
        let body = collect(Body::new(body), self.edge.limit).await.map_err(|error| unread(&error))?;
        self.edge.metrics.count(self.edge.direction, Form::Json, body.len());
        let wire = self.answer(&head.headers, head.status, &body, operation)?;
        // It counts until whoever gets it is done with it.
        let wire = keeping(wire, held);
        let body = if operation.is_streaming() {
            let events = [Ok(Event::Data(wire)), Ok(Event::End(Params::default()))];
            a2a::Body::Events(stream::iter(events).boxed())
        } else {
            a2a::Body::Once(wire)
        };
        Ok(Reply { params: Params::from_headers(&head.headers), body })
    }

    fn request(&self, call: Call) -> Result<Request<Body>, Fault> {
        let id = Id::of_number(self.next_id.fetch_add(1, Ordering::Relaxed));
        let mut json = Vec::with_capacity(call.body.len() * 5 / 4 + 256);
        write_request(&id, call.operation, &call.body, &mut json).map_err(|error| error.of_request())?;
        self.edge.metrics.count(self.edge.direction, Form::Json, json.len());
        let mut request = Request::new(Body::new(Full::new(Bytes::from(json))));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        call.params.append_to(headers);
        let accept = if call.operation.is_streaming() { EVENT_STREAM } else { JSON };
        headers.insert(header::ACCEPT, accept);
        headers.insert(header::CONTENT_TYPE, JSON);
        // Servers of the SDKs take a missing version for 0.3.
        headers.entry(A2A_VERSION).or_insert(HeaderValue::from_static("1.0"));
        Ok(request)
    }

    /// The result in an answer of any status: some SDKs send their errors with 4xx and 5xx.
    fn answer(
        &self,
        headers: &HeaderMap,
        status: StatusCode,
        body: &[u8],
        operation: Operation,
    ) -> Result<Vec<u8>, Fault> {
        match read_reply(body, schema::response(operation), self.edge.limit) {
            Ok(Outcome::Result(wire)) if status.is_success() => Ok(wire),
            Ok(Outcome::Error(fault)) => Err(fault.with_params(Params::from_headers(headers))),
            Err(error) if status.is_success() => Err(error.of_reply()),
            Ok(Outcome::Result(_)) | Err(_) => Err(self.refusal(headers, status)),
        }
    }

    /// The fault of an HTTP status that says what JSON-RPC does not.
    fn refusal(&self, headers: &HeaderMap, status: StatusCode) -> Fault {
        let message = format!("the agent answered HTTP {status}");
        let fault = Fault::of_http(status, &message).unwrap_or_else(|| {
            Fault::new(Reason::AgentProtocolError, format!("{message}, and no JSON-RPC")).because(&self.url)
        });
        fault.with_params(Params::from_headers(headers))
    }

    fn events(self, response: Response<hyper::body::Incoming>, operation: Operation) -> Reply {
        let (head, body) = response.into_parts();
        let (body, held) = self.edge.budget.count(body);
        let reader = Reader {
            body: BodyStream::new(Body::new(body)),
            held,
            events: sse::Reader::new(self.edge.limit),
            operation,
            edge: self.edge,
            over: false,
        };
        Reply { params: Params::from_headers(&head.headers), body: a2a::Body::Events(reader.events()) }
    }
}

impl Service<Call> for Client {
    type Response = Reply;
    type Error = Fault;
    type Future = BoxFuture<'static, Result<Reply, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.clone().send(call).boxed()
    }
}

fn is_event_stream<B>(response: &Response<B>) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|text| text.as_bytes().starts_with(EVENT_STREAM.as_bytes()))
}

fn unreachable(error: &legacy::Error) -> Fault {
    let fault = Fault::new(Reason::AgentUnreachable, "the agent cannot be reached").because(describe(error));
    if error.is_connect() { fault.never_processed() } else { fault }
}

fn unread(error: &BodyError) -> Fault {
    match error {
        BodyError::Broken(_) => {
            Fault::new(Reason::AgentUnreachable, "the agent broke off its answer").because(error)
        }
        BodyError::Busy(_) | BodyError::TooLarge(_) => crate::binding::unread(error),
    }
}

/// An agent's stream being read.
struct Reader {
    body: BodyStream<Body>,
    /// The memory of the event that is being read.
    held: Held,
    events: sse::Reader,
    operation: Operation,
    edge: Edge,
    over: bool,
}

impl Reader {
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
            match self.body.next().await {
                Some(Ok(frame)) => {
                    if let Some(piece) = frame.data_ref() {
                        self.edge.metrics.count(self.edge.direction, Form::Json, piece.len());
                        self.events.push(piece);
                    }
                }
                Some(Err(error)) => return Err(broken(&error)),
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
        match read_reply(data, schema::response(self.operation), self.edge.limit) {
            Ok(Outcome::Result(wire)) => Ok(Event::Data(keeping(wire, held))),
            Ok(Outcome::Error(fault)) => Err(fault),
            Err(error) => Err(error.of_reply()),
        }
    }
}

fn broken(error: &tonic::Status) -> Fault {
    if let Some(busy) = Exhausted::caused(error) {
        return crate::binding::unread(&BodyError::Busy(busy));
    }
    Fault::new(Reason::StreamBroken, "the agent broke off the stream").because(describe(error))
}

fn too_large(error: sse::TooLarge) -> Fault {
    Fault::new(Reason::MessageTooLarge, format!("the agent sent {error}"))
}
