//! The gRPC side that calls: one message out, one message or a stream in, over a peer's connection.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response, header};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::messages::{Messages, Unread};
use super::{
    CONTENT_TYPE_GRPC, GRPC_ACCEPT_ENCODING, GRPC_STATUS, GRPC_TIMEOUT, USER_AGENT, compression, framed,
    path, status, write_timeout,
};
use crate::a2a::{self, Call, Event, Fault, Operation, Params, Reason, Reply};
use crate::binding::Edge;
use crate::identity::Pattern;
use crate::net::http2::{Answer, Connection, Unanswered, Unreachable};
use crate::net::peers::Peers;
use crate::net::{BodyError, describe};
use crate::tls::Refusal;

/// Sends calls to the endpoints of agents.
#[derive(Clone, Debug)]
pub struct Client {
    peers: Peers,
    edge: Edge,
    /// Those of [`Operation::ALL`], in that order.
    paths: Arc<[PathAndQuery]>,
}

impl Client {
    /// Calls go over `peers`.
    pub fn new(peers: Peers, edge: Edge) -> Self {
        Self { peers, edge, paths: Operation::ALL.into_iter().map(path).collect() }
    }

    /// Sends a call to `address`, where an identity that `expected` matches must answer.
    ///
    /// # Errors
    /// If it cannot be reached, breaks off, or answers with a fault.
    pub async fn send(&self, call: &Call, address: SocketAddr, expected: &Pattern) -> Result<Reply, Fault> {
        let connection = self.peers.connection(address, &call.agent, expected).await;
        let connection = connection.map_err(|reason| unreachable(&reason))?;
        let operation = call.operation;
        let sent = connection.send(self.path(operation), headers(call), framed(call.body.clone())).await;
        let mut answers = self.receive(sent.map_err(|error| unanswered(&error))?, operation)?;
        let mut params = std::mem::take(&mut answers.params);
        if operation.is_streaming() {
            return Ok(Reply { params, body: a2a::Body::Events(answers.events(connection)) });
        }
        let message = answers.next().await?;
        let message =
            message.ok_or_else(|| Fault::new(Reason::AgentProtocolError, "the peer sent no message"))?;
        if answers.next().await?.is_some() {
            return Err(Fault::new(Reason::AgentProtocolError, "the peer sent two messages"));
        }
        params.extend(answers.conclude()?);
        Ok(Reply { params, body: a2a::Body::Once(message) })
    }

    fn path(&self, operation: Operation) -> PathAndQuery {
        let known = Operation::ALL.into_iter().zip(&*self.paths).find(|(known, _)| *known == operation);
        known.map_or_else(|| path(operation), |(_, path)| path.clone())
    }

    fn receive(&self, response: Response<Answer>, operation: Operation) -> Result<Answers, Fault> {
        let (mut head, body) = response.into_parts();
        let concluded = concluded(&mut head.headers, operation)?;
        if !super::Server::recognizes(&head.headers) {
            let what = format!("the peer answered {} with no gRPC in it", head.status);
            return Err(Fault::new(Reason::AgentProtocolError, what));
        }
        let compression = compression(&head.headers).map_err(|name| {
            Fault::new(Reason::AgentProtocolError, format!("the peer compresses with {name:?}"))
        })?;
        Ok(Answers {
            messages: Messages::new(body, compression, self.edge.limit, &self.edge.replies),
            params: Params::from_headers(&head.headers),
            concluded,
            operation,
        })
    }
}

fn headers(call: &Call) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    call.params.append_to(&mut headers);
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE_GRPC);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    if let Some(deadline) = call.deadline {
        let left = write_timeout(deadline.saturating_duration_since(Instant::now()));
        // Digits and a letter are always a header value.
        headers.extend(HeaderValue::try_from(left).ok().map(|left| (GRPC_TIMEOUT, left)));
    }
    headers
}

/// A response being read.
struct Answers {
    messages: Messages<Answer>,
    params: Params,
    /// Whether the head had the status, as it may where no message follows.
    concluded: bool,
    operation: Operation,
}

impl Answers {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.messages.next().await {
            Ok(message) => Ok(message),
            // A status says more than that a message is missing.
            Err(Unread::CutOff) => Err(match self.conclude() {
                Err(fault) => fault,
                Ok(_) => unread(&Unread::CutOff, self.operation),
            }),
            Err(error) => Err(unread(&error, self.operation)),
        }
    }

    /// The messages as events; the connection stands as long as they come.
    fn events(self, connection: Connection) -> BoxStream<'static, Result<Event, Fault>> {
        let state = Some((self, connection));
        stream::try_unfold(state, |state| async move {
            let Some((mut answers, connection)) = state else { return Ok(None) };
            match answers.next().await? {
                Some(message) => Ok(Some((Event::Data(message), Some((answers, connection))))),
                None => Ok(Some((Event::End(answers.conclude()?), None))),
            }
        })
        .into_stream()
        .boxed()
    }

    /// What came beside the end, or the fault that it tells. An end without a status is none: what is missing may be
    /// more than that.
    fn conclude(&mut self) -> Result<Params, Fault> {
        let mut trailers = self.messages.trailers().unwrap_or_default();
        if concluded(&mut trailers, self.operation)? || self.concluded {
            return Ok(Params::from_headers(&trailers));
        }
        let broken = BodyError::Broken("the stream ended without a status".into());
        Err(unread(&broken.into(), self.operation))
    }
}

/// Whether headers or trailers have a status; the fault, if it is not OK.
fn concluded(headers: &mut HeaderMap, operation: Operation) -> Result<bool, Fault> {
    match headers.get(GRPC_STATUS) {
        None => return Ok(false),
        Some(status) if status == "0" => return Ok(true),
        Some(_) => {}
    }
    status::sanitize(headers);
    match Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) {
        Some(failed) => Err(status::read(&failed, operation)),
        None => Ok(true),
    }
}

/// The fault of a response that broke off, or that is no gRPC.
fn unread(error: &Unread, operation: Operation) -> Fault {
    match error {
        Unread::Body(busy @ BodyError::Busy(_)) => crate::binding::unread(busy),
        Unread::Body(BodyError::TooLarge(_)) => {
            Fault::new(Reason::MessageTooLarge, "the agent sent a larger message than is allowed here")
        }
        Unread::Body(BodyError::Broken(_)) | Unread::CutOff => {
            let reason =
                if operation.is_streaming() { Reason::StreamBroken } else { Reason::AgentUnreachable };
            Fault::new(reason, "the connection to the agent broke")
        }
        Unread::Malformed(_) => Fault::new(Reason::AgentProtocolError, "the agent's messages cannot be read"),
    }
    .because(describe(error))
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
