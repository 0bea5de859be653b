//! The demo's DNS server: one zone for each cluster, with the records that Kubernetes would have for a headless Service.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::proto::rr::rdata::{SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

/// As CoreDNS says it for Services, in seconds.
const TTL: u32 = 30;
const SERIAL: u32 = 1;
/// How often to look for a port that is free for both UDP and TCP.
const TRIES: usize = 16;
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
const TCP_ANSWERS: usize = 16;

/// A DNS server on a free port. It ends when it is dropped.
pub(super) struct Dns {
    /// Where it answers, over UDP and TCP.
    pub(super) address: SocketAddr,
    zones: Vec<(String, Arc<InMemoryZoneHandler>)>,
    _server: Server<Catalog>,
}

impl Dns {
    /// A server for these zones, which know of no agent yet.
    pub(super) async fn start(zones: &[&str]) -> io::Result<Self> {
        let (udp, tcp) = sockets().await?;
        let address = udp.local_addr()?;
        let mut catalog = Catalog::new();
        let mut kept = Vec::new();
        for zone in zones {
            let origin = name(&format!("{zone}."))?;
            let mut handler = InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
            let (server, mail) = (name(&format!("ns.{zone}."))?, name(&format!("hostmaster.{zone}."))?);
            let soa = RData::SOA(SOA::new(server, mail, SERIAL, 7200, 1800, 86400, 5));
            handler.upsert_mut(Record::from_rdata(origin.clone(), TTL, soa), SERIAL);
            let handler = Arc::new(handler);
            catalog.upsert(origin.into(), vec![Arc::clone(&handler) as _]);
            kept.push(((*zone).to_owned(), handler));
        }
        let mut server = Server::new(catalog);
        server.register_socket(udp);
        server.register_listener(tcp, TCP_TIMEOUT, TCP_ANSWERS);
        Ok(Self { address, zones: kept, _server: server })
    }

    /// Says where the only replica of an agent is: an SRV record, and the address of its target.
    pub(super) async fn announce(
        &self,
        zone: &str,
        namespace: &str,
        agent: &str,
        at: SocketAddr,
    ) -> io::Result<()> {
        let (_, handler) = self
            .zones
            .iter()
            .find(|(served, _)| served == zone)
            .ok_or_else(|| io::Error::other(format!("no zone {zone}")))?;
        let service = format!("{agent}-a2a.{namespace}.svc.{zone}.");
        let pod = name(&format!("{agent}-0.{service}"))?;
        let address = match at.ip() {
            IpAddr::V4(address) => RData::A(address.into()),
            IpAddr::V6(address) => RData::AAAA(address.into()),
        };
        let srv = RData::SRV(SRV::new(0, 100, at.port(), pod.clone()));
        let records = [
            Record::from_rdata(name(&format!("_a2a._tcp.{service}"))?, TTL, srv),
            Record::from_rdata(pod, TTL, address),
        ];
        for record in records {
            if !handler.upsert(record, SERIAL).await {
                return Err(io::Error::other(format!("{agent} is in {zone} already")));
            }
        }
        Ok(())
    }
}

/// A UDP and a TCP socket on the same free port.
async fn sockets() -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 1;
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if tries == TRIES => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

fn name(text: &str) -> io::Result<Name> {
    Name::from_ascii(text).map_err(|error| io::Error::other(format!("{text}: {error}")))
}

#[cfg(test)]
mod tests {
    use crate::a2a::{Home, Name as AgentName};
    use crate::discovery::{Bounds, Config, Discovery, Metrics, Source};

    use super::*;

    #[tokio::test]
    async fn an_agent_that_is_announced_is_found() {
        let dns = Dns::start(&["east.local", "west.local"]).await.unwrap();
        let at = "127.0.0.1:2643".parse().unwrap();
        dns.announce("west.local", "bank", "currency", at).await.unwrap();
        assert!(dns.announce("north.local", "bank", "currency", at).await.is_err());
        let home = Home { namespace: "bank".into(), mesh: "west".into() };
        let config = Config {
            home: home.clone(),
            cluster_domain: "west.local".into(),
            port: 1,
            nameservers: Source::Listed(vec![dns.address]),
            meshes: [].into(),
            directory: None,
            fixed: [].into(),
            bounds: Bounds::default(),
        };
        let discovery = Discovery::by_dns(config, 1, Metrics::default());
        let found = discovery.endpoints(&AgentName::parse("currency", &home).unwrap()).await.unwrap();
        assert_eq!(&found.borrow().addresses[..], [at]);
        assert!(discovery.endpoints(&AgentName::parse("nobody", &home).unwrap()).await.is_err());
    }
}
