//! The gRPC side that calls: one message out, one message or a stream in, over a peer's connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use futures_util::{FutureExt as _, TryStreamExt as _};
use http::{HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codec::Streaming;
use tonic::{Code, Status};
use tower::Service;

use super::concluded::Concluded;
use super::{
    CONTENT_TYPE_GRPC, GRPC_ACCEPT_ENCODING, GRPC_STATUS, GRPC_TIMEOUT, Raw, USER_AGENT, encoding, framed,
    path, status, write_timeout,
};
use crate::a2a::{self, Call, Event, Fault, Operation, Params, Reason, Reply};
use crate::binding::Edge;
use crate::identity::Pattern;
use crate::net::BodyError;
use crate::net::budget::{Exhausted, Held, keeping};
use crate::net::peers::{Connection, Peers, Unanswered, Unreachable, describe};
use crate::tls::Refusal;

/// Sends calls to one endpoint of an agent.
#[derive(Clone, Debug)]
pub struct Client {
    peers: Peers,
    address: SocketAddr,
    expected: Pattern,
    edge: Edge,
}

impl Client {
    /// Calls go to `address`, where an identity that `expected` matches must answer.
    pub fn new(peers: Peers, address: SocketAddr, expected: Pattern, edge: Edge) -> Self {
        Self { peers, address, expected, edge }
    }

    async fn send(self, call: Call) -> Result<Reply, Fault> {
        let connection = self.peers.connection(self.address, &call.agent, &self.expected).await;
        let connection = connection.map_err(|reason| unreachable(&reason))?;
        let operation = call.operation;
        let response = connection.send(request(call)).await.map_err(|error| unanswered(&error))?;
        let mut messages = receive(response, operation, &self.edge)?;
        let mut params = messages.params.clone();
        if operation.is_streaming() {
            return Ok(Reply { params, body: a2a::Body::Events(messages.events(connection)) });
        }
        let message = messages.next().await?;
        let message =
            message.ok_or_else(|| Fault::new(Reason::AgentProtocolError, "the peer sent no message"))?;
        // The status comes after the message.
        messages.next().await?;
        params.extend(messages.trailers().await);
        Ok(Reply { params, body: a2a::Body::Once(message) })
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

fn request(call: Call) -> Request<Body> {
    let frames = stream::iter(framed(call.body).map(|piece| Ok::<_, Infallible>(Frame::data(piece))));
    let mut request = Request::new(Body::new(StreamBody::new(frames)));
    *request.method_mut() = http::Method::POST;
    // An operation's name is always a path.
    *request.uri_mut() = http::Uri::try_from(path(call.operation)).unwrap_or_default();
    let headers = request.headers_mut();
    call.params.append_to(headers);
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE_GRPC);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    if let Some(deadline) = call.deadline {
        let left = write_timeout(deadline.saturating_duration_since(Instant::now()));
        // Digits and a letter are always a header value.
        headers.extend(HeaderValue::try_from(left).ok().map(|left| (GRPC_TIMEOUT, left)));
    }
    request
}

/// The messages of a response.
struct Messages {
    params: Params,
    /// The memory of the message that is being read.
    held: Held,
    messages: Streaming<Bytes>,
    operation: Operation,
    /// Whether the peer has sent a status.
    concluded: Arc<AtomicBool>,
}

fn receive(response: Response<Incoming>, operation: Operation, edge: &Edge) -> Result<Messages, Fault> {
    let (mut head, body) = response.into_parts();
    status::sanitize(&mut head.headers);
    if let Some(failed) = Status::from_header_map(&head.headers).filter(|status| status.code() != Code::Ok) {
        return Err(status::read(&failed, operation));
    }
    if !super::Server::recognizes(&head.headers) {
        let what = format!("the peer answered {} with no gRPC in it", head.status);
        return Err(Fault::new(Reason::AgentProtocolError, what));
    }
    let encoding = encoding(&head.headers).map_err(|name| {
        Fault::new(Reason::AgentProtocolError, format!("the peer compresses with {name:?}"))
    })?;
    let (body, held) = edge.budget.count(body);
    let in_head = head.headers.get(GRPC_STATUS).cloned();
    let (body, concluded) = Concluded::new(body, in_head);
    let params = Params::from_headers(&head.headers);
    let messages = Streaming::new_response(Raw, body, head.status, encoding, Some(edge.limit));
    Ok(Messages { params, held, messages, operation, concluded })
}

impl Messages {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let message = self.messages.message().await;
        // The message counts until whoever gets it is done with it.
        let held = self.held.split();
        message.map(|message| message.map(|message| keeping(message, held))).map_err(|status| {
            if self.concluded.load(Ordering::Relaxed) {
                status::read(&status, self.operation)
            } else {
                unread(&status, self.operation)
            }
        })
    }

    /// The messages as events; the connection stands as long as they come.
    fn events(self, connection: Connection) -> BoxStream<'static, Result<Event, Fault>> {
        let state = Some((self, connection));
        stream::try_unfold(state, |state| async move {
            let Some((mut messages, connection)) = state else { return Ok(None) };
            match messages.next().await? {
                Some(message) => Ok(Some((Event::Data(message), Some((messages, connection))))),
                None => Ok(Some((Event::End(messages.trailers().await), None))),
            }
        })
        .into_stream()
        .boxed()
    }

    /// What came beside the end.
    async fn trailers(&mut self) -> Params {
        let trailers = self.messages.trailers().await.ok().flatten();
        trailers.map(|trailers| Params::from_headers(&trailers.into_headers())).unwrap_or_default()
    }
}

/// The fault of a response that broke off, or that is no gRPC, before there was a status of the peer.
fn unread(status: &Status, operation: Operation) -> Fault {
    if let Some(busy) = Exhausted::caused(status) {
        return crate::binding::unread(&BodyError::Busy(busy));
    }
    if std::error::Error::source(status).is_some() {
        let reason = if operation.is_streaming() { Reason::StreamBroken } else { Reason::AgentUnreachable };
        return Fault::new(reason, "the connection to the agent broke").because(describe(status));
    }
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            Fault::new(Reason::MessageTooLarge, "the agent sent a larger message than is allowed here")
        }
        _ => Fault::new(Reason::AgentProtocolError, "the agent's messages cannot be read"),
    }
    .because(status.message())
}

/// The fault of a call that could not be sent.
fn unreachable(reason: &Unreachable) -> Fault {
    let fault = match reason {
        Unreachable::Refused(Refusal::Mismatch { .. }) => {
            Fault::new(Reason::PeerMismatch, "the peer is not the agent that was asked for")
        }
        Unreachable::Refused(Refusal::NotReady(_)) => {
            Fault::new(Reason::AgentUnreachable, "this sidecar has no identity yet")
        }
        Unreachable::Refused(_) => Fault::new(Reason::PeerUntrusted, "the peer's certificate is not trusted"),
        Unreachable::Rejected(_) => {
            Fault::new(Reason::PeerUntrusted, "the peer does not trust this sidecar's certificate")
        }
        Unreachable::Silent(_) => {
            Fault::new(Reason::AgentUnreachable, "the agent's sidecar cannot be reached")
        }
    };
    fault.because(reason).never_processed()
}

fn unanswered(error: &Unanswered) -> Fault {
    match error {
        Unanswered::NeverSent(reason) => unreachable(reason),
        Unanswered::Lost(error) => {
            Fault::new(Reason::AgentUnreachable, "the connection to the agent broke").because(describe(error))
        }
    }
}
