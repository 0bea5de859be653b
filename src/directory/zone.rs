//! The zone that the directory answers for: the agents of a [`Snapshot`], as DNS tells of them.
//!
//! With `D` = `<namespace>.<zone>`, agents of the own mesh are at
//!
//! ```text
//! <agent>.D                          A AAAA SVCB TXT    _a2a._tcp.<agent>.D  SRV   <address>.<agent>.D  A AAAA
//! <agent>._agents.D                  SVCB               _index._agents.D     TXT SVCB (and other pointers)
//! _a2a._tcp.D  _agent._tcp.D         PTR                <agent>._a2a._tcp.D  SRV TXT
//! ```
//!
//! and those of other meshes at `_a2a._tcp.<agent>.<namespace>.<mesh>.<zone>`, with hosts below
//! `<agent>.<namespace>.<mesh>.<zone>` and nothing else. So no record of one kind has two meanings, even if a mesh is called
//! like a namespace: own hosts have three labels below the zone, foreign ones have four, and so on.
//!
//! DNS knows no caller, so whatever is here is for everybody in the cluster: names and addresses, which the cluster's own
//! DNS tells everybody too, and the skills and versions of public cards. The list that is filtered by who asks is the gRPC
//! service's.

mod agent;
mod gaps;
mod message;
mod namespace;
mod node;
mod records;
mod replicas;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use hickory_server::proto::ProtoError;
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::{
    Name as Domain, RData, Record, RecordType,
    rdata::{HINFO, NS, SOA, TXT},
};
use rand::rngs::SmallRng;

use self::agent::Entry;
use self::gaps::Gaps;
pub use self::message::{Reply, Transport, respond};
use self::namespace::{Listing, Namespace};
use self::records::{below, name_cost};
use self::replicas::Replicas;
use self::table::{TTL_LONG, TTL_SHORT};
use super::{Agent, Snapshot};

/// The times of the SOA record that nobody uses, because nobody copies the zone: refresh, retry, expire.
const SOA_TIMES: [i32; 3] = [7200, 1800, 86400];
/// The most labels below the zone that a name of it has, and one more.
const LABELS_MAX: usize = 6;

/// What the zone is called, and whose it is.
#[derive(Clone, Debug)]
pub struct Settings {
    origin: Domain,
    mesh: String,
    trust_domain: String,
}

/// Why a text is no zone.
#[derive(Debug, thiserror::Error)]
#[error("{zone:?} is no DNS zone: {reason}")]
pub struct BadZone {
    zone: String,
    reason: ProtoError,
}

/// The zone at one moment. To look a name up takes the same time whatever its size.
#[derive(Debug)]
pub struct Zone {
    settings: Settings,
    serial: u32,
    addresses: Vec<IpAddr>,
    gaps: Gaps,
    namespaces: HashMap<Box<str>, Namespace>,
    meshes: HashMap<Box<str>, Mesh>,
    /// The own namespaces that fit into an answer, sorted.
    domains: Vec<Domain>,
    /// The own agents that fit into an answer, and their namespaces.
    everybody: Vec<(Box<str>, Domain)>,
}

/// The agents of another mesh, by namespace and name.
#[derive(Debug, Default)]
struct Mesh(HashMap<Box<str>, HashMap<Box<str>, Replicas>>);

/// What is answered to a question.
#[derive(Debug, Default)]
pub struct Answer {
    /// How it went.
    pub code: ResponseCode,
    /// Whether the name is in the zone.
    pub authoritative: bool,
    /// What was asked for.
    pub answers: Vec<Record>,
    /// The SOA record, if there is nothing.
    pub authorities: Vec<Record>,
    /// Addresses that save a question.
    pub additionals: Vec<Record>,
}

impl Settings {
    /// A zone such as `a2a.cluster.local`, with or without a dot at its end.
    ///
    /// # Errors
    /// If it is no domain name.
    pub fn new(zone: &str, mesh: &str, trust_domain: &str) -> Result<Self, BadZone> {
        let origin = Domain::from_ascii(zone.to_ascii_lowercase()).map(|mut origin| {
            origin.set_fqdn(true);
            origin
        });
        let origin = origin.map_err(|reason| BadZone { zone: zone.to_owned(), reason })?;
        Ok(Self { origin, mesh: mesh.to_owned(), trust_domain: trust_domain.to_owned() })
    }
}

impl Zone {
    /// The zone of a snapshot. What DNS cannot spell, because its name would be too long, is left out. `serial` should grow
    /// from one zone to the next.
    pub fn new(snapshot: &Snapshot, settings: Settings, serial: u32) -> Self {
        let mut own: BTreeMap<&str, Vec<&Agent>> = BTreeMap::new();
        let mut meshes: HashMap<Box<str>, Mesh> = HashMap::new();
        for (name, agent) in &snapshot.agents {
            if name.mesh() == settings.mesh {
                own.entry(name.namespace()).or_default().push(agent);
            } else if let Some(domain) =
                below(&settings.origin, &[name.mesh(), name.namespace(), name.agent()])
            {
                let mesh = meshes.entry(name.mesh().into()).or_default();
                let agents = mesh.0.entry(name.namespace().into()).or_default();
                agents.insert(name.agent().into(), Replicas::new(domain, &agent.endpoints));
            }
        }
        let mut namespaces = HashMap::new();
        let (mut domains, mut everybody) = (Vec::new(), Vec::new());
        let mut listing = [Listing::new(&settings.origin), Listing::new(&settings.origin)];
        let [listed_domains, listed_agents] = &mut listing;
        for (namespace, agents) in own {
            let Some(domain) = below(&settings.origin, &[namespace]) else { continue };
            if listed_domains.takes_name(name_cost(&domain)) {
                domains.push(domain.clone());
            }
            let entry = |agent: &&Agent| {
                let name = agent.name.agent();
                Some((name.into(), Entry::new(agent, below(&domain, &[name])?, &domain)))
            };
            let agents: Vec<(Box<str>, Entry)> = agents.iter().filter_map(entry).collect();
            let fitting = agents.iter().take_while(|(name, _)| listed_agents.takes(name, &domain));
            everybody.extend(fitting.map(|(name, _)| (name.clone(), domain.clone())));
            namespaces.insert(namespace.into(), Namespace::new(domain, agents));
        }
        let addresses = snapshot.addresses.clone();
        let gaps = Gaps::of(snapshot);
        Self { settings, serial, addresses, gaps, namespaces, meshes, domains, everybody }
    }

    /// Answers a question of the class IN. `chance` decides which addresses are told, and in which order. The records are
    /// called as they were asked for, letter for letter. What is not known cannot be denied: SERVFAIL.
    pub fn answer(&self, name: &Domain, kind: RecordType, chance: &mut SmallRng) -> Answer {
        if !self.settings.origin.zone_of(name) || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
            return Answer { code: ResponseCode::Refused, ..Answer::default() };
        }
        let labels = self.labels(name);
        let labels: Option<Vec<&str>> =
            labels.as_ref().map(|labels| labels.iter().map(String::as_str).collect());
        let mut answer = Answer { authoritative: true, ..Answer::default() };
        let mut exists = false;
        for node in labels.iter().flat_map(|labels| self.nodes(labels)) {
            exists = true;
            if kind == RecordType::ANY {
                if !matches!(node, node::Node::Parent) {
                    answer.answers = vec![minimal(name)];
                }
                continue;
            }
            let found = self.records(node, kind, chance);
            let record = |data| Record::from_rdata(name.clone(), found.ttl, data);
            answer.answers.extend(found.data.into_iter().map(record));
            answer.additionals.extend(found.additionals);
        }
        if answer.answers.is_empty() && labels.is_some_and(|labels| self.gaps.may_hide(&labels)) {
            return Answer { code: ResponseCode::ServFail, ..Answer::default() };
        }
        if !exists {
            answer.code = ResponseCode::NXDomain;
        }
        if answer.answers.is_empty() {
            let authority = Record::from_rdata(self.settings.origin.clone(), TTL_SHORT, self.authority());
            answer.authorities.push(authority);
        }
        answer
    }

    /// The labels of a name below the zone, in lower case, the last one first. None if no name of the zone looks like that.
    fn labels(&self, name: &Domain) -> Option<Vec<String>> {
        let below =
            usize::from(name.num_labels()).checked_sub(usize::from(self.settings.origin.num_labels()))?;
        if below >= LABELS_MAX {
            return None;
        }
        let lower = |label: &[u8]| str::from_utf8(label).map(str::to_ascii_lowercase).ok();
        let mut labels: Vec<_> = name.iter().take(below).map(lower).collect::<Option<_>>()?;
        labels.reverse();
        Some(labels)
    }

    fn authority(&self) -> RData {
        let origin = &self.settings.origin;
        let mail = below(origin, &["hostmaster"]).unwrap_or_else(|| origin.clone());
        let [refresh, retry, expire] = SOA_TIMES;
        RData::SOA(SOA::new(origin.clone(), mail, self.serial, refresh, retry, expire, TTL_SHORT))
    }

    /// The zone's own name has the directory's addresses.
    fn nameserver(&self) -> RData {
        RData::NS(NS(self.settings.origin.clone()))
    }
}

fn text(text: &str) -> RData {
    RData::TXT(TXT::new(vec![text.to_owned()]))
}

/// What is answered to who asks for everything (RFC 8482).
fn minimal(name: &Domain) -> Record {
    Record::from_rdata(name.clone(), TTL_LONG, RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new())))
}

#[cfg(test)]
mod tests;
