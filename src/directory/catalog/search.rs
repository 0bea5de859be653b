//! Finding agents: the list, page by page, and `POST /search` as registries of ARD have it.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::document::BYTES_MAX;
use super::entry::{self, Entry, TYPE};
use super::{Refusal, Site};
use crate::directory::{Agent, Snapshot};
use crate::discovery::Words;

/// How many agents a page has, if the caller does not say, and at most.
const PAGE: (usize, usize) = (10, 100);
/// The most bytes of words to look for.
const TEXT_MAX: usize = 256;
const LIST: (usize, usize) = (100, 1000);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search {
    query: Query,
    #[serde(default)]
    page_size: usize,
    #[serde(default)]
    page_token: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Query {
    Text(String),
    Full {
        #[serde(default)]
        text: String,
        #[serde(default)]
        filter: Filter,
    },
}

/// What must hold of each result; in each list one that does is enough.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Filter {
    #[serde(default, rename = "type")]
    kind: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    capabilities: Vec<String>,
}

/// What the body of a search finds: the agents that most of its words are found in first.
pub(super) fn search(site: &Site, snapshot: &Snapshot, body: &[u8]) -> Result<Value, Refusal> {
    let search: Search = serde_json::from_slice(body).map_err(|error| {
        bad(format!("no search: {error}; write {{\"query\": {{\"text\": \"…\", \"filter\": {{…}}}}}}"))
    })?;
    let (text, filter) = match search.query {
        Query::Text(text) => (text, Filter::default()),
        Query::Full { text, filter } => (text, filter),
    };
    if text.len() > TEXT_MAX {
        return Err(bad(format!("query.text has more than {TEXT_MAX} bytes")));
    }
    let words = Words::of(&text);
    let mut found: Vec<(usize, &Agent)> = site
        .agents(snapshot)
        .filter(|agent| filter.takes(agent))
        .map(|agent| (words.found_in(texts(agent)), agent))
        .filter(|(found, _)| *found > 0 || words.is_empty())
        .collect();
    // Sorted by name already, and what is alike stays so.
    found.sort_by_key(|(found, _)| std::cmp::Reverse(*found));
    let (size, start) = place(search.page_size, &search.page_token, PAGE)?;
    let total = words.len().max(1);
    let mut results = Vec::new();
    for (found, agent) in found.iter().skip(start).take(size) {
        let mut entry = entry(site, agent)?;
        if let Some(members) = entry.as_object_mut() {
            let score = if words.is_empty() { 100 } else { found * 100 / total };
            members.insert("score".to_owned(), score.into());
            members.insert("source".to_owned(), site.base.clone().into());
        }
        results.push(entry);
    }
    let mut answer = json!({"results": results});
    if start.saturating_add(size) < found.len()
        && let Some(members) = answer.as_object_mut()
    {
        members.insert("pageToken".to_owned(), (start + size).to_string().into());
    }
    Ok(answer)
}

/// A page of all agents, as the query says (`pageSize`, `pageToken`).
pub(super) fn list(site: &Site, snapshot: &Snapshot, query: &str) -> Result<Value, Refusal> {
    let (mut size, mut token) = (0, "");
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match key {
            "pageSize" => {
                size = value.parse().map_err(|_| bad(format!("pageSize {value:?} is no number")))?
            }
            "pageToken" => token = value,
            _ => {}
        }
    }
    let (size, start) = place(size, token, LIST)?;
    let mut agents = site.agents(snapshot).skip(start).peekable();
    let (mut entries, mut left) = (Vec::new(), BYTES_MAX);
    // A page has one agent at least, whatever its size.
    while entries.len() < size
        && let Some(agent) = agents.next_if(|agent| entries.is_empty() || entry::size(agent) <= left)
    {
        left = left.saturating_sub(entry::size(agent));
        entries.push(entry(site, agent)?);
    }
    let next = start + entries.len();
    let mut answer = json!({"entries": entries});
    if agents.peek().is_some()
        && let Some(members) = answer.as_object_mut()
    {
        members.insert("pageToken".to_owned(), next.to_string().into());
    }
    Ok(answer)
}

impl Filter {
    fn takes(&self, agent: &Agent) -> bool {
        let skills = || agent.card.iter().flat_map(|card| &card.skills);
        let any = |wanted: &[String], has: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|wanted| has(wanted))
        };
        any(&self.kind, &|kind| kind == TYPE)
            && any(&self.tags, &|tag| skills().any(|skill| skill.tags.iter().any(|has| has == tag)))
            && any(&self.capabilities, &|id| skills().any(|skill| skill.id == id))
    }
}

/// What an agent can be found by here.
fn texts(agent: &Agent) -> impl Iterator<Item = &str> {
    let card = agent.card.iter().flat_map(|card| [&*card.display_name, &*card.description]);
    agent.texts().chain(card)
}

/// The size of a page, and where it begins.
fn place(size: usize, token: &str, (usual, most): (usize, usize)) -> Result<(usize, usize), Refusal> {
    let start = match token {
        "" => 0,
        token => token.parse().map_err(|_| bad(format!("pageToken {token:?} is none of ours")))?,
    };
    Ok((if size == 0 { usual } else { size.min(most) }, start))
}

/// The entry of an agent, with the address of its card.
fn entry(site: &Site, agent: &Agent) -> Result<Value, Refusal> {
    let entry = Entry::of(site, agent, false).map(serde_json::to_value);
    let unwritable =
        || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "an entry cannot be written".to_owned());
    entry.and_then(Result::ok).ok_or_else(unwritable)
}

fn bad(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, message)
}
