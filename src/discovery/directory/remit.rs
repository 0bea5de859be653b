//! What a directory is believed about: whoever answers proves its identity, and an identity of one mesh proves nothing about
//! the agents of another, nor about who is on this machine.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;

use crate::a2a::{Home, Name};
use crate::proto::mesh::{Agent, Filter};

/// What a directory may tell of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Remit {
    /// The only mesh; none: all of them, because it is our own mesh's directory, which also tells what others told it.
    mesh: Option<Arc<str>>,
}

impl Remit {
    /// Agents of that mesh alone.
    pub(super) fn of_mesh(mesh: &str) -> Self {
        Self { mesh: Some(mesh.into()) }
    }

    /// Whether agents of that mesh are in it.
    pub(super) fn covers(&self, mesh: &str) -> bool {
        self.mesh.as_deref().is_none_or(|only| only == mesh)
    }

    /// What is asked where `filter` is wanted: a mesh's directory for its own agents, and not for what it relays.
    pub(super) fn narrow(&self, filter: &Filter) -> Filter {
        let filter = filter.clone();
        match self.mesh {
            None => filter,
            Some(_) => Filter { own: true, mesh: String::new(), ..filter },
        }
    }

    /// What is taken of what is told of an agent; nothing if its name is none, or none that may be told of. The error is what
    /// it is called.
    pub(super) fn admit(&self, mut agent: Agent) -> Result<(Name, Agent), String> {
        let Some(name) = full_name(&agent.name).filter(|name| self.covers(name.mesh())) else {
            return Err(agent.name);
        };
        if self.mesh.is_some() {
            agent.endpoints.retain(|endpoint| is_elsewhere(&endpoint.address));
        }
        // A slice of the message would keep all of the message.
        agent.card = Bytes::copy_from_slice(&agent.card);
        Ok((name, agent))
    }
}

/// Whether an address is a place in another cluster, and not one that every machine and every link has for itself.
fn is_elsewhere(address: &str) -> bool {
    let Ok(address) = address.parse::<SocketAddr>() else { return false };
    let ip = address.ip().to_canonical();
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(local || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || address.port() == 0)
}

/// A name that says all three of its labels, as directories write it.
pub(super) fn full_name(text: &str) -> Option<Name> {
    let nowhere = Home { namespace: String::new(), mesh: String::new() };
    Name::parse(text, &nowhere).ok().filter(|name| name.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::mesh::Endpoint;

    #[test]
    fn only_a_full_name_names_an_agent() {
        assert!(full_name("currency.travel.east").is_some());
        for text in
            ["", "currency", "currency.travel", "Currency.travel.east", "a.b.c.a2a", "a.b.c.d", "a_b.c.d"]
        {
            assert_eq!(full_name(text), None, "{text}");
        }
    }

    #[test]
    fn a_directory_of_another_mesh_is_asked_for_its_own_agents_and_believed_about_them_alone() {
        let filter =
            Filter { namespace: "bank".into(), mesh: "west".into(), skill: "lend".into(), own: false };
        let named =
            |remit: &Remit, name: &str| remit.admit(Agent { name: name.into(), ..Agent::default() }).is_ok();
        let (own, west) = (Remit::default(), Remit::of_mesh("west"));
        assert_eq!(own.narrow(&filter), filter);
        let narrow = Filter { mesh: String::new(), own: true, ..filter.clone() };
        assert_eq!(west.narrow(&filter), narrow);
        for (name, by_own, by_west) in
            [("a.x.west", true, true), ("a.x.east", true, false), ("west", false, false)]
        {
            assert_eq!((named(&own, name), named(&west, name)), (by_own, by_west), "{name}");
        }
    }
    #[test]
    fn another_mesh_is_at_no_address_of_this_machine_or_link() {
        let addresses = [
            ("10.0.0.1:2643", true),
            ("[fd00::1]:2643", true),
            ("10.0.0.1:0", false),
            ("127.0.0.1:2643", false),
            ("127.1.2.3:2690", false),
            ("0.0.0.0:2643", false),
            ("224.0.0.1:2643", false),
            ("255.255.255.255:2643", false),
            ("169.254.169.254:80", false),
            ("[::1]:2643", false),
            ("[::]:2643", false),
            ("[ff02::1]:2643", false),
            ("[fe80::1]:2643", false),
            ("[::ffff:127.0.0.1]:2643", false),
            ("ledger:2643", false),
        ];
        let endpoints = addresses.map(|(address, _)| Endpoint { address: address.into(), ready: true });
        let agent = Agent { name: "a.x.west".into(), endpoints: endpoints.into(), ..Agent::default() };
        let taken = |remit: Remit| remit.admit(agent.clone()).unwrap().1.endpoints;
        let good = addresses.iter().filter(|(_, good)| *good).map(|(address, _)| (*address).to_owned());
        let west: Vec<_> = taken(Remit::of_mesh("west")).into_iter().map(|taken| taken.address).collect();
        assert_eq!(west, good.collect::<Vec<_>>());
        assert_eq!(taken(Remit::default()).len(), addresses.len(), "our own directory saw them itself");
    }
}
