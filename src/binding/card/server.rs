//! The side that is asked: the card of an agent, and the text that the agent itself sent.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::{CONDITIONS, ORIGINAL_PATH, PATHS, VALIDATORS, without};
use crate::a2a::{self, A2A_VERSION, Agent, Binding, Call, Dialect, Fault, Operation, Params, Reason, Reply};
use crate::binding::{Arrival, Edge, refusal};
use crate::card::serve::{Served, VARY};
use crate::telemetry::Form;

/// What can be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Document {
    /// The card, as it is to be used here.
    Card,
    /// The text that the agent itself sent.
    Original,
}

impl Document {
    /// What a path below an agent's base means, with or without a slash in front; `None` if it is no document.
    pub fn at(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let is = |known: &str| known.strip_prefix('/') == Some(path);
        if PATHS.into_iter().any(is) {
            Some(Self::Card)
        } else if is(ORIGINAL_PATH) {
            Some(Self::Original)
        } else {
            None
        }
    }
}

/// Turns requests for cards into calls to an agent.
#[derive(Clone, Debug)]
pub struct Server {
    edge: Edge,
    agent: Agent,
    max_age: Duration,
    since: SystemTime,
}

impl Server {
    /// Calls go to `agent`. Callers may keep a card for `max_age`; since `since` nothing but the card itself can have
    /// changed in what is served.
    pub fn new(edge: Edge, agent: Agent, max_age: Duration, since: SystemTime) -> Self {
        Self { edge, agent, max_age, since }
    }

    /// Answers one request, of whatever method.
    pub async fn serve<B>(
        &self,
        document: Document,
        request: Request<B>,
        arrival: Arrival,
    ) -> Response<Body> {
        let (head, _) = request.into_parts();
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let fault = Fault::new(Reason::InvalidRequest, "a card is read with GET or HEAD");
            self.edge.metrics.refused(self.edge.direction, &fault);
            let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, &fault);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let is_head = head.method == Method::HEAD;
        let answer = match self.fetch(document, &head.headers, arrival).await {
            Ok((served, params)) => {
                let mut answer = served.answer(&head.method, &head.headers, self.max_age);
                self.edge.metrics.count(self.edge.direction, Form::Json, answer.body().len());
                beside(&params, answer.headers_mut());
                answer.map(|body| Body::new(Full::new(body)))
            }
            Err(fault) => refuse(fault.http().unwrap_or_else(|| fault.row().http), &fault),
        };
        if is_head { answer.map(|_| Body::empty()) } else { answer }
    }

    async fn fetch(
        &self,
        document: Document,
        headers: &HeaderMap,
        arrival: Arrival,
    ) -> Result<(Served, Params), Fault> {
        let name = arrival.agent.clone();
        let version = headers.get(A2A_VERSION).and_then(|version| version.to_str().ok());
        let dialect = version.and_then(Dialect::of_version).unwrap_or(Dialect::V0_3);
        let call = Call {
            operation: Operation::GetAgentCard,
            body: Bytes::new(),
            params: Params::from_headers(&without(headers.clone(), &CONDITIONS)),
            binding: Binding::HttpJson,
            dialect,
            agent: arrival.agent,
            peer: arrival.peer,
            base: arrival.base,
            deadline: None,
        };
        let Reply { params, body } = self.agent.clone().oneshot(call).await?;
        let a2a::Body::Once(card) = body else {
            return Err(Fault::new(Reason::Internal, "a stream came where a card was due"));
        };
        let modified = params.get(&header::LAST_MODIFIED);
        let modified = modified.and_then(|date| httpdate::parse_http_date(date).ok());
        let served = match document {
            // What this sidecar puts into a card is as old as the sidecar.
            Document::Card => {
                Served::card(&card, dialect, modified.map(|modified| modified.max(self.since))).map(Some)
            }
            Document::Original => Served::original(&card, modified),
        };
        let served = served.map_err(|error| error.of_reply())?;
        let served = served.ok_or_else(|| {
            Fault::new(Reason::CardNotFound, format!("the card of {name} came without its original"))
        })?;
        Ok((served, params))
    }
}

/// Adds what travels beside a card, but for what is said here already or does not hold here.
fn beside(params: &Params, headers: &mut HeaderMap) {
    let mut travelled = HeaderMap::new();
    params.append_to(&mut travelled);
    for (name, value) in &without(travelled, &VALIDATORS) {
        headers.append(name.clone(), value.clone());
    }
}

/// A refusal, which depends on the same headers as a card.
fn refuse(status: StatusCode, fault: &Fault) -> Response<Body> {
    let mut response = refusal(status, fault);
    response.headers_mut().insert(header::VARY, VARY);
    response
}

#[cfg(test)]
mod tests;
