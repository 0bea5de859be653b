//! `discovery`: how the addresses of agents are found.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::Serialize;

use super::{address, check::Check, field::Field, problem::Refused, raw::RawDiscovery, show, words};
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
}

/// The port at which peers call.
const PORT: u16 = 2643;

impl Discovery {
    pub(super) fn check(check: &Check<'_>, field: Field<RawDiscovery>) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let default = "leave the key out for those of /etc/resolv.conf";
        let nameservers = check.filled(raw.nameservers, default, address::nameserver);
        let port = check.or(PORT, raw.port, words::port);
        let fixed = check.by_name(raw.r#static, |addresses| check.some(addresses, address::endpoint));
        Ok(Self { nameservers: nameservers?, port: port?, r#static: fixed? })
    }
}
