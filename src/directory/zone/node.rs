//! What is at one name of the zone, and the records of it.

use std::net::IpAddr;

use hickory_server::proto::rr::{Name as Domain, RData, Record, RecordType};
use rand::rngs::SmallRng;

use super::agent::Entry;
use super::namespace::{Namespace, instance, pointer, types};
use super::records::addresses;
use super::replicas::Replicas;
use super::table::{
    AGENTS, DNS_SD, DOMAINS, INDEX, POINTERS, SERVICE, SERVICES, TCP, TTL_LONG, TTL_SHORT, TYPES, UDP,
    VERSION, VERSION_LABEL,
};
use super::{Mesh, Zone};

/// What is at one name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'a> {
    /// An agent of the own mesh.
    Agent(&'a Entry),
    /// An agent on the branch that can be walked.
    Alias(&'a Entry),
    /// The zone itself.
    Apex,
    /// The namespaces.
    Domains,
    /// Agents of all namespaces, of a type.
    Everybody(&'a str),
    /// A replica's host.
    Host(IpAddr),
    /// The text with a namespace's agents.
    Index(&'a Namespace),
    /// An agent as DNS-SD knows it.
    Instance(&'a Entry),
    /// The agents of a namespace, of a type.
    Instances(&'a Namespace, &'a str),
    /// A namespace of the own mesh.
    Namespace,
    /// Nothing but other names below it.
    Parent,
    /// A pointer to the catalogue.
    Pointer(&'a Namespace),
    /// The replicas of an agent.
    Service(&'a Replicas),
    /// The types of a domain.
    Types(&'a Domain),
    /// The text with the zone's layout.
    Version,
}

/// The records that answer a question: their data, and what is worth knowing beside.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) ttl: u32,
    pub(super) data: Vec<RData>,
    pub(super) additionals: Vec<Record>,
}

impl Found {
    fn long(data: impl IntoIterator<Item = RData>) -> Self {
        Self { ttl: TTL_LONG, data: data.into_iter().collect(), additionals: Vec::new() }
    }

    fn short(data: Vec<RData>) -> Self {
        Self { ttl: TTL_SHORT, data, additionals: Vec::new() }
    }
}

impl Zone {
    /// Everything that is at a name, given by its labels below the zone, the last one first. A name may stand for two
    /// things (a namespace may be called like another mesh), but then at most one of them has records of any one kind.
    pub(super) fn nodes<'a>(&'a self, labels: &[&'a str]) -> impl Iterator<Item = Node<'a>> {
        let version = (labels == [VERSION_LABEL]).then_some(Node::Version);
        [self.own(labels), self.foreign(labels), version].into_iter().flatten()
    }

    fn own<'a>(&'a self, labels: &[&'a str]) -> Option<Node<'a>> {
        Some(match *labels {
            [] => Node::Apex,
            [UDP] | [UDP, DNS_SD] | [TCP] => Node::Parent,
            [UDP, DNS_SD, SERVICES] => Node::Types(&self.settings.origin),
            [UDP, DNS_SD, list] if DOMAINS.contains(&list) => Node::Domains,
            [TCP, kind] if TYPES.contains(&kind) => Node::Everybody(kind),
            [namespace, ref rest @ ..] => self.namespaces.get(namespace)?.node(rest)?,
        })
    }

    /// Agents of other meshes have a service and hosts, and nothing else: `agent.namespace.mesh`.
    fn foreign<'a>(&'a self, labels: &[&'a str]) -> Option<Node<'a>> {
        let [mesh, ref rest @ ..] = *labels else { return None };
        let Mesh(namespaces) = self.meshes.get(mesh)?;
        let [namespace, ref rest @ ..] = *rest else { return Some(Node::Parent) };
        let agents = namespaces.get(namespace)?;
        let [agent, ref rest @ ..] = *rest else { return Some(Node::Parent) };
        let replicas = agents.get(agent)?;
        if rest.is_empty() { Some(Node::Parent) } else { replicas.node(rest) }
    }

    /// The records of one kind at `node`.
    pub(super) fn records(&self, node: Node<'_>, kind: RecordType, chance: &mut SmallRng) -> Found {
        let settings = &self.settings;
        match (node, kind) {
            (Node::Apex, RecordType::SOA) => Found::short(vec![self.authority()]),
            (Node::Apex, RecordType::NS) => Found::long([self.nameserver()]),
            (Node::Apex | Node::Namespace, RecordType::A | RecordType::AAAA) => {
                Found::long(addresses(&self.addresses, kind, chance))
            }
            (Node::Agent(entry), RecordType::A | RecordType::AAAA) => {
                Found::short(addresses(&entry.replicas.addresses(), kind, chance))
            }
            (Node::Agent(entry), RecordType::SVCB) => Found::long([entry.service(settings)]),
            (Node::Agent(entry), RecordType::TXT) => Found::long(entry.text()),
            (Node::Alias(entry), RecordType::SVCB) => Found::long([entry.alias()]),
            (Node::Host(host), RecordType::A | RecordType::AAAA) => {
                Found::short(addresses(&[host], kind, chance))
            }
            (Node::Service(replicas), RecordType::SRV) => {
                let (data, additionals) = replicas.services();
                Found { additionals, ..Found::short(data) }
            }
            (Node::Instance(entry), RecordType::SRV) => instance_service(entry, chance),
            (Node::Instance(_), RecordType::TXT) => Found::long([Entry::instance_text()]),
            (Node::Index(namespace), RecordType::TXT) => Found::long(namespace.index()),
            (Node::Index(namespace) | Node::Pointer(namespace), RecordType::SVCB) => {
                Found::long([namespace.catalog()])
            }
            (Node::Instances(namespace, of), RecordType::PTR) => Found::long(namespace.instances(of)),
            (Node::Everybody(of), RecordType::PTR) => {
                let everybody = self.everybody.iter();
                Found::long(everybody.filter_map(|(agent, domain)| instance(agent, of, domain)))
            }
            (Node::Domains, RecordType::PTR) => Found::long(self.domains.iter().cloned().map(pointer)),
            (Node::Types(domain), RecordType::PTR) => Found::long(types(domain)),
            (Node::Version, RecordType::TXT) => Found::long([super::text(VERSION)]),
            _ => Found::default(),
        }
    }
}

/// The one service record of an instance, and the addresses of its target.
fn instance_service(entry: &Entry, chance: &mut SmallRng) -> Found {
    let hosts = entry.replicas.addresses();
    let kinds = [RecordType::A, RecordType::AAAA];
    let hosts = kinds.iter().flat_map(|kind| addresses(&hosts, *kind, chance)).collect::<Vec<_>>();
    let record = |host| Record::from_rdata(entry.replicas.domain.clone(), TTL_SHORT, host);
    Found { additionals: hosts.into_iter().map(record).collect(), ..Found::short(vec![entry.instance()]) }
}

impl Namespace {
    fn node<'a>(&'a self, labels: &[&'a str]) -> Option<Node<'a>> {
        Some(match *labels {
            [] => Node::Namespace,
            [TCP] | [UDP] | [UDP, DNS_SD] | [AGENTS] => Node::Parent,
            [UDP, DNS_SD, SERVICES] => Node::Types(&self.domain),
            [TCP, kind] if TYPES.contains(&kind) => Node::Instances(self, kind),
            [TCP, kind, agent] if TYPES.contains(&kind) => Node::Instance(self.agents.get(agent)?),
            [AGENTS, INDEX] => Node::Index(self),
            [AGENTS, pointer] if POINTERS.contains(&pointer) => Node::Pointer(self),
            [AGENTS, agent] => Node::Alias(self.agents.get(agent)?),
            [agent] => Node::Agent(self.agents.get(agent)?),
            [agent, ref rest @ ..] => self.agents.get(agent)?.replicas.node(rest)?,
        })
    }
}

impl Replicas {
    /// What is below an agent's name.
    fn node(&self, labels: &[&str]) -> Option<Node<'_>> {
        match *labels {
            [TCP] => Some(Node::Parent),
            [TCP, SERVICE] => Some(Node::Service(self)),
            [host] => self.host(host).map(Node::Host),
            _ => None,
        }
    }
}
