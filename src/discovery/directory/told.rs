//! What is known of a directory's agents, and how much memory that takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::remit::full_name;
use super::{MOST, weight};
use crate::a2a::Name;
use crate::proto::mesh::Agent;

/// Agents by name.
pub(super) type Agents = BTreeMap<Name, Arc<Agent>>;

/// What is known of a directory's agents.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// By name.
    pub agents: Agents,
    /// Why it does not tell any more, or has not begun to; what it told last is kept for a while.
    pub trouble: Option<Arc<str>>,
    /// Whether these are all: it has told of all of them, and not longer ago than that is kept.
    pub complete: bool,
    /// How much memory they take, in bytes.
    bytes: usize,
}

impl Told {
    /// Puts an agent in its place, if there is room for `most` bytes; whether anything has changed.
    pub(super) fn put(&mut self, name: Name, agent: Agent, most: usize) -> Result<bool, String> {
        let known = self.agents.get(&name);
        if known.is_some_and(|known| **known == agent) {
            return Ok(false);
        }
        if known.is_none() && self.agents.len() >= MOST {
            return Err(format!("of more than {MOST} agents"));
        }
        let bytes = self.bytes - known.map_or(0, |known| weight(known)) + weight(&agent);
        if bytes > most {
            return Err(format!("more than {} MiB", most >> 20));
        }
        self.bytes = bytes;
        self.agents.insert(name, Arc::new(agent));
        Ok(true)
    }

    /// Forgets all of it.
    pub(super) fn forget(&mut self) {
        (self.agents, self.bytes, self.complete) = (BTreeMap::new(), 0, false);
    }

    /// Whether there was such an agent.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let removed = full_name(name).and_then(|name| self.agents.remove(&name));
        self.bytes -= removed.as_ref().map_or(0, |agent| weight(agent));
        removed.is_some()
    }
}

/// An agent with its card. A directory that has just begun anew may not have read all cards yet: the last one is kept.
pub(super) fn with_card(agent: Agent, known: Option<&Arc<Agent>>) -> Agent {
    match known {
        Some(known) if agent.card.is_empty() && agent.card_read.is_none() => {
            let Agent { name, endpoints, card_error, .. } = agent;
            Agent { name, endpoints, card_error, ..Agent::clone(known) }
        }
        _ => agent,
    }
}
