//! `GET /agents`: which agents there are, as far as this sidecar knows, and as directories tell it. With `watch=true`, what
//! becomes of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::body::Body;

mod query;
mod rows;
mod watching;

use self::query::Query;
use self::rows::merged;
use crate::a2a::{Fault, Home, Name, Reason};
use crate::binding::refusal;
use crate::card::stage::Cards;
use crate::discovery::Discovery;
use crate::discovery::directory::Directory;
use crate::drain::Drain;
use crate::proto::mesh::Agent;

/// How long an answer of a directory is good for.
const FRESH: Duration = Duration::from_secs(3);
/// How many different questions are remembered.
const QUESTIONS_MAX: usize = 16;
/// How many bytes of answers are remembered, in memory.
const REMEMBERED_MAX: usize = 32 << 20;
/// How many callers may watch at once.
const WATCHING_MAX: usize = 16;

/// Says whether directories were asked: `mesh` if so, else `known`.
const SCOPE: HeaderName = HeaderName::from_static("dragoman-scope");
/// Which directory did not answer, and why.
const WARNING: HeaderName = HeaderName::from_static("dragoman-warning");

/// Where a sidecar learns of agents.
#[derive(Clone, Debug)]
pub struct Known {
    /// What completes short names.
    pub home: Home,
    /// The agents that were called or configured, and where they are.
    pub discovery: Discovery,
    /// The cards that were read.
    pub cards: Cards,
    /// Who is asked, who is believed first: the directories of other meshes, each about its own agents, and then that of
    /// the own mesh. What the latter says of another mesh it has heard from that mesh's directory, up to an hour ago.
    pub directories: Vec<Directory>,
}

/// Lists agents.
#[derive(Clone, Debug)]
pub struct Agents {
    known: Arc<Known>,
    drain: Drain,
    /// Decides when directories are asked again.
    seed: u64,
    asked: Arc<Mutex<HashMap<Query, Told>>>,
    places: Arc<Semaphore>,
}

/// What directories have told.
#[derive(Clone, Debug)]
struct Told {
    since: Instant,
    agents: Arc<Vec<BTreeMap<Name, Agent>>>,
    /// How much memory they take.
    bytes: usize,
    warnings: Arc<Vec<String>>,
}

impl Agents {
    /// Lists what is known there.
    pub fn new(known: Known, drain: Drain, seed: u64) -> Self {
        let places = Arc::new(Semaphore::new(WATCHING_MAX));
        Self { known: Arc::new(known), drain, seed, asked: Arc::default(), places }
    }

    /// Answers a request with that query.
    pub async fn serve(&self, method: &Method, query: Option<&str>) -> Response<Body> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let fault = Fault::new(Reason::InvalidRequest, "GET the list here; agents are at /agents/NAME");
            return refusal(StatusCode::METHOD_NOT_ALLOWED, &fault);
        }
        let query = match Query::parse(query.unwrap_or_default(), &self.known.home) {
            Ok(query) => query,
            Err(reason) => {
                let fault = Fault::new(Reason::InvalidParams, reason);
                return refusal(StatusCode::BAD_REQUEST, &fault);
            }
        };
        let mut response = match self.places.clone().try_acquire_owned() {
            _ if !query.watch => self.list(&query).await,
            Ok(place) => self.watch(query, place),
            Err(_) => {
                let fault = Fault::new(Reason::RateLimited, format!("{WATCHING_MAX} callers watch already"));
                return refusal(StatusCode::TOO_MANY_REQUESTS, &fault);
            }
        };
        let scope = if self.known.directories.is_empty() { "known" } else { "mesh" };
        let headers = response.headers_mut();
        headers.insert(SCOPE, HeaderValue::from_static(scope));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn list(&self, query: &Query) -> Response<Body> {
        let told = self.told(query).await;
        let rows = merged(&self.known, query, told.agents.iter().flatten());
        // One by one: as trees of values they would take several times what they take as text.
        let rows: Vec<String> = rows.iter().map(|(name, row)| row.to_json(name).to_string()).collect();
        let mut response = Response::new(Body::new(Full::from(format!("[{}]", rows.join(",")))));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for warning in &*told.warnings {
            // What an error says may have any letters.
            let plain: String = warning.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
            headers.extend(HeaderValue::try_from(plain).ok().map(|text| (WARNING, text)));
        }
        response
    }

    /// What the directories say, or have just said.
    async fn told(&self, query: &Query) -> Told {
        if let Some(told) = self.asked().get(query).filter(|told| told.since.elapsed() < FRESH) {
            return told.clone();
        }
        let filter = query.filter();
        let answers = self.directories(query).map(|directory| directory.list(&filter));
        let (mut agents, mut bytes, mut warnings) = (Vec::new(), 0, Vec::new());
        for answer in join_all(answers).await {
            match answer {
                Ok(listed) => {
                    bytes += listed.bytes;
                    agents.push(listed.agents);
                }
                Err(error) => {
                    tracing::warn!(%error, "A directory does not answer");
                    warnings.push(error.to_string());
                }
            }
        }
        let (since, agents, warnings) = (Instant::now(), Arc::new(agents), Arc::new(warnings));
        let told = Told { since, agents, bytes, warnings };
        let mut asked = self.asked();
        asked.retain(|_, told| told.since.elapsed() < FRESH);
        let room = REMEMBERED_MAX.saturating_sub(asked.values().map(|told| told.bytes).sum());
        let fits = asked.len() < QUESTIONS_MAX && bytes <= room;
        // A directory that is away may be back by the next question.
        if fits && told.warnings.is_empty() && !self.known.directories.is_empty() {
            asked.insert(query.clone(), told.clone());
        }
        told
    }

    /// Those who may know what is asked for.
    fn directories(&self, query: &Query) -> impl Iterator<Item = &Directory> {
        let covers = |directory: &&Directory| query.mesh.as_ref().is_none_or(|mesh| directory.covers(mesh));
        self.known.directories.iter().filter(covers)
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<Query, Told>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
