//! One agent in a catalogue: an entry of ARD, with the card in it where there is room.
//!
//! The card there is the one that others can use: its interfaces are the agent's in the mesh, and it says so in both
//! dialects, because readers of the catalogue look for the `url` of 0.3.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Site;
use crate::a2a::{Binding, Dialect};
use crate::card::serve::Served;
use crate::card::{self, MeshAddress};
use crate::codec;
use crate::directory::{Agent, Card};

/// The media type of cards in catalogues.
pub(super) const TYPE: &str = "application/a2a-agent-card+json";
/// The largest card that stands in an entry; of a larger one there is the URL.
const INLINE_MAX: usize = 64 << 10;
/// The port of agents without endpoints.
const PORT: u16 = 2643;
/// How many examples of what to ask are taken over, and how long each may be.
const QUERIES: (usize, usize) = (5, 200);
/// What an entry takes beside its card and what it takes out of it.
const BESIDE: usize = 1 << 10;
/// What the card takes beside its text, when it has other interfaces and says how to be secure.
const REWRITTEN: usize = 1 << 10;

/// An entry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    identifier: String,
    display_name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    capabilities: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    representative_queries: Vec<String>,
    #[serde(flatten)]
    locator: Locator,
}

/// Where the card is: exactly one of the two.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Locator {
    Data(Box<RawValue>),
    Url(String),
}

/// The part of a card that only catalogues tell.
#[derive(Deserialize)]
struct Examples {
    skills: Vec<Skill>,
}

#[derive(Deserialize)]
struct Skill {
    #[serde(default)]
    examples: Vec<String>,
}

impl<'a> Entry<'a> {
    /// The entry of an agent that has a card, with the card in it if that is wanted and possible.
    pub(super) fn of(site: &Site, agent: &'a Agent, inline: bool) -> Option<Self> {
        let card = agent.card.as_ref()?;
        let (name, namespace) = (agent.name.agent(), agent.name.namespace());
        let display_name = if card.display_name.is_empty() { name } else { &card.display_name };
        let data = if inline { for_others(site, agent) } else { None };
        Some(Self {
            identifier: site.urn(&format!("{namespace}:{name}")),
            display_name,
            kind: TYPE,
            description: &card.description,
            version: &card.version,
            tags: tags(card),
            capabilities: card.skills.iter().map(|skill| &*skill.id).filter(|id| !id.is_empty()).collect(),
            representative_queries: queries(&card.text),
            locator: data.map_or_else(|| Locator::Url(url(site, agent)), Locator::Data),
        })
    }

    pub(super) fn to_json(&self) -> String {
        // There is nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// How many bytes an entry takes, before it is written: documents are cut by it.
pub(super) fn size(agent: &Agent) -> usize {
    let Some(card) = &agent.card else { return 0 };
    let skills = card.skills.iter().map(|skill| skill.id.len() + 3);
    let tags = tags(card).into_iter().map(|tag| tag.len() + 3);
    let (examples, longest) = QUERIES;
    let taken_out = card.description.len() + card.display_name.len() + skills.chain(tags).sum::<usize>();
    data_max(card.text.len()) + taken_out + examples * longest + BESIDE
}

/// The most bytes of a card in an entry whose text has so many.
fn data_max(text: usize) -> usize {
    if text > INLINE_MAX { 0 } else { text + text / 2 + REWRITTEN }
}

fn tags(card: &Card) -> Vec<&str> {
    let mut tags: Vec<&str> = card.skills.iter().flat_map(|skill| &skill.tags).map(String::as_str).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Where the card is as its agent wrote it.
fn url(site: &Site, agent: &Agent) -> String {
    let name = match site.namespace {
        Some(_) => agent.name.agent().to_owned(),
        None => format!("{}.{}", agent.name.agent(), agent.name.namespace()),
    };
    format!("{}/agents/{name}/agent-card.json", site.base)
}

/// The card as others can use it; none if it is too long, or not one that can be rewritten.
fn for_others(site: &Site, agent: &Agent) -> Option<Box<RawValue>> {
    let text = &agent.card.as_ref().filter(|card| card.text.len() <= INLINE_MAX)?.text;
    let port = agent.endpoints.first().map_or(PORT, |endpoint| endpoint.address.port());
    let address = MeshAddress::in_zone(&agent.name, &site.zone, port);
    let bindings = [Binding::Jsonrpc, Binding::Grpc, Binding::HttpJson];
    let written = || -> Result<_, codec::Error> {
        let text = str::from_utf8(text).map_err(|_| codec::Cause::Invalid("no UTF-8".into()))?;
        let wire = codec::v0_3::card::read(text, card::MAX)?;
        Served::card(&card::for_mesh(&wire, &address, &bindings)?, Dialect::V0_3, None)
    };
    let card = match written() {
        Ok(card) => card,
        Err(error) => {
            tracing::debug!(agent = %agent.name, %error, "A card is not shown in the catalogue itself");
            return None;
        }
    };
    let json = String::from_utf8(card.body().to_vec()).ok()?;
    // Interfaces and security say more than before, but not without bounds.
    (json.len() <= data_max(text.len())).then(|| RawValue::from_string(json).ok()).flatten()
}

/// What people may ask, as the skills' examples say it.
fn queries(card: &[u8]) -> Vec<String> {
    let (most, longest) = QUERIES;
    let examples: Examples = serde_json::from_slice(card).unwrap_or_else(|_| Examples { skills: Vec::new() });
    let examples = examples.skills.into_iter().flat_map(|skill| skill.examples);
    examples.filter(|example| !example.is_empty() && example.len() <= longest).take(most).collect()
}
