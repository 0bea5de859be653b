//! One namespace of the own mesh: its agents, and the ways to list them.

use std::collections::HashMap;

use hickory_server::proto::rr::{
    Name as Domain, RData,
    rdata::{
        PTR, SVCB, TXT,
        svcb::{Alpn, SvcParamKey, SvcParamValue},
    },
};

use super::agent::Entry;
use super::records::{below, list, name_cost};
use super::table::{ALPN, CATALOG_PORT, LONGEST_TYPE, POINTERS_MAX, RECORD, ROOM, STRING_MAX, TCP, TYPES};

/// A namespace.
#[derive(Debug)]
pub(super) struct Namespace {
    /// Its name in the zone.
    pub(super) domain: Domain,
    pub(super) agents: HashMap<Box<str>, Entry>,
    /// The agents that fit into one answer, sorted.
    listed: Vec<Box<str>>,
    index: Option<String>,
}

impl Namespace {
    /// A namespace with agents that are sorted by name.
    pub(super) fn new(domain: Domain, agents: Vec<(Box<str>, Entry)>) -> Self {
        let names = || agents.iter().map(|(name, _)| name);
        let mut listing = Listing::new(&domain);
        let listed = names().take_while(|name| listing.takes(name, &domain)).cloned().collect();
        let entries: Vec<_> = names().map(|name| format!("{name}:a2a")).collect();
        let index = list("agents=", entries.iter().map(String::as_str), STRING_MAX);
        Self { domain, listed, index, agents: agents.into_iter().collect() }
    }

    /// The agents as DNS-AID's text: as many as one string holds, because its readers look no further.
    pub(super) fn index(&self) -> Option<RData> {
        self.index.clone().map(|index| RData::TXT(TXT::new(vec![index])))
    }

    /// Where the catalogue is: on the namespace's own name, which its certificate covers.
    pub(super) fn catalog(&self) -> RData {
        let params = vec![
            (SvcParamKey::Alpn, SvcParamValue::Alpn(Alpn(vec![ALPN.to_owned()]))),
            (SvcParamKey::Port, SvcParamValue::Port(CATALOG_PORT)),
        ];
        RData::SVCB(SVCB::new(1, self.domain.clone(), params))
    }

    /// The agents as DNS-SD's instances of `kind`.
    pub(super) fn instances(&self, kind: &str) -> Vec<RData> {
        self.listed.iter().filter_map(|agent| instance(agent, kind, &self.domain)).collect()
    }
}

/// A pointer to an instance of `kind`.
pub(super) fn instance(agent: &str, kind: &str, domain: &Domain) -> Option<RData> {
    below(domain, &[TCP, kind, agent]).map(pointer)
}

/// Pointers to the types that there are in `domain`.
pub(super) fn types(domain: &Domain) -> Vec<RData> {
    TYPES.iter().filter_map(|kind| below(domain, &[TCP, kind])).map(pointer).collect()
}

/// A PTR record's data.
pub(super) fn pointer(target: Domain) -> RData {
    RData::PTR(PTR(target))
}

/// How much room a list of instances leaves in its answer.
#[derive(Debug)]
pub(super) struct Listing {
    owner: usize,
    count: usize,
    room: usize,
}

impl Listing {
    /// A list that is found somewhere below `owner`.
    pub(super) fn new(owner: &Domain) -> Self {
        Self { owner: name_cost(owner) + LONGEST_TYPE, count: 0, room: ROOM }
    }

    /// Whether one more fits: an agent of `domain`.
    pub(super) fn takes(&mut self, agent: &str, domain: &Domain) -> bool {
        self.takes_name(name_cost(domain) + LONGEST_TYPE + agent.len() + 1)
    }

    /// Whether one more fits, whose name takes so many bytes.
    pub(super) fn takes_name(&mut self, name: usize) -> bool {
        let cost = self.owner + RECORD + name;
        let fits = self.count < POINTERS_MAX && cost <= self.room;
        self.room = self.room.saturating_sub(cost);
        self.count += 1;
        fits
    }
}
