//! The JSON-RPC side that calls: an agent on plain HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;

use super::{EVENT_STREAM, JSON};
use crate::a2a::{self, Call, Event, Fault, Operation, Params, Reason, Reply};
use crate::binding::Edge;
use crate::card::Spot;
use crate::codec::jsonrpc::{Id, Outcome, read_reply, write_request};
use crate::codec::{schema, sse};
use crate::net::budget::{Counted, Held, keeping};
use crate::net::http1::{self, Answer, Unanswered};
use crate::net::{BodyError, collect, describe};
use crate::telemetry::Form;

/// Sends calls to an agent.
#[derive(Clone, Debug)]
pub struct Client {
    http: http1::Client,
    edge: Edge,
    next_id: Arc<AtomicU64>,
}

impl Client {
    /// Calls go out over `http`.
    pub fn new(http: http1::Client, edge: Edge) -> Self {
        Self { http, edge, next_id: Arc::default() }
    }

    /// Posts a call to where an agent is.
    ///
    /// # Errors
    /// If the agent cannot be reached, breaks off, or answers with an error.
    pub async fn send(&self, call: Call, spot: &Spot) -> Result<Reply, Fault> {
        let (operation, url) = (call.operation, &spot.url);
        let request = self.request(call, url)?;
        let response = self.http.request(request).await.map_err(|error| unreachable(&error))?;
        if operation.is_streaming() && is_event_stream(&response) {
            return Ok(self.events(response, operation));
        }
        let (head, body) = response.into_parts();
        let (body, held) = self.edge.replies.count(body);
        let body = collect(body, self.edge.limit).await.map_err(|error| unread(&error))?;
        self.edge.metrics.count(self.edge.direction, Form::Json, body.len());
        let wire = self.answer(&head.headers, head.status, &body, operation, url)?;
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

    fn request(&self, call: Call, url: &Uri) -> Result<Request<Body>, Fault> {
        let id = Id::of_number(self.next_id.fetch_add(1, Ordering::Relaxed));
        let mut json = Vec::with_capacity(call.body.len() * 5 / 4 + 256);
        write_request(&id, call.operation, &call.body, &mut json).map_err(|error| error.of_request())?;
        self.edge.metrics.count(self.edge.direction, Form::Json, json.len());
        // As long as the text is under way, so is the memory that it was made of.
        let json = keeping(json, call.body);
        let mut request = Request::new(Body::new(Full::new(json)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = url.clone();
        let headers = request.headers_mut();
        call.params.append_to(headers);
        let accept = if call.operation.is_streaming() { EVENT_STREAM } else { JSON };
        headers.insert(header::ACCEPT, accept);
        headers.insert(header::CONTENT_TYPE, JSON);
        Ok(request)
    }

    /// The result in an answer of any status: some SDKs send their errors with 4xx and 5xx.
    fn answer(
        &self,
        headers: &HeaderMap,
        status: StatusCode,
        body: &[u8],
        operation: Operation,
        url: &Uri,
    ) -> Result<Vec<u8>, Fault> {
        match read_reply(body, schema::response(operation), self.edge.limit) {
            Ok(Outcome::Result(wire)) if status.is_success() => Ok(wire),
            Ok(Outcome::Error(fault)) => Err(fault.with_params(Params::from_headers(headers))),
            Err(error) if status.is_success() => Err(error.of_reply()),
            Ok(Outcome::Result(_)) | Err(_) => Err(refusal(headers, status, url)),
        }
    }

    fn events(&self, response: Response<Answer>, operation: Operation) -> Reply {
        let (head, body) = response.into_parts();
        let (body, held) = self.edge.replies.count(body);
        let reader = Reader {
            body,
            held,
            events: sse::Reader::new(self.edge.limit),
            operation,
            edge: self.edge.clone(),
            over: false,
        };
        Reply { params: Params::from_headers(&head.headers), body: a2a::Body::Events(reader.events()) }
    }
}

/// The fault of an HTTP status that says what JSON-RPC does not.
fn refusal(headers: &HeaderMap, status: StatusCode, url: &Uri) -> Fault {
    let message = format!("the agent answered HTTP {status}");
    let fault = Fault::of_http(status, &message).unwrap_or_else(|| {
        Fault::new(Reason::AgentProtocolError, format!("{message}, and no JSON-RPC")).because(url)
    });
    fault.with_params(Params::from_headers(headers))
}

fn is_event_stream<B>(response: &Response<B>) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|text| text.as_bytes().starts_with(EVENT_STREAM.as_bytes()))
}

fn unreachable(error: &Unanswered) -> Fault {
    let fault = Fault::new(Reason::AgentUnreachable, "the agent cannot be reached").because(describe(error));
    if error.is_never_sent() { fault.never_processed() } else { fault }
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
    body: Counted<Answer>,
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
        match read_reply(data, schema::response(self.operation), self.edge.limit) {
            Ok(Outcome::Result(wire)) => Ok(Event::Data(keeping(wire, held))),
            Ok(Outcome::Error(fault)) => Err(fault),
            Err(error) => Err(error.of_reply()),
        }
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
