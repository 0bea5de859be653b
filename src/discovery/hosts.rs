//! Plain lookups of single hosts, for what is no agent: the identity service, another directory.

use std::net::IpAddr;
use std::sync::Arc;

use super::dns::Mesh;
use super::servers::{Miss, Servers, Source};
use super::{Bounds, dns};

/// Looks hosts up, without memory.
#[derive(Debug)]
pub struct Hosts(Mesh);

impl Hosts {
    /// Reads no more than the list of nameservers, or the file that names them.
    #[must_use]
    pub fn new(nameservers: Source, bounds: Bounds) -> Self {
        let grace = bounds.hedge;
        let servers = Arc::new(Servers::new(nameservers, Arc::new(bounds)));
        Self(Mesh { zone: String::new(), port: 0, grace, servers })
    }

    /// The addresses of `host`, of both families. The name is an absolute one, with or without the dot at its end.
    ///
    /// # Errors
    ///
    /// Why there are none.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let absolute = format!("{}.", host.trim_end_matches('.'));
        let found = match dns::domain(&absolute) {
            Ok(name) => self.0.hosts(&name).await,
            Err(miss) => Err(miss),
        };
        match found {
            Ok((addresses, _)) if addresses.is_empty() => Err(format!("{host}: no addresses")),
            Ok((addresses, _)) => Ok(addresses),
            Err(Miss::Absent(reason) | Miss::Failed(reason) | Miss::TooMany(reason)) => Err(reason),
        }
    }
}
