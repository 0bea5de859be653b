//! The catalogue over HTTPS: documents of ARD (Agentic Resource Discovery, 0.91) and of the AI Catalog before it, the cards
//! themselves, and a search.
//!
//! It is public, as DNS is: who can reach it sees the own mesh's agents that have shown a card, and may ask without a
//! certificate. Which of them, the Host says: `<namespace>.<zone>` those of a namespace, any other name of the directory all.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;

mod document;
mod entry;
mod search;
mod shelf;

use self::document::Part;
use self::shelf::Shelf;
use super::{Agent, Known, Snapshot};
use crate::a2a::{self, Home, Name, is_label};
use crate::card::serve::Served;
use crate::net::{BodyError, BoxError, collect};

/// How long documents may be kept: as long as the records of DNS that lead here.
const MAX_AGE: Duration = Duration::from_secs(30);
/// The most bytes of a request.
const REQUEST_MAX: usize = 64 << 10;
/// How many searches, lists and documents are made at once: each looks at all agents, and takes a thread for it.
const WORK_MAX: usize = 8;

const CATALOG: HeaderValue = HeaderValue::from_static("application/ai-catalog+json");
const CARD: HeaderValue = HeaderValue::from_static("application/a2a-agent-card+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers anybody about the agents of the own mesh.
#[derive(Clone, Debug)]
pub struct Catalog {
    known: Known,
    zone: Arc<str>,
    shelf: Arc<Shelf>,
    turns: Arc<Semaphore>,
}

/// What one request is about, as its Host says it.
struct Site {
    /// The only namespace that is meant; `None` is all of them.
    namespace: Option<String>,
    /// The name of what is catalogued.
    domain: String,
    /// The URL by which the directory was reached, without a slash at its end.
    base: String,
    mesh: Arc<str>,
    zone: Arc<str>,
}

/// Why there is no answer.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Catalog {
    /// Answers about the agents of the own mesh, which have names in `zone`.
    pub fn new(known: Known, zone: &str) -> Self {
        let turns = Arc::new(Semaphore::new(WORK_MAX));
        Self { known, zone: zone.to_ascii_lowercase().into(), shelf: Arc::default(), turns }
    }

    /// Answers one request.
    pub async fn serve<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        match self.answer(request).await {
            Ok(response) => response.map(|body| Body::new(Full::from(body))),
            Err(refusal) => refusal.into_response(),
        }
    }

    async fn answer<B>(&self, request: Request<B>) -> Result<Response<Bytes>, Refusal>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let (head, body) = request.into_parts();
        let site = self.site(&head)?;
        let incomplete = |reason| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason);
        let snapshot = self.known.now().map_err(incomplete)?;
        let path = head.uri.path();
        if path == "/search" {
            if head.method != Method::POST {
                return Err(Refusal::method("POST"));
            }
            let body = collect(body, REQUEST_MAX).await.map_err(|error| match error {
                BodyError::TooLarge(_) => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
                _ => Refusal::new(StatusCode::BAD_REQUEST, error.to_string()),
            })?;
            let turn = Arc::clone(&self.turns).try_acquire_owned();
            let busy = |_| Refusal::busy("too many searches: try again");
            let found = work(turn.map_err(busy)?, move || search::search(&site, &snapshot, &body)).await?;
            return Ok(json_response(StatusCode::OK, &found));
        }
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(Refusal::method("GET, HEAD"));
        }
        let (document, kind) = self.document(site, snapshot, path, head.uri.query()).await?;
        let mut response = document.answer(&head.method, &head.headers, MAX_AGE);
        if response.headers().contains_key(header::CONTENT_TYPE) {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        Ok(response)
    }

    async fn document(
        &self,
        site: Site,
        snapshot: Arc<Snapshot>,
        path: &str,
        query: Option<&str>,
    ) -> Result<(Served, HeaderValue), Refusal> {
        let absent = || Refusal::new(StatusCode::NOT_FOUND, format!("nothing at {path}"));
        if matches!(path, "/.well-known/ard.json" | "/.well-known/ai-catalog.json") {
            return Ok((self.part(site, snapshot, Part::FIRST).await?.ok_or_else(absent)?, CATALOG));
        }
        if let Some(part) = path.strip_prefix("/catalogs/") {
            let part = part.parse().ok().and_then(Part::of).ok_or_else(absent)?;
            return Ok((self.part(site, snapshot, part).await?.ok_or_else(absent)?, CATALOG));
        }
        let below = path.strip_prefix("/agents").ok_or_else(absent)?;
        let Some(name) = below.strip_prefix('/').filter(|name| !name.is_empty()) else {
            if !matches!(below, "" | "/") {
                return Err(absent());
            }
            let (turn, query) = (self.turn().await?, query.unwrap_or_default().to_owned());
            let list = move || {
                let list = search::list(&site, &snapshot, &query)?;
                Ok(Served::new(list.to_string().into(), None))
            };
            return Ok((work(turn, list).await?, JSON));
        };
        let (name, card) = match name.strip_suffix("/agent-card.json") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let agent = site.named(&snapshot, name).ok_or_else(absent)?;
        let card_text = agent.card.as_ref().ok_or_else(absent)?;
        if card {
            let read = u64::try_from(card_text.read).unwrap_or_default();
            let read = UNIX_EPOCH + Duration::from_secs(read);
            return Ok((Served::new(card_text.text.clone(), Some(read)), CARD));
        }
        let entry = entry::Entry::of(&site, agent, true).ok_or_else(absent)?;
        Ok((Served::new(entry.to_json().into(), None), JSON))
    }

    /// A part of a catalogue, if there is such a part: made once for each snapshot and Host, as long as it is asked for.
    async fn part(&self, site: Site, snapshot: Arc<Snapshot>, part: Part) -> Result<Option<Served>, Refusal> {
        if let Some(document) = self.shelf.find(&snapshot, &site, part) {
            return Ok(Some(document));
        }
        let turn = self.turn().await?;
        // Somebody else may have made it meanwhile.
        if let Some(document) = self.shelf.find(&snapshot, &site, part) {
            return Ok(Some(document));
        }
        let shelf = Arc::clone(&self.shelf);
        work(turn, move || {
            let Some(document) = document::part(&site, &snapshot, part) else { return Ok(None) };
            let document = Served::new(document.into(), None);
            shelf.keep(&snapshot, &site, part, document.clone());
            Ok(Some(document))
        })
        .await
    }

    /// Waits for a turn to make something of all agents. The door bounds how long.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.map_err(|_| Refusal::busy("too much at once: try again"))
    }

    /// What a request is about.
    fn site(&self, head: &http::request::Parts) -> Result<Site, Refusal> {
        let host = || head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = head.uri.authority().map(http::uri::Authority::as_str).or_else(host);
        let Some(authority) = authority else {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "the Host is missing".to_owned()));
        };
        let host = a2a::host(authority);
        let namespace =
            match host.strip_suffix(&*self.zone).map(|rest| rest.strip_suffix('.').unwrap_or(rest)) {
                // The zone itself, or a name of the directory that is not in it.
                Some("") | None => None,
                Some(namespace) if is_label(namespace) => Some(namespace.to_owned()),
                Some(_) => {
                    return Err(Refusal::new(StatusCode::NOT_FOUND, format!("no catalogue of {host}")));
                }
            };
        let domain = match &namespace {
            Some(namespace) => format!("{namespace}.{}", self.zone),
            None => self.zone.to_string(),
        };
        let (mesh, zone) = (Arc::clone(&self.known.mesh), Arc::clone(&self.zone));
        Ok(Site { namespace, domain, base: format!("https://{authority}"), mesh, zone })
    }
}

impl Site {
    /// The agents that are catalogued: of the own mesh, with a card.
    fn agents<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Agent> {
        snapshot.agents.values().map(Arc::as_ref).filter(|agent| self.has(agent))
    }

    fn has(&self, agent: &Agent) -> bool {
        agent.card.is_some()
            && agent.name.mesh() == &*self.mesh
            && self.namespace.as_ref().is_none_or(|namespace| agent.name.namespace() == namespace)
    }

    /// The agent that a path names: by its URN, or by its name, which may be short where the Host names a namespace.
    fn named<'a>(&self, snapshot: &'a Snapshot, text: &str) -> Option<&'a Agent> {
        let text = percent_decode_str(text).decode_utf8().ok()?;
        let of_urn = || {
            let (namespace, agent) = text.strip_prefix(&*self.urn(""))?.split_once(':')?;
            Some(format!("{agent}.{namespace}"))
        };
        let text = of_urn().unwrap_or_else(|| text.clone().into_owned());
        let namespace = self.namespace.clone().unwrap_or_default();
        let name = Name::parse(&text, &Home { namespace, mesh: self.mesh.to_string() }).ok()?;
        snapshot.agents.get(&name).map(Arc::as_ref).filter(|agent| self.has(agent))
    }

    /// The identifier of something in the zone (`urn:air:<publisher>:…`).
    fn urn(&self, rest: &str) -> String {
        format!("urn:air:{}:{rest}", self.zone)
    }
}

impl Refusal {
    fn new(status: StatusCode, message: String) -> Self {
        Self { status, message }
    }

    fn busy(message: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, message.to_owned())
    }

    fn method(allowed: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, allowed.to_owned())
    }

    fn into_response(self) -> Response<Body> {
        let mut extra = HeaderMap::new();
        let message = match self.status {
            StatusCode::METHOD_NOT_ALLOWED => {
                // A list of methods is always a header value.
                extra.extend(HeaderValue::try_from(&*self.message).ok().map(|list| (header::ALLOW, list)));
                format!("only {}", self.message)
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                extra.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                self.message
            }
            _ => self.message,
        };
        let body = json!({"error": {"code": self.status.as_u16(), "message": message}});
        let mut response = json_response(self.status, &body);
        response.headers_mut().extend(extra);
        response.map(|body| Body::new(Full::from(body)))
    }
}

/// Does what takes long aside of the threads that answer, for as long as its turn is.
async fn work<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    make: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let made = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        make()
    });
    made.await.unwrap_or_else(|error| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
}

fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
