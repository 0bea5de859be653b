//! The side that asks: the card of an agent of this pod.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use tonic::body::Body;

use super::{CONDITIONS, PATHS, VALIDATORS, without};
use crate::a2a::{self, A2A_VERSION, Call, Fault, Params, Reason, Reply};
use crate::binding::inflate::{ACCEPT, Unreadable, inflate};
use crate::binding::{Edge, unread};
use crate::card::{MAX, attach_original, original, serve::JSON};
use crate::codec;
use crate::identity::Clock;
use crate::net::http1::{self, Answer, Unanswered};
use crate::net::{BodyError, collect, describe};
use crate::telemetry::Form;

/// Reads the card of an agent over plain HTTP. The last one is kept to ask whether it has changed, never to be given
/// unasked.
#[derive(Clone, Debug)]
pub struct Client {
    http: http1::Client,
    url: Uri,
    edge: Edge,
    clock: Clock,
    last: Arc<Mutex<Option<Last>>>,
}

/// The card that came last.
#[derive(Clone, Debug)]
struct Last {
    /// Which of the paths it came from.
    path: &'static str,
    etag: Option<HeaderValue>,
    card: Card,
}

/// A card in canonical form, its text beside it.
#[derive(Clone, Debug)]
struct Card {
    wire: Bytes,
    params: Params,
    last_modified: SystemTime,
}

impl Client {
    /// The agent's base URL is `url`.
    pub fn new(http: http1::Client, url: Uri, edge: Edge, clock: Clock) -> Self {
        Self { http, url, edge, clock, last: Arc::default() }
    }

    /// Asks for the card.
    ///
    /// # Errors
    /// If there is none, or it cannot be had.
    pub async fn send(&self, call: &Call) -> Result<Reply, Fault> {
        for path in PATHS {
            let request = self.request(call, path)?;
            let response = self.http.request(request).await.map_err(|error| unreachable(&error))?;
            match response.status() {
                StatusCode::NOT_FOUND => {}
                StatusCode::NOT_MODIFIED => return self.unchanged(path),
                StatusCode::OK => return self.read(response, path).await,
                status => return Err(self.refusal(response.headers(), status)),
            }
        }
        let fault = Fault::new(Reason::CardNotFound, format!("the agent {} has no card", call.agent));
        Err(fault.because(format!("HTTP 404 below {}", self.url)))
    }

    fn request(&self, call: &Call, path: &'static str) -> Result<Request<Body>, Fault> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = below(&self.url, path)?;
        let mut headers = HeaderMap::new();
        call.params.append_to(&mut headers);
        headers = without(headers, &CONDITIONS);
        headers.insert(header::ACCEPT, JSON);
        headers.insert(header::ACCEPT_ENCODING, ACCEPT);
        headers.insert(A2A_VERSION, HeaderValue::from_static("1.0"));
        // An ETag says something about its own URL only.
        let last = self.last().filter(|last| last.path == path);
        headers.extend(last.and_then(|last| last.etag).map(|etag| (header::IF_NONE_MATCH, etag)));
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn unchanged(&self, path: &'static str) -> Result<Reply, Fault> {
        match self.last() {
            Some(last) if last.path == path => Ok(last.card.reply()),
            _ => {
                let what = "the agent says that its card is unchanged, but was never asked whether";
                Err(Fault::new(Reason::AgentProtocolError, what))
            }
        }
    }

    async fn read(&self, response: Response<Answer>, path: &'static str) -> Result<Reply, Fault> {
        let (head, body) = response.into_parts();
        let (body, _held) = self.edge.replies.count(body);
        let body = collect(body, MAX).await.map_err(|error| broken(&error))?;
        self.edge.metrics.count(self.edge.direction, Form::Json, body.len());
        let body = inflate(&head.headers, body, MAX).map_err(|error| match error {
            Unreadable::TooLarge(_) => {
                Fault::new(Reason::MessageTooLarge, format!("the agent's card: {error}"))
            }
            _ => Fault::new(Reason::AgentProtocolError, format!("the agent's card: {error}")),
        })?;
        let text = std::str::from_utf8(&body)
            .map_err(|_| Fault::new(Reason::AgentProtocolError, "the agent's card is no UTF-8"))?;
        // The same text as before is the same card as before, whatever its ETag.
        let last = self.last().map(|last| last.card);
        let same = last.filter(|last| original(&last.wire).is_ok_and(|json| json == Some(text)));
        let wire = match &same {
            Some(same) => same.wire.clone(),
            None => self.wire(text)?,
        };
        let dated = head.headers.get(header::LAST_MODIFIED).and_then(|date| date.to_str().ok());
        let dated = dated.and_then(|date| httpdate::parse_http_date(date).ok());
        let last_modified = dated.or_else(|| Some(same?.last_modified)).unwrap_or_else(|| self.now());
        let etag = head.headers.get(header::ETAG).cloned();
        let params = Params::from_headers(&without(head.headers, &VALIDATORS));
        let card = Card { wire, params, last_modified };
        let reply = card.reply();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Last { path, etag, card });
        Ok(reply)
    }

    fn wire(&self, text: &str) -> Result<Bytes, Fault> {
        let card = codec::v0_3::card::read(text, self.edge.limit);
        let mut wire = card.map_err(|error| {
            let fault =
                Fault::new(Reason::AgentProtocolError, format!("the agent's card cannot be read: {error}"));
            fault.because(&self.url)
        })?;
        attach_original(&mut wire, text);
        Ok(wire.into())
    }

    fn refusal(&self, headers: &HeaderMap, status: StatusCode) -> Fault {
        let message = format!("the agent answered HTTP {status} to the request for its card");
        let fault = Fault::of_http(status, &message)
            .unwrap_or_else(|| Fault::new(Reason::AgentProtocolError, message).because(&self.url));
        fault.with_params(Params::from_headers(&without(headers.clone(), &VALIDATORS)))
    }

    fn last(&self) -> Option<Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(self.clock.now()).unwrap_or(0))
    }
}

impl Card {
    fn reply(&self) -> Reply {
        let mut params = self.params.clone();
        // A date is always a header value.
        if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(self.last_modified)) {
            params.set(header::LAST_MODIFIED, date);
        }
        Reply { params, body: a2a::Body::Once(self.wire.clone()) }
    }
}

/// The URL of a path below another one.
fn below(url: &Uri, path: &str) -> Result<Uri, Fault> {
    let mut parts = url.clone().into_parts();
    let whole = format!("{}{path}", url.path().trim_end_matches('/'));
    let internal = |error: &dyn std::fmt::Display| {
        Fault::new(Reason::Internal, "the agent's URL has no place for a card").because(error)
    };
    parts.path_and_query = Some(whole.parse().map_err(|error| internal(&error))?);
    Uri::from_parts(parts).map_err(|error| internal(&error))
}

fn unreachable(error: &Unanswered) -> Fault {
    let fault = Fault::new(Reason::AgentUnreachable, "the agent cannot be reached").because(describe(error));
    if error.is_never_sent() { fault.never_processed() } else { fault }
}

fn broken(error: &BodyError) -> Fault {
    match error {
        BodyError::Broken(_) => {
            Fault::new(Reason::AgentUnreachable, "the agent broke off its card").because(error)
        }
        BodyError::Busy(_) => unread(error),
        BodyError::TooLarge(_) => Fault::new(Reason::MessageTooLarge, format!("the agent's card is {error}")),
    }
}

#[cfg(test)]
mod tests;
