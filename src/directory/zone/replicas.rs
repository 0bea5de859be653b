//! The replicas of one agent that take calls, and the names of their hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_server::proto::rr::{Name as Domain, RData, Record, rdata::SRV};

use super::records::{address, host_cost, name_cost};
use super::table::{MESH_PORT, RECORD, ROOM, SERVICE, TCP, TTL_SHORT};
use crate::directory::Endpoint;

/// What goes before the targets of an SRV record's data.
const SRV_HEAD: usize = 6;

/// The replicas of one agent.
#[derive(Debug)]
pub(super) struct Replicas {
    /// The agent's name in the zone; the hosts are below it.
    pub(super) domain: Domain,
    /// The port of most of them.
    pub(super) port: u16,
    /// Sorted, each once, and no more than one answer over TCP holds.
    ready: Vec<SocketAddr>,
}

impl Replicas {
    pub(super) fn new(domain: Domain, endpoints: &[Endpoint]) -> Self {
        let ready = endpoints.iter().filter(|endpoint| endpoint.ready);
        let canonical = |endpoint: &Endpoint| {
            SocketAddr::new(endpoint.address.ip().to_canonical(), endpoint.address.port())
        };
        let mut ready: Vec<_> = ready.map(canonical).collect();
        ready.sort_unstable();
        ready.dedup();
        let service = name_cost(&domain) + TCP.len() + SERVICE.len() + 2;
        let mut room = ROOM;
        let fitting = ready.iter().take_while(|replica| {
            let target = name_cost(&domain) + label(replica.ip()).len() + 1;
            let cost = service + RECORD + SRV_HEAD + target + host_cost(target, replica.ip());
            let fits = cost <= room;
            room = room.saturating_sub(cost);
            fits
        });
        let fitting = fitting.count();
        if fitting < ready.len() {
            tracing::debug!(agent = %domain, replicas = ready.len(), told = fitting, "Too many replicas for DNS");
        }
        ready.truncate(fitting);
        Self { port: common_port(&ready), domain, ready }
    }

    /// The addresses behind [`port`](Self::port).
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let of_port = self.ready.iter().filter(|replica| replica.port() == self.port);
        of_port.map(SocketAddr::ip).collect()
    }

    /// Where each replica is: SRV data for each, and the addresses of their hosts.
    pub(super) fn services(&self) -> (Vec<RData>, Vec<Record>) {
        let mut services = Vec::with_capacity(self.ready.len());
        let mut hosts = Vec::with_capacity(self.ready.len());
        let mut last = None;
        for replica in &self.ready {
            let host = replica.ip();
            let Ok(target) = self.domain.prepend_label(label(host).as_bytes()) else { continue };
            services.push(RData::SRV(SRV::new(0, 100, replica.port(), target.clone())));
            // Replicas are sorted: those of one host stand together.
            if last.replace(host) != Some(host) {
                hosts.push(Record::from_rdata(target, TTL_SHORT, address(host)));
            }
        }
        (services, hosts)
    }

    /// The address of a host, by its label.
    pub(super) fn host(&self, text: &str) -> Option<IpAddr> {
        let host = parse_label(text)?;
        let at = self.ready.partition_point(|replica| replica.ip() < host);
        self.ready.get(at).filter(|replica| replica.ip() == host).map(SocketAddr::ip)
    }
}

/// The port that most replicas have; of several the lowest.
fn common_port(replicas: &[SocketAddr]) -> u16 {
    let mut ports: Vec<_> = replicas.iter().map(SocketAddr::port).collect();
    ports.sort_unstable();
    let runs = ports.chunk_by(|one, other| one == other);
    // The last of equals wins, so the lowest has to come last.
    runs.rev().max_by_key(|run| run.len()).and_then(|run| run.first()).copied().unwrap_or(MESH_PORT)
}

/// An address as one label. One of IPv6 is written in full: a label may not begin or end with a hyphen.
fn label(host: IpAddr) -> String {
    match host {
        IpAddr::V4(host) => host.to_string().replace('.', "-"),
        IpAddr::V6(host) => host.segments().map(|segment| format!("{segment:x}")).join("-"),
    }
}

fn parse_label(text: &str) -> Option<IpAddr> {
    let host = match text.bytes().filter(|byte| *byte == b'-').count() {
        3 => IpAddr::from(text.replace('-', ".").parse::<Ipv4Addr>().ok()?),
        7 => IpAddr::from(text.replace('-', ":").parse::<Ipv6Addr>().ok()?),
        _ => return None,
    };
    (label(host) == text).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(endpoints: &[(&str, bool)]) -> Replicas {
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|(address, ready)| Endpoint { address: address.parse().unwrap(), ready: *ready })
            .collect();
        Replicas::new(Domain::from_ascii("currency.travel.a2a.cluster.local.").unwrap(), &endpoints)
    }

    #[test]
    fn an_address_is_one_label_and_back() {
        for (host, text) in [
            ("10.244.1.7", "10-244-1-7"),
            ("fd00::1", "fd00-0-0-0-0-0-0-1"),
            ("::", "0-0-0-0-0-0-0-0"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff-ffff-ffff-ffff-ffff-ffff-ffff-ffff"),
        ] {
            let host: IpAddr = host.parse().unwrap();
            assert_eq!(label(host), text);
            assert_eq!(parse_label(text), Some(host));
        }
        for text in
            ["", "a", "10-0-0", "10-0-0-256", "10-0-0-01", "1-2-3-4-5", "-0-0-0-0-0-0-1", "00-0-0-0-0-0-0-1"]
        {
            assert_eq!(parse_label(text), None, "{text}");
        }
    }

    #[test]
    fn only_replicas_that_take_calls_are_told() {
        let replicas =
            replicas(&[("10.0.0.2:2643", true), ("10.0.0.1:2643", true), ("10.0.0.3:2643", false)]);
        assert_eq!(
            replicas.addresses(),
            ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap())
        );
        assert_eq!(replicas.services().0.len(), 2);
        assert!(replicas.host("10-0-0-2").is_some());
        assert_eq!(replicas.host("10-0-0-3"), None);
    }

    #[test]
    fn addresses_are_those_behind_the_port_that_is_told() {
        let mixed = replicas(&[("10.0.0.1:7000", true), ("10.0.0.2:2643", true), ("10.0.0.3:2643", true)]);
        assert_eq!((mixed.port, mixed.addresses().len(), mixed.services().0.len()), (2643, 2, 3));
        assert_eq!(replicas(&[("10.0.0.1:7000", true), ("10.0.0.2:2643", true)]).port, 2643, "the lowest");
        assert_eq!(replicas(&[]).port, MESH_PORT);
    }

    #[test]
    fn two_replicas_on_one_host_share_its_address() {
        let replicas =
            replicas(&[("10.0.0.1:7000", true), ("10.0.0.1:7001", true), ("[fd00::1]:7000", true)]);
        let (services, hosts) = replicas.services();
        assert_eq!((services.len(), hosts.len()), (3, 2));
    }

    #[test]
    fn an_address_of_ipv4_in_ipv6_is_one_of_ipv4() {
        let replicas = replicas(&[("[::ffff:10.0.0.1]:2643", true), ("10.0.0.1:2643", true)]);
        assert_eq!(replicas.addresses(), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    }
}
