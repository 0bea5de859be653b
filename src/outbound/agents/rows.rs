//! One line for each agent, out of all that is known of it.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use serde_json::{Value, json};

use super::Known;
use super::query::Query;
use crate::a2a::Name;
use crate::proto::mesh::{Agent, Skill};
use crate::proto::{AgentCard, AgentSkill};

/// What is told of an agent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Row {
    /// Those that take calls.
    endpoints: BTreeSet<String>,
    skills: Vec<Told>,
    /// Why the directory could not read its card.
    card_error: String,
}

/// A skill.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Told {
    id: String,
    name: String,
    description: String,
    tags: Vec<String>,
}

impl Row {
    pub(super) fn to_json(&self, name: &Name) -> Value {
        let skills = self.skills.iter().map(|Told { id, name, description, tags }| {
            json!({"id": id, "name": name, "description": description, "tags": tags})
        });
        let mut row = json!({
            "name": name.as_str(),
            "mesh": name.mesh(),
            "endpoints": self.endpoints,
            "healthy": !self.endpoints.is_empty(),
            "skills": skills.collect::<Value>(),
        });
        if let Some(members) = row.as_object_mut().filter(|_| !self.card_error.is_empty()) {
            members.insert("cardError".to_owned(), self.card_error.clone().into());
        }
        row
    }

    fn texts<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a str> {
        let skills = self.skills.iter().flat_map(|skill| {
            let tags = skill.tags.iter().map(String::as_str);
            [&*skill.id, &*skill.name, &*skill.description].into_iter().chain(tags)
        });
        std::iter::once(name.as_str()).chain(skills)
    }
}

/// The agents that are asked for: those that directories have `told` of, and those that this sidecar knows by itself, which
/// may be others. Of the directories that know an agent the first one is believed and no other: endpoints of two of them
/// would be those of neither. Not so what this sidecar has found out: there it would call, so it is shown as well.
///
/// It is the first for each agent and not for a whole mesh, because a mesh's directory may show less to a sidecar than to
/// our own directory, which then still tells of the rest.
pub(super) fn merged<'a>(
    known: &Known,
    query: &Query,
    told: impl Iterator<Item = (&'a Name, &'a Agent)>,
) -> BTreeMap<Name, Row> {
    let mut rows = BTreeMap::<Name, Row>::new();
    for (name, agent) in told.filter(|(name, _)| is_asked_for(query, name)) {
        rows.entry(name.clone()).or_insert_with(|| Row::from(agent));
    }
    for kept in known.discovery.snapshot().into_iter().filter(|kept| is_asked_for(query, &kept.name)) {
        let card = || AgentCard::decode(known.cards.kept(&kept.name)?).ok();
        let row = rows.entry(kept.name.clone()).or_default();
        row.endpoints.extend(kept.endpoints.addresses.iter().map(ToString::to_string));
        if row.skills.is_empty() {
            let skills = card().map(|card| card.skills).unwrap_or_default();
            row.skills = skills.into_iter().map(Told::from).collect();
        }
    }
    rows.retain(|name, row| query.words.are_in(row.texts(name)));
    rows
}

fn is_asked_for(query: &Query, name: &Name) -> bool {
    query.namespace.as_ref().is_none_or(|namespace| name.namespace() == namespace)
        && query.mesh.as_ref().is_none_or(|mesh| name.mesh() == mesh)
}

impl From<&Agent> for Row {
    fn from(agent: &Agent) -> Self {
        let ready = agent.endpoints.iter().filter(|endpoint| endpoint.ready);
        Self {
            endpoints: ready.map(|endpoint| endpoint.address.clone()).collect(),
            skills: agent.skills.iter().map(Told::from).collect(),
            card_error: agent.card_error.clone(),
        }
    }
}

impl From<&Skill> for Told {
    fn from(skill: &Skill) -> Self {
        let Skill { id, name, description, tags } = skill.clone();
        Self { id, name, description, tags }
    }
}

impl From<AgentSkill> for Told {
    fn from(skill: AgentSkill) -> Self {
        let AgentSkill { id, name, description, tags, .. } = skill;
        Self { id, name, description, tags }
    }
}
