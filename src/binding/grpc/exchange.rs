//! One call over a connection, whoever is at its other end: one message out, one message or a stream in.

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
use crate::net::details::sanitize;
use crate::net::http2::{Answer, Connection, Unanswered};
use crate::net::{BodyError, describe};

/// Who is at the other end, and so what is believed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speaker {
    /// An agent of this pod, which speaks for itself alone.
    Agent,
    /// A peer, whose identity is known: mostly a sidecar, which speaks for the mesh.
    Peer,
}

/// Sends calls, and reads what comes back.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    speaker: Speaker,
    edge: Edge,
    /// Those of [`Operation::ALL`], in that order.
    paths: Arc<[PathAndQuery]>,
}

impl Exchange {
    pub(super) fn new(speaker: Speaker, edge: Edge) -> Self {
        Self { speaker, edge, paths: Operation::ALL.into_iter().map(path).collect() }
    }

    /// Sends a call.
    pub(super) async fn send(
        &self,
        call: &Call,
        connection: &Connection,
    ) -> Result<Response<Answer>, Unanswered> {
        connection.send(self.path(call.operation), headers(call), framed(call.body.clone())).await
    }

    /// Reads what came back. The connection stands as long as a stream comes over it.
    pub(super) async fn reply(
        &self,
        response: Response<Answer>,
        operation: Operation,
        connection: Connection,
    ) -> Result<Reply, Fault> {
        let mut answers = self.receive(response, operation)?;
        let mut params = std::mem::take(&mut answers.params);
        if operation.is_streaming() {
            return Ok(Reply { params, body: a2a::Body::Events(answers.events(connection)) });
        }
        match answers.only().await {
            Ok((message, last)) => {
                params.extend(last);
                Ok(Reply { params, body: a2a::Body::Once(message) })
            }
            Err(fault) => {
                params.extend(fault.params().clone());
                Err(fault.with_params(params))
            }
        }
    }

    fn path(&self, operation: Operation) -> PathAndQuery {
        let known = Operation::ALL.into_iter().zip(&*self.paths).find(|(known, _)| *known == operation);
        known.map_or_else(|| path(operation), |(_, path)| path.clone())
    }

    fn receive(&self, response: Response<Answer>, operation: Operation) -> Result<Answers, Fault> {
        let (mut head, body) = response.into_parts();
        let speaker = self.speaker;
        let concluded = concluded(&mut head.headers, speaker, operation)?;
        if !super::Server::recognizes(&head.headers) {
            let what = format!("{speaker} answered {} with no gRPC in it", head.status);
            let kept = match speaker {
                Speaker::Agent => Fault::of_http(head.status, &*what),
                Speaker::Peer => None,
            };
            let fault = kept.unwrap_or_else(|| Fault::new(Reason::AgentProtocolError, what));
            return Err(fault.with_params(Params::from_headers(&head.headers)));
        }
        let compression = compression(&head.headers).map_err(|name| {
            Fault::new(Reason::AgentProtocolError, format!("{speaker} compresses with {name:?}"))
        })?;
        Ok(Answers {
            messages: Messages::new(body, compression, self.edge.limit, &self.edge.replies),
            params: Params::from_headers(&head.headers),
            concluded,
            speaker,
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
    speaker: Speaker,
    operation: Operation,
}

impl Answers {
    /// The one message, and what came beside its end.
    async fn only(&mut self) -> Result<(Bytes, Params), Fault> {
        let speaker = self.speaker;
        let wrong = |what| Fault::new(Reason::AgentProtocolError, format!("{speaker} sent {what}"));
        let message = self.next().await?.ok_or_else(|| wrong("no message"))?;
        match self.next().await? {
            None => Ok((message, self.conclude()?)),
            Some(_) => Err(wrong("two messages")),
        }
    }

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
        if concluded(&mut trailers, self.speaker, self.operation)? || self.concluded {
            return Ok(Params::from_headers(&trailers));
        }
        let broken = BodyError::Broken("the stream ended without a status".into());
        Err(unread(&broken.into(), self.operation))
    }
}

/// Whether headers or trailers have a status; the fault, if it is not OK.
fn concluded(headers: &mut HeaderMap, speaker: Speaker, operation: Operation) -> Result<bool, Fault> {
    match headers.get(GRPC_STATUS) {
        None => return Ok(false),
        Some(status) if status == "0" => return Ok(true),
        Some(_) => {}
    }
    sanitize(headers);
    match Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) {
        Some(failed) => Err(match speaker {
            Speaker::Agent => status::of_agent(&failed, operation),
            Speaker::Peer => status::of_peer(&failed, operation),
        }),
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

impl std::fmt::Display for Speaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Agent => "the agent",
            Self::Peer => "the peer",
        })
    }
}
