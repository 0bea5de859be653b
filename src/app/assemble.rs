//! From the configuration to the parts of a sidecar: the one place where all rooms meet.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::Uri;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tower::util::BoxCloneSyncService;

use super::StartError;
use super::listeners::{Bound, Listeners};
use crate::a2a::{Agent, Binding, Dialect};
use crate::admin::{Admin, Sidecar};
use crate::binding::v0_3::callers;
use crate::binding::{Edge, card, grpc, jsonrpc, rest};
use crate::card::key::Key;
use crate::card::{Settled, stage};
use crate::config::{self, Config, HostPort, Listen};
use crate::discovery::directory::Directory;
use crate::discovery::{self, Bounds, Discovery, Hosts, Remote};
use crate::drain::Drain;
use crate::identity::{Clock, Pattern, PatternTemplate, State, TrustDomain};
use crate::net::budget::Budget;
use crate::net::h2c::Agents;
use crate::net::http1;
use crate::net::http2::Settings;
use crate::net::open;
use crate::net::peers::Peers;
use crate::net::serve::{Callers, Http};
use crate::policy::limit::{Limits, limit};
use crate::policy::rules::{Rule, Rules};
use crate::policy::{enforce, narrow};
use crate::telemetry::{Direction, Metrics, observe};
use crate::tls::Tls;
use crate::{inbound, outbound};

mod doctor;

use self::doctor::examination;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;
/// What the local door serves, as cards say it.
const LOCAL_BINDINGS: [Binding; 3] = [Binding::Jsonrpc, Binding::HttpJson, Binding::Grpc];
/// What the mesh door serves, as cards say it.
const MESH_BINDINGS: [Binding; 3] = [Binding::Grpc, Binding::Jsonrpc, Binding::HttpJson];

/// What a sidecar is built from, beside its configuration.
pub(super) struct Parts {
    pub(super) identity: watch::Receiver<State>,
    pub(super) clock: Clock,
    pub(super) drain: Drain,
    pub(super) registry: Registry,
    pub(super) seed: u64,
}

impl Parts {
    /// Builds everything and listens.
    pub(super) fn build(mut self, config: &Config) -> Result<Listeners, StartError> {
        let metrics = Metrics::default();
        metrics.register(&mut self.registry);
        let refusals = open::Metrics::default();
        refusals.register(&mut self.registry);
        let discovery = self.discovery(config);
        let tls = self.tls()?;
        let edges = edges(config, metrics);
        let mut listeners = Listeners {
            addresses: super::Addresses::default(),
            tasks: Vec::new(),
            http: Http::new(Callers::Known { stream_window: settings(config).stream_window }),
            drain: self.drain.clone(),
            refusals,
        };

        let peers = Peers::new(tls.clone(), settings(config));
        let bound = Bound::to(&config.outbound.listen)?;
        let door = Arc::new(self.outbound(config, &edges, &discovery, peers, &bound.addresses)?);
        listeners.outbound(bound, &door, None);
        for (name, port) in &config.outbound.ports {
            let addresses = config.outbound.listen.addresses.iter();
            let addresses = addresses.map(|address| SocketAddr::new(address.ip(), *port)).collect();
            let bound = Bound::to(&Listen { addresses, ..config.outbound.listen.clone() })?;
            listeners.outbound(bound, &door, Some(name));
        }
        if !config.agents.is_empty() {
            let bound = Bound::to(&config.inbound.listen)?;
            let door = Arc::new(self.inbound(config, &edges, &bound.addresses)?);
            listeners.inbound(bound, &door, tls, &edges.metrics);
        }
        let subject =
            Sidecar { identity: self.identity, discovery, config: config.redacted(), clock: self.clock };
        let admin = Admin { registry: self.registry, drain: self.drain, subject: Box::new(subject) };
        listeners.admin(Bound::to(&config.admin.listen)?, &Arc::new(admin));
        Ok(listeners)
    }

    fn discovery(&mut self, config: &Config) -> Discovery {
        let metrics = discovery::Metrics::default();
        metrics.register(&mut self.registry);
        let meshes = config.meshes.iter().map(|mesh| {
            let nameservers = mesh.nameservers.clone().unwrap_or_default();
            (mesh.name.clone(), Remote { cluster_domain: mesh.cluster_domain.clone(), nameservers })
        });
        let directory = config.discovery.directory.as_ref().map(|directory| discovery::Zone {
            nameservers: directory.nameservers.iter().map(nameserver).collect(),
            name: directory.zone.clone(),
        });
        let config = discovery::Config {
            home: config.mesh.home(),
            cluster_domain: config.mesh.cluster_domain.clone(),
            port: config.discovery.port,
            nameservers: nameservers(config.discovery.nameservers.as_deref()),
            meshes: meshes.collect(),
            directory,
            fixed: config.discovery.r#static.clone().into_iter().collect(),
            bounds: Bounds::default(),
        };
        Discovery::by_dns(config, self.seed, metrics)
    }

    fn outbound(
        &self,
        config: &Config,
        edges: &Edges,
        discovery: &Discovery,
        peers: Peers,
        listener: &[SocketAddr],
    ) -> Result<outbound::Door, StartError> {
        let doctor = self.doctor(config, edges, discovery, &peers)?;
        let edge = edges.of(Direction::Outbound);
        let directories = directories(config, &peers)?;
        let client = grpc::Client::new(peers, edge.clone());
        let mesh = outbound::Mesh::new(discovery.clone(), expected(config)?, client, self.seed);
        // Far cards are checked and kept here, and say that this sidecar is their agent.
        let kept = stage::Cards::new(config.cards.max_age);
        let stack = stage::outbound(mesh.stage(), kept.clone(), cards(config, listener)?);
        // What the pod may not call is refused before anything is looked up.
        let stack = narrow(stack, config.outbound.allow.clone().into());
        let stack = callers(limit(stack, limits(config)));
        // Outermost, so that everything is counted.
        let stack = observe(stack, Direction::Outbound, edge.metrics.clone(), self.drain.clone());
        let agent: Agent = BoxCloneSyncService::new(stack);
        let known = outbound::Known {
            home: config.mesh.home(),
            discovery: discovery.clone(),
            cards: kept,
            directories,
        };
        Ok(outbound::Door {
            hosts: hosts(config),
            allowed_origins: config.outbound.allowed_origins.clone(),
            grpc: grpc::Server::new(edge.clone(), agent.clone()),
            jsonrpc: jsonrpc::Server::new(edge.clone(), agent.clone()),
            rest: rest::Server::new(edge.clone(), agent.clone()),
            card: self.card_server(config, &edge, agent),
            agents: outbound::Agents::new(known, self.drain.clone(), self.seed),
            check: examination(doctor),
            http: http1::Client::new(config.limits.connect),
            edge,
        })
    }

    fn tls(&self) -> Result<Tls, StartError> {
        Tls::new(self.identity.clone(), self.clock.clone())
            .map_err(|error| StartError::Config(format!("TLS 1.3 cannot be set up: {error}")))
    }

    fn inbound(
        &self,
        config: &Config,
        edges: &Edges,
        listener: &[SocketAddr],
    ) -> Result<inbound::Door, StartError> {
        let edge = edges.of(Direction::Inbound);
        let http = http1::Client::new(config.limits.connect);
        let clients = inbound::Clients {
            jsonrpc: jsonrpc::Client::new(http.clone(), edge.clone()),
            rest: rest::Client::new(http.clone(), edge.clone()),
            grpc: grpc::PlainClient::new(Agents::new(settings(config)), edge.clone()),
        };
        let neighbour = |agent: &config::AgentConfig| {
            let card = card::Client::new(http.clone(), agent.card.clone(), edge.clone(), self.clock.clone());
            let neighbour =
                inbound::Neighbour::new(settled(agent), clients.clone(), card, config.cards.max_age);
            (agent.name.clone(), neighbour)
        };
        let local = inbound::Local::new(config.agents.iter().map(neighbour).collect());
        // The local agents' cards say where the mesh reaches them.
        let port = listener.first().map_or(config.discovery.port, SocketAddr::port);
        let stack = stage::inbound(local.stage(), &config.mesh.cluster_domain, port, &MESH_BINDINGS);
        // Nothing reaches an agent that policy has not permitted.
        let stack = enforce(stack, Arc::new(rules(&config.mesh, &config.policy)?));
        let stack = callers(limit(stack, limits(config)));
        // Outermost, so that what is denied is counted too.
        let stack = observe(stack, Direction::Inbound, edge.metrics.clone(), self.drain.clone());
        let agent: Agent = BoxCloneSyncService::new(stack);
        Ok(inbound::Door {
            local,
            home: config.mesh.home(),
            grpc: grpc::Server::new(edge.clone(), agent.clone()),
            services: grpc::Services::new(self.drain.clone())?,
            jsonrpc: jsonrpc::Server::new(edge.clone(), agent.clone()),
            rest: rest::Server::new(edge.clone(), agent.clone()),
            card: self.card_server(config, &edge, agent),
            edge,
        })
    }

    fn card_server(&self, config: &Config, edge: &Edge, agent: Agent) -> card::Server {
        let now = u64::try_from(self.clock.now()).unwrap_or_default();
        let since = UNIX_EPOCH + Duration::from_secs(now);
        card::Server::new(edge.clone(), agent, config.cards.max_age, since)
    }
}

/// What the edges of both directions share.
struct Edges {
    limit: usize,
    requests: Budget,
    replies: Budget,
    metrics: Metrics,
}

impl Edges {
    fn of(&self, direction: Direction) -> Edge {
        Edge {
            direction,
            limit: self.limit,
            requests: self.requests.clone(),
            replies: self.replies.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

fn edges(config: &Config, metrics: Metrics) -> Edges {
    let half = config.limits.buffered / 2;
    Edges { limit: config.limits.message, requests: Budget::new(half), replies: Budget::new(half), metrics }
}

/// What an agent speaks whatever its card says.
fn settled(agent: &config::AgentConfig) -> Settled {
    let binding = match agent.binding {
        config::Binding::Auto => None,
        config::Binding::Grpc => Some(Binding::Grpc),
        config::Binding::HttpJson => Some(Binding::HttpJson),
        config::Binding::JsonRpc => Some(Binding::Jsonrpc),
    };
    let dialect = match agent.dialect {
        config::Dialect::Auto => None,
        config::Dialect::V0_3 => Some(Dialect::V0_3),
        config::Dialect::V1_0 => Some(Dialect::V1_0),
    };
    Settled { url: agent.url.clone(), binding, dialect }
}

fn cards(config: &Config, listener: &[SocketAddr]) -> Result<stage::Settings, StartError> {
    let keys = Key::load(&config.cards.keys).map_err(|error| StartError::Config(error.to_string()))?;
    Ok(stage::Settings {
        home: config.mesh.home(),
        listener: listener.first().map(ToString::to_string).unwrap_or_default(),
        bindings: LOCAL_BINDINGS.to_vec(),
        keys,
        limit: config.limits.message,
    })
}

/// How HTTP/2 is spoken everywhere.
fn settings(config: &Config) -> Settings {
    let stream_window = u32::try_from(config.limits.stream_window).unwrap_or(u32::MAX >> 1);
    Settings { connect: config.limits.connect, stream_window }
}

fn limits(config: &Config) -> Limits {
    Limits { unary: config.limits.unary, stream_idle: config.limits.stream_idle }
}

fn hosts(config: &Config) -> outbound::Hosts {
    let own = (config.mesh.cluster_domain.clone(), config.mesh.name.clone());
    let remote = config.meshes.iter().map(|mesh| (mesh.cluster_domain.clone(), mesh.name.clone()));
    outbound::Hosts {
        home: config.mesh.home(),
        listen: config.outbound.listen.addresses.iter().map(SocketAddr::ip).collect(),
        // The own mesh first: two clusters may well have the same zone.
        cluster_domains: std::iter::once(own).chain(remote).collect(),
        forward: config.outbound.forward.iter().map(ToString::to_string).collect(),
    }
}

/// The DNS servers to ask.
pub(super) fn nameservers(listed: Option<&[SocketAddr]>) -> discovery::Source {
    match listed {
        Some(servers) => discovery::Source::Listed(servers.to_vec()),
        None => discovery::Source::File { path: RESOLV_CONF.into(), port: DNS_PORT },
    }
}

/// A DNS server that may be known by name.
fn nameserver(server: &HostPort) -> (String, u16) {
    (server.host.clone(), server.port.unwrap_or(DNS_PORT))
}

/// Who lists agents: the directories of other meshes, each its own, and then that of the own mesh.
fn directories(config: &Config, peers: &Peers) -> Result<Vec<Directory>, StartError> {
    let directory = |url: &Uri, expected: Pattern, servers: Option<&[SocketAddr]>| {
        let servers = servers.or(config.discovery.nameservers.as_deref());
        let hosts = Arc::new(Hosts::new(nameservers(servers), Bounds::default()));
        Directory::new(url.clone(), expected, hosts, peers.clone())
    };
    let own = config.discovery.directory.as_ref().and_then(|own| Some((own.url.as_ref()?, &own.server)));
    let own = own.map(|(url, server)| {
        let template = PatternTemplate::parse(server)
            .map_err(|error| StartError::Config(format!("discovery.directory.server: {error}")))?;
        let domain = trust_domain(&config.mesh.trust_domain)?;
        let expected = template.fill(&domain, &config.mesh.namespace, "directory");
        let expected = expected.map_err(|error| StartError::Config(error.to_string()))?;
        Ok(directory(url, expected, None))
    });
    let others = config.meshes.iter().filter_map(|mesh| {
        let url = mesh.directory.as_ref()?;
        let expected = pattern(&mesh.server);
        Some(
            expected
                .map(|expected| directory(url, expected, mesh.nameservers.as_deref()).of_mesh(&mesh.name)),
        )
    });
    others.chain(own).collect()
}

/// The directory of the own mesh, if it lists agents.
fn own_directory(config: &Config, peers: &Peers) -> Result<Option<Directory>, StartError> {
    Ok(directories(config, peers)?.into_iter().find(|directory| directory.covers(&config.mesh.name)))
}

/// The trust domain that a configuration names.
pub(super) fn trust_domain(text: &str) -> Result<TrustDomain, StartError> {
    TrustDomain::parse(text).map_err(|error| StartError::Config(format!("trustDomain {text:?}: {error}")))
}

/// A pattern that a configuration names.
pub(super) fn pattern(text: &str) -> Result<Pattern, StartError> {
    Pattern::parse(text).map_err(|error| StartError::Config(format!("{text:?}: {error}")))
}

fn expected(config: &Config) -> Result<outbound::Expected, StartError> {
    let remote = config.meshes.iter().map(|mesh| (&mesh.name, &mesh.trust_domain));
    expected_in(&config.mesh, remote, &config.identity)
}

/// The identities that agents of the own mesh and of others must show.
pub(super) fn expected_in<'a, S>(
    mesh: &'a config::Mesh,
    remote: impl Iterator<Item = (&'a String, &'a String)>,
    identity: &config::Identity<S>,
) -> Result<outbound::Expected, StartError> {
    let template = PatternTemplate::parse(&identity.server)
        .map_err(|error| StartError::Config(format!("identity.server: {error}")))?;
    let named = identity.servers.iter();
    let named = named.map(|(name, text)| Ok((name.clone(), pattern(text)?)));
    let own = std::iter::once((&mesh.name, &mesh.trust_domain));
    let domains = own.chain(remote).map(|(mesh, domain)| Ok((mesh.clone(), trust_domain(domain)?)));
    Ok(outbound::Expected {
        template,
        named: named.collect::<Result<_, StartError>>()?,
        domains: domains.collect::<Result<HashMap<_, _>, StartError>>()?,
    })
}

/// What a policy allows; by default everything to the own trust domain.
pub(super) fn rules(mesh: &config::Mesh, policy: &config::Policy) -> Result<Rules, StartError> {
    let Some(rules) = &policy.allow else {
        let domain = trust_domain(&mesh.trust_domain)?;
        return Rules::of_trust_domain(&domain).map_err(|error| StartError::Config(error.to_string()));
    };
    let rule = |rule: &config::Rule| {
        Ok(Rule {
            from: rule.from.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?,
            agents: rule.agents.clone(),
            operations: match &rule.operations {
                config::Operations::Every => None,
                config::Operations::Only(operations) => Some(operations.clone()),
            },
        })
    };
    Ok(Rules::new(rules.iter().map(rule).collect::<Result<_, StartError>>()?))
}
