//! `discovery`: how the addresses of agents are found.

use std::{collections::BTreeMap, net::SocketAddr};

use http::Uri;
use serde::Serialize;

use super::{
    address::{self, HostPort},
    check::Check,
    field::{Field, Located},
    identity::CONTROLLER,
    problem::Refused,
    raw::{RawDirectory, RawDiscovery},
    show, words,
};
use crate::a2a::Name;

/// How the addresses of agents are found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Discovery {
    /// The DNS servers to ask; `None` are those of `/etc/resolv.conf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nameservers: Option<Vec<SocketAddr>>,
    /// The port of an agent that has addresses but no SRV record; never 0.
    pub port: u16,
    /// Fixed addresses, at least one for each name, instead of DNS.
    #[serde(serialize_with = "show::by_name")]
    pub r#static: BTreeMap<Name, Vec<SocketAddr>>,
    /// The directory of the mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
}

/// The directory of the mesh, as a sidecar uses it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Directory {
    /// Where it lists agents.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "show::some_text")]
    pub url: Option<Uri>,
    /// The SPIFFE ID that it must show: a pattern with `{trustDomain}` still in it.
    pub server: String,
    /// Where it answers DNS, each with a port; empty if it is not asked.
    pub nameservers: Vec<HostPort>,
    /// The zone of its DNS, without a dot at its end.
    pub zone: String,
}

/// The port at which peers call.
const PORT: u16 = 2643;

impl Discovery {
    pub(super) fn check(
        check: &Check<'_>,
        field: Field<RawDiscovery>,
        cluster_domain: &str,
    ) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let default = "leave the key out for those of /etc/resolv.conf";
        let nameservers = check.filled(raw.nameservers, default, address::nameserver);
        let port = check.or(PORT, raw.port, words::port);
        let fixed = check.by_name(raw.r#static, |addresses| check.some(addresses, address::endpoint));
        let directory = raw.directory.optional();
        let directory =
            directory.and_then(|raw| raw.map(|raw| Directory::check(check, raw, cluster_domain)).transpose());
        Ok(Self { nameservers: nameservers?, port: port?, r#static: fixed?, directory: directory? })
    }
}

impl Directory {
    fn check(check: &Check<'_>, raw: Located<RawDirectory>, cluster_domain: &str) -> Result<Self, Refused> {
        let Located { place, value: raw } = raw;
        let url = check.optional(raw.url, address::service_url);
        let server = check.or(CONTROLLER.to_owned(), raw.server, words::spiffe_service);
        let default = "leave the key out if it is not to be asked";
        let nameservers = check.filled(raw.nameservers, default, address::nameserver_or_host);
        let zone = check.or(format!("a2a.{cluster_domain}"), raw.zone, words::domain);
        let (url, nameservers) = (url?, nameservers?.unwrap_or_default());
        if url.is_none() && nameservers.is_empty() {
            return Err(check.refuse(&place, ": names neither url nor nameservers; keep one or both"));
        }
        Ok(Self { url, server: server?, nameservers, zone: zone? })
    }
}
