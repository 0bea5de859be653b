//! The gRPC side that is called: one request message in, one message or a stream out.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::StreamBody;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codec::Streaming;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::{
    CONTENT_TYPE_GRPC, GRPC_ACCEPT_ENCODING, GRPC_STATUS, Raw, encoding, framed, operation, read_timeout,
    status,
};
use crate::a2a::{self, Agent, Binding, Call, Event, Fault, Params, Reason, Reply};
use crate::binding::{Arrival, Edge};
use crate::net::BoxError;
use crate::net::budget::{Exhausted, Held};

/// Turns gRPC requests into calls to an agent.
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

    /// Whether a request is gRPC at all.
    pub fn recognizes(headers: &HeaderMap) -> bool {
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        content_type.and_then(|text| text.strip_prefix(b"application/grpc")).is_some_and(|rest| {
            // `application/grpc-web` is another protocol.
            matches!(rest.first(), None | Some(b'+' | b';'))
        })
    }

    /// Answers one request. All that can go wrong is told by the gRPC status.
    pub async fn serve<B>(&self, request: Request<B>, arrival: Arrival) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let foreign = !super::is_sidecar(request.headers());
        match self.reply(request, arrival).await {
            Ok(reply) => self.respond(reply, foreign),
            Err(fault) => refusal(&self.status(&fault, foreign)),
        }
    }

    async fn reply<B>(&self, request: Request<B>, arrival: Arrival) -> Result<Reply, Fault>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let read = self.read(request, arrival).await;
        let (call, held) = read.inspect_err(|fault| self.edge.metrics.refused(self.edge.direction, fault))?;
        let streaming = call.operation.is_streaming();
        let reply = self.agent.clone().oneshot(call).await?;
        // The request's bytes are still in use until the agent has answered.
        drop(held);
        match (&reply.body, streaming) {
            (a2a::Body::Once(_), false) | (a2a::Body::Events(_), true) => Ok(reply),
            _ => Err(Fault::new(Reason::Internal, "a stream and a single answer were mixed up")),
        }
    }

    async fn read<B>(&self, request: Request<B>, arrival: Arrival) -> Result<(Call, Held), Fault>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let (head, body) = request.into_parts();
        let operation = operation(head.uri.path()).ok_or_else(|| {
            Fault::new(Reason::MethodNotFound, format!("no method {} in A2A 1.0", head.uri.path()))
        })?;
        let encoding = encoding(&head.headers).map_err(|name| {
            Fault::new(Reason::MethodNotFound, format!("no compression {name:?}: gzip or none"))
        })?;
        let deadline = read_timeout(&head.headers).map(|timeout| Instant::now() + timeout);
        let (body, held) = self.edge.budget.count(body);
        let body = Streaming::new_request(Raw, body, encoding, Some(self.edge.limit));
        let body = one_message(body).await.map_err(|status| unread(&status, self.edge.limit))?;
        let call = Call {
            operation,
            body,
            params: Params::from_headers(&head.headers),
            binding: Binding::Grpc,
            agent: arrival.agent,
            peer: arrival.peer,
            base: arrival.base,
            deadline,
        };
        Ok((call, held))
    }

    fn respond(&self, reply: Reply, foreign: bool) -> Response<Body> {
        let server = self.clone();
        let messages: BoxStream<'static, Result<Bytes, Status>> = match reply.body {
            a2a::Body::Once(bytes) => stream::once(async { Ok(bytes) }).boxed(),
            a2a::Body::Events(events) => events
                .map(move |event| server.message(event, foreign))
                .try_filter_map(|message| async { Ok(message) })
                .boxed(),
        };
        let body = StreamBody::new(frames(messages));
        let mut response = Response::new(Body::new(body));
        reply.params.append_to(response.headers_mut());
        response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE_GRPC);
        response
    }

    /// An event as a message, or as the status that ends the stream.
    fn message(&self, event: Result<Event, Fault>, foreign: bool) -> Result<Option<Bytes>, Status> {
        match event {
            Ok(Event::Data(bytes)) => Ok(Some(bytes)),
            Ok(Event::End(params)) if params.is_empty() => Ok(None),
            Ok(Event::End(params)) => {
                let mut trailers = HeaderMap::new();
                params.append_to(&mut trailers);
                Err(Status::with_metadata(Code::Ok, "", MetadataMap::from_headers(trailers)))
            }
            Err(fault) => Err(self.status(&fault, foreign)),
        }
    }

    /// A fault as a status; what of an agent's own words does not fit is counted and logged.
    fn status(&self, fault: &Fault, foreign: bool) -> Status {
        let written = status::write(fault, foreign);
        if let Some(bytes) = written.truncated {
            self.edge.metrics.truncated();
            tracing::warn!(
                bytes,
                foreign,
                "An agent's error data does not fit into gRPC trailers and was cut"
            );
        }
        written.status
    }
}

/// A response's frames: the messages, and the status in the trailers.
fn frames(
    messages: BoxStream<'static, Result<Bytes, Status>>,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    let frames = stream::unfold(Some(messages), |messages| async {
        let mut messages = messages?;
        let (frames, rest) = match messages.next().await {
            Some(Ok(message)) => (framed(message).map(Frame::data).collect(), Some(messages)),
            Some(Err(status)) => (vec![Frame::trailers(trailers(&status))], None),
            None => (vec![Frame::trailers(trailers(&Status::ok("")))], None),
        };
        Some((stream::iter(frames.into_iter().map(Ok)), rest))
    });
    frames.flatten()
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Err(unwritable) = status.add_header(&mut trailers) {
        tracing::warn!(error = %unwritable, "A fault does not fit into headers");
        trailers.insert(GRPC_STATUS, HeaderValue::from(i32::from(status.code())));
    }
    trailers
}

/// The one message of a request.
async fn one_message(mut body: Streaming<Bytes>) -> Result<Bytes, Status> {
    let message = body.message().await?.ok_or_else(|| Status::internal("no message in the request"))?;
    match body.message().await? {
        None => Ok(message),
        Some(_) => Err(Status::internal("two messages in a request that takes one")),
    }
}

fn unread(status: &Status, limit: usize) -> Fault {
    if Exhausted::caused(status).is_some() {
        return crate::binding::unread(&crate::net::BodyError::Busy(Exhausted));
    }
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            crate::binding::unread(&crate::net::BodyError::TooLarge(limit))
        }
        _ => Fault::new(Reason::InvalidRequest, format!("the request cannot be read: {}", status.message())),
    }
}

/// Refuses a request, of which only the headers were looked at.
pub fn refuse(fault: &Fault, headers: &HeaderMap) -> Response<Body> {
    refusal(&status::write(fault, !super::is_sidecar(headers)).status)
}

fn refusal(status: &Status) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().extend(trailers(status));
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE_GRPC);
    response.headers_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("gzip,identity"));
    response
}
