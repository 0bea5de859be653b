//! The gRPC service: who asks is told of the agents whose cards the policy lets it read, and of no others.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use prost::Message as _;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

mod changes;

use super::{Agent, Known, Metrics, message};
use crate::a2a::{Home, Name, Operation};
use crate::discovery::Words;
use crate::drain::Drain;
use crate::identity::SpiffeId;
use crate::policy::rules::Rules;
use crate::proto::mesh::directory_server::Directory;
use crate::proto::mesh::{AgentEvent, Filter, ListAgentsRequest, ListAgentsResponse, WatchAgentsRequest};

/// The most agents of a page, and how many there are where the caller does not say.
const PAGE_MAX: usize = 1000;
/// A page is full with so many bytes; its last agent may go beyond.
const PAGE_BYTES: usize = 2 << 20;
/// How many callers may follow the changes at once.
const WATCHERS_MAX: usize = 256;
/// The most bytes of words to look for.
const WORDS_MAX: usize = 256;

/// Who asks, as the connection has proved it. The listener puts it beside each request.
#[derive(Clone, Debug)]
pub struct Caller(pub SpiffeId);

/// Answers about agents.
#[derive(Clone, Debug)]
pub struct Service {
    known: Known,
    rules: Arc<Rules>,
    drain: Drain,
    metrics: Metrics,
    places: Arc<Semaphore>,
}

/// What one caller may see of what it asks for.
#[derive(Clone, Debug)]
struct View {
    caller: SpiffeId,
    rules: Arc<Rules>,
    namespace: String,
    mesh: String,
    words: Words,
    brief: bool,
}

impl Service {
    /// Answers from the latest snapshot what `rules` allow.
    pub fn new(known: Known, rules: Arc<Rules>, drain: Drain, metrics: Metrics) -> Self {
        let places = Arc::new(Semaphore::new(WATCHERS_MAX));
        Self { known, rules, drain, metrics, places }
    }

    fn view<T>(&self, request: &Request<T>, filter: Option<Filter>, brief: bool) -> Result<View, Status> {
        let caller = request.extensions().get::<Caller>();
        let Caller(caller) = caller.ok_or_else(|| Status::unauthenticated("no identity"))?;
        let Filter { namespace, mesh, skill, own } = filter.unwrap_or_default();
        let mesh = match own {
            true if !mesh.is_empty() && mesh != *self.known.mesh => {
                return Err(Status::invalid_argument(format!(
                    "filter.own and filter.mesh {mesh:?} exclude each other"
                )));
            }
            true => self.known.mesh.to_string(),
            false => mesh,
        };
        if skill.len() > WORDS_MAX {
            return Err(Status::invalid_argument(format!("filter.skill has more than {WORDS_MAX} bytes")));
        }
        let (caller, rules) = (caller.clone(), Arc::clone(&self.rules));
        Ok(View { caller, rules, namespace, mesh, words: Words::of(&skill), brief })
    }
}

impl View {
    /// Whether the caller asks for that agent, and may know of it.
    fn shows(&self, agent: &Agent) -> bool {
        let wanted = |asked: &str, is: &str| asked.is_empty() || asked == is;
        wanted(&self.mesh, agent.name.mesh())
            && wanted(&self.namespace, agent.name.namespace())
            && self.words.are_in(agent.texts())
            && self.rules.allow(self.caller.as_str(), &agent.name, Operation::GetAgentCard)
    }
}

impl Agent {
    /// What it can be found by: its name, and what its card says of its skills.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let skills = self.card.iter().flat_map(|card| &card.skills);
        let skills = skills.flat_map(|skill| {
            let tags = skill.tags.iter().map(String::as_str);
            [&*skill.id, &*skill.name, &*skill.description].into_iter().chain(tags)
        });
        std::iter::once(self.name.as_str()).chain(skills)
    }
}

#[tonic::async_trait]
impl Directory for Service {
    async fn list_agents(
        &self,
        request: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        let ListAgentsRequest { filter, page_size, page_token, brief } = request.get_ref().clone();
        let view = self.view(&request, filter, brief)?;
        let most = match usize::try_from(page_size) {
            Ok(0) => PAGE_MAX,
            Ok(size) => size.min(PAGE_MAX),
            Err(_) => return Err(Status::invalid_argument(format!("page_size is {page_size}"))),
        };
        let snapshot = self.known.now().map_err(Status::unavailable)?;
        page(&snapshot.agents, &view, &page_token, most).map(Response::new)
    }

    type WatchAgentsStream = Pin<Box<dyn Stream<Item = Result<AgentEvent, Status>> + Send>>;

    async fn watch_agents(
        &self,
        request: Request<WatchAgentsRequest>,
    ) -> Result<Response<Self::WatchAgentsStream>, Status> {
        let WatchAgentsRequest { filter, brief } = request.get_ref().clone();
        let view = self.view(&request, filter, brief)?;
        self.known.now().map_err(Status::unavailable)?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| {
            Status::resource_exhausted(format!("{WATCHERS_MAX} callers follow the changes already"))
        })?;
        let counted = changes::Counted::new(&self.metrics.watchers, place);
        let events = changes::follow(view, self.known.snapshots.clone(), self.drain.clone(), counted);
        Ok(Response::new(Box::pin(events)))
    }
}

/// The agents behind the one that the token names. A token is the last name of the page before, so that agents that come
/// and go in between move no others.
fn page(
    agents: &BTreeMap<Name, Arc<Agent>>,
    view: &View,
    token: &str,
    most: usize,
) -> Result<ListAgentsResponse, Status> {
    let start = match token {
        "" => Bound::Unbounded,
        token => {
            let nowhere = Home { namespace: String::new(), mesh: String::new() };
            let name = Name::parse(token, &nowhere);
            Bound::Excluded(name.map_err(|error| Status::invalid_argument(format!("page_token: {error}")))?)
        }
    };
    let mut visible = agents
        .range((start, Bound::Unbounded))
        .map(|(_, agent)| agent)
        .filter(|agent| view.shows(agent))
        .peekable();
    let (mut page, mut bytes) = (ListAgentsResponse::default(), 0);
    while let Some(agent) = visible.next() {
        let told = message::write(agent, view.brief);
        bytes += told.encoded_len();
        page.agents.push(told);
        if page.agents.len() >= most || bytes >= PAGE_BYTES {
            if visible.peek().is_some() {
                page.next_page_token = agent.name.to_string();
            }
            break;
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests;
