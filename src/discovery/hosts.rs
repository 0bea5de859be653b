//! Addresses of hosts by their names, as DNS tells them: for the few services that a sidecar asks by URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::dns::Mesh;
use super::servers::{Miss, Servers};
use super::{Bounds, Source};

/// Finds hosts. Names are absolute, whether they end with a dot or not: no search list is gone through.
#[derive(Debug)]
pub struct Hosts(Mesh);

impl Hosts {
    /// Asks these nameservers.
    pub fn new(nameservers: Source, bounds: Bounds) -> Self {
        let grace = bounds.hedge;
        Self::over(Arc::new(Servers::new(nameservers, Arc::new(bounds))), grace)
    }

    /// Asks these nameservers. A better answer is waited for as long as `grace`.
    pub(super) fn over(servers: Arc<Servers>, grace: Duration) -> Self {
        Self(Mesh { zone: String::new(), port: 0, grace, servers })
    }

    /// The addresses of a host, on that port: what DNS says, what the name itself is, or this machine.
    ///
    /// # Errors
    /// If there is no such host, or DNS cannot say; with the reason.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        self.find(host, port).await.map_err(|miss| match miss {
            Miss::Absent(why) | Miss::Failed(why) | Miss::TooMany(why) => why,
        })
    }

    /// The same, and whether it is known that there is no such host.
    pub(super) async fn find(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Miss> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(vec![(address, port).into()]);
        }
        let name = bare.trim_end_matches('.');
        // It is never asked of DNS (RFC 6761 §6.3).
        if name.eq_ignore_ascii_case("localhost") {
            return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
        }
        let (found, _) = self.0.plain_addresses(&format!("{name}.")).await?;
        Ok(found.into_iter().map(|address| SocketAddr::new(address.ip(), port)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_an_address_already_is_not_asked_for() {
        let hosts = Hosts::new(Source::Listed(Vec::new()), Bounds::default());
        assert_eq!(hosts.addresses("10.0.0.1", 7).await, Ok(vec!["10.0.0.1:7".parse().unwrap()]));
        assert_eq!(hosts.addresses("[fd00::1]", 7).await, Ok(vec!["[fd00::1]:7".parse().unwrap()]));
        assert_eq!(hosts.addresses("Localhost.", 7).await.unwrap().len(), 2);
        let error = hosts.addresses("directory.mesh", 7).await.unwrap_err();
        assert!(error.contains("directory.mesh.") && error.contains("nameserver"), "{error}");
    }
}
