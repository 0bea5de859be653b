//! The gRPC side that is called: one request message in, one message or a stream out.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Body as HttpBody;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::messages::{Messages, Unread};
use super::replies::Replies;
use super::{
    CONTENT_TYPE_GRPC, GRPC_ACCEPT_ENCODING, GRPC_STATUS, compression, operation, read_timeout,
    status as statuses,
};
use crate::a2a::{self, Agent, Binding, Call, Dialect, Fault, Operation, Params, Reason, Reply};
use crate::binding::{Arrival, Edge};
use crate::net::{BodyError, BoxError};

/// Turns gRPC requests into calls to an agent.
#[derive(Clone, Debug)]
pub struct Server {
    edge: Edge,
    agent: Agent,
}

/// A request of which it is known who is asked.
pub struct Routed {
    /// Who is asked.
    pub arrival: Arrival,
    /// The message as it must get there.
    pub body: Bytes,
    /// What becomes of the answer, if it does not stay as it is.
    pub back: Option<Back>,
}

/// What makes of an answer the one that the caller gets.
pub type Back = Box<dyn FnOnce(Bytes) -> Result<Bytes, Fault> + Send>;

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routed").field("arrival", &self.arrival).finish_non_exhaustive()
    }
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
        self.serve_routed(request, |_, body| Ok(Routed { arrival, body, back: None })).await
    }

    /// Answers one request of which the message must be looked at to know who is asked: `route` says it.
    pub async fn serve_routed<B>(
        &self,
        request: Request<B>,
        route: impl FnOnce(Operation, Bytes) -> Result<Routed, Fault>,
    ) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let foreign = !super::is_sidecar(request.headers());
        match self.reply(request, route).await {
            Ok(reply) => self.respond(reply, foreign),
            Err(fault) => refusal(&status(&self.edge, &fault, foreign)),
        }
    }

    async fn reply<B>(
        &self,
        request: Request<B>,
        route: impl FnOnce(Operation, Bytes) -> Result<Routed, Fault>,
    ) -> Result<Reply, Fault>
    where
        B: HttpBody<Error: Into<BoxError>> + Unpin,
    {
        let read = self.read(request, route).await;
        let (call, back) = read.inspect_err(|fault| self.edge.metrics.refused(self.edge.direction, fault))?;
        let streaming = call.operation.is_streaming();
        let reply = self.agent.clone().oneshot(call).await?;
        match (reply.body, streaming) {
            (a2a::Body::Once(answer), false) => {
                let answer = match back {
                    Some(back) => back(answer)?,
                    None => answer,
                };
                Ok(Reply { params: reply.params, body: a2a::Body::Once(answer) })
            }
            (body @ a2a::Body::Events(_), true) => Ok(Reply { params: reply.params, body }),
            _ => Err(Fault::new(Reason::Internal, "a stream and a single answer were mixed up")),
        }
    }

    async fn read<B>(
        &self,
        request: Request<B>,
        route: impl FnOnce(Operation, Bytes) -> Result<Routed, Fault>,
    ) -> Result<(Call, Option<Back>), Fault>
    where
        B: HttpBody<Error: Into<BoxError>> + Unpin,
    {
        let (head, body) = request.into_parts();
        let operation = operation(head.uri.path()).ok_or_else(|| {
            Fault::new(Reason::MethodNotFound, format!("no method {} in A2A 1.0", head.uri.path()))
        })?;
        let compression = compression(&head.headers).map_err(|name| {
            Fault::new(Reason::MethodNotFound, format!("no compression {name:?}: gzip or none"))
        })?;
        let deadline = read_timeout(&head.headers).map(|timeout| Instant::now() + timeout);
        let messages = Messages::new(body, compression, self.edge.limit, &self.edge.requests);
        let Routed { arrival, body, back } = route(operation, one_message(messages).await?)?;
        let call = Call {
            operation,
            body,
            params: Params::from_headers(&head.headers),
            binding: Binding::Grpc,
            dialect: Dialect::V1_0,
            agent: arrival.agent,
            peer: arrival.peer,
            base: arrival.base,
            deadline,
        };
        Ok((call, back))
    }

    fn respond(&self, reply: Reply, foreign: bool) -> Response<Body> {
        let mut response = Response::new(Body::new(Replies::new(reply.body, self.edge.clone(), foreign)));
        reply.params.append_to(response.headers_mut());
        response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE_GRPC);
        response
    }
}

/// A fault as a status; what of an agent's own words does not fit is counted and logged.
pub(super) fn status(edge: &Edge, fault: &Fault, foreign: bool) -> Status {
    let written = statuses::write(fault, foreign);
    if let Some(bytes) = written.truncated {
        edge.metrics.truncated();
        tracing::warn!(bytes, foreign, "An agent's error data does not fit into gRPC trailers and was cut");
    }
    written.status
}

/// A status as trailers.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Err(unwritable) = status.add_header(&mut trailers) {
        tracing::warn!(error = %unwritable, "A fault does not fit into headers");
        trailers.insert(GRPC_STATUS, HeaderValue::from(i32::from(status.code())));
    }
    trailers
}

/// The one message of a request.
async fn one_message<B>(mut messages: Messages<B>) -> Result<Bytes, Fault>
where
    B: HttpBody<Error: Into<BoxError>> + Unpin,
{
    let unreadable = |why: &dyn fmt::Display| {
        Fault::new(Reason::InvalidRequest, format!("the request cannot be read: {why}"))
    };
    let unread = |error: Unread| match error {
        Unread::Body(error @ (BodyError::Busy(_) | BodyError::TooLarge(_))) => crate::binding::unread(&error),
        error => unreadable(&error),
    };
    let message = messages.next().await.map_err(unread)?;
    let message = message.ok_or_else(|| unreadable(&"no message in it"))?;
    match messages.next().await.map_err(unread)? {
        None => Ok(message),
        Some(_) => Err(unreadable(&"two messages where there is one")),
    }
}

/// Refuses a request, of which only the headers were looked at.
pub fn refuse(fault: &Fault, headers: &HeaderMap) -> Response<Body> {
    refusal(&statuses::write(fault, !super::is_sidecar(headers)).status)
}

fn refusal(status: &Status) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().extend(trailers(status));
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE_GRPC);
    response.headers_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("gzip,identity"));
    response
}
