//! Whole documents: the first part of a catalogue, which names the others, and those others. Readers take no more than 500
//! entries and 1 MiB at once.

use serde::Serialize;
use serde_json::{Value, json};

use super::Site;
use super::entry::{Entry, size};
use crate::directory::{Agent, Snapshot};

/// The most entries of a part, and the most bytes that they may take, as those of a page.
const ENTRIES_MAX: usize = 500;
pub(super) const BYTES_MAX: usize = 1_000_000;

/// Which part of a catalogue, from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Part(usize);

impl Part {
    pub(super) const FIRST: Self = Self(1);

    /// A part of its own, which the first is not.
    pub(super) fn of(number: usize) -> Option<Self> {
        (number > 1).then_some(Self(number))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    spec_version: &'static str,
    host: Value,
    entries: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Agent(Box<Entry<'a>>),
    /// Another part, or the search.
    Other(Value),
}

/// One part of the catalogue, if there is such a part. The first is always there.
pub(super) fn part(site: &Site, snapshot: &Snapshot, part: Part) -> Option<Vec<u8>> {
    let mut parts = parts(site.agents(snapshot).collect());
    let count = parts.len();
    let agents = if part == Part::FIRST && parts.is_empty() {
        Vec::new()
    } else {
        (part.0 <= count).then(|| parts.swap_remove(part.0 - 1))?
    };
    let entries = agents.into_iter().filter_map(|agent| Entry::of(site, agent, true));
    let mut entries: Vec<Item<'_>> = entries.map(Box::new).map(Item::Agent).collect();
    if part == Part::FIRST {
        entries.extend((2..=count).map(|number| Item::Other(nested(site, number))));
        entries.push(Item::Other(json!({
            "identifier": site.urn("registry"),
            "displayName": format!("Search of {}", site.domain),
            "type": "application/ai-registry+json",
            "url": format!("{}/", site.base),
        })));
    }
    let host = json!({"displayName": site.domain, "identifier": site.domain});
    serde_json::to_vec(&Document { spec_version: "1.0", host, entries }).ok()
}

fn nested(site: &Site, number: usize) -> Value {
    json!({
        "identifier": site.urn(&format!("catalog:{number}")),
        "displayName": format!("{}, part {number}", site.domain),
        "type": "application/ai-catalog+json",
        "url": format!("{}/catalogs/{number}", site.base),
    })
}

/// The agents in as many parts as are needed.
fn parts<'a>(agents: Vec<&'a Agent>) -> Vec<Vec<&'a Agent>> {
    let mut parts: Vec<Vec<&'a Agent>> = Vec::new();
    let mut left = 0;
    for agent in agents {
        let size = size(agent);
        match parts.last_mut() {
            Some(part) if part.len() < ENTRIES_MAX && size <= left => {
                part.push(agent);
                left -= size;
            }
            _ => {
                parts.push(vec![agent]);
                left = BYTES_MAX.saturating_sub(size);
            }
        }
    }
    parts
}
