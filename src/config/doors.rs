//! `outbound`, `inbound` and `admin`: the three doors, and what the agent of this pod may do.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use serde::Serialize;

use super::{
    address::{self, HostPort},
    check::Check,
    field::{Field, Located},
    listen::{Claims, Listen},
    problem::Refused,
    raw::{RawAdmin, RawInbound, RawOutbound},
    show, words,
};
use crate::a2a::{Name, NamePattern};

/// The side that faces the agent of this pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outbound {
    /// Where the agent finds the mesh.
    pub listen: Listen,
    /// Ports of their own for single agents, on the hosts of `listen`; 0 lets the system choose.
    #[serde(serialize_with = "show::by_name")]
    pub ports: BTreeMap<Name, u16>,
    /// The agents that may be called.
    pub allow: Vec<NamePattern>,
    /// The hosts outside the mesh that proxy requests are passed on to.
    pub forward: Vec<HostPort>,
    /// The web origins whose pages may call, in lower case.
    pub allowed_origins: Vec<String>,
}

/// The side that faces peers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inbound {
    /// Where peers call.
    pub listen: Listen,
}

/// Health, metrics and a look inside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Admin {
    /// Where probes and metrics are answered.
    pub listen: Listen,
}

/// 0xA2A, at which the agent calls.
const OUTBOUND_PORT: u16 = 2602;
/// At which peers call.
const INBOUND_PORT: u16 = 2643;
/// At which probes ask.
const ADMIN_PORT: u16 = 2690;

impl Outbound {
    pub(super) fn check(
        check: &Check<'_>,
        field: Field<RawOutbound>,
        claims: &mut Claims,
    ) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let default =
            [(Ipv4Addr::LOCALHOST, OUTBOUND_PORT).into(), (Ipv6Addr::LOCALHOST, OUTBOUND_PORT).into()];
        let listen = claims.listen(check, "outbound.listen", raw.listen, &default);
        let ports = check.by_name(raw.ports, |text| {
            let port = check.read(&text, words::listen_port)?;
            Ok(Located { place: text.place, value: port })
        });
        let allow = check.list(raw.allow, |text| words::name_pattern(text, &check.home));
        let forward = check.list(raw.forward, address::forward);
        let allowed_origins = check.list(raw.allowed_origins, address::origin);
        let (listen, ports) = (listen?, ports?);
        for port in ports.values() {
            for host in &listen.addresses {
                claims.add(SocketAddr::new(host.ip(), port.value), "outbound.ports", &port.place);
            }
        }
        Ok(Self {
            listen,
            ports: ports.into_iter().map(|(name, port)| (name, port.value)).collect(),
            allow: allow?.unwrap_or_else(|| vec![NamePattern::Every]),
            forward: forward?.unwrap_or_default(),
            allowed_origins: allowed_origins?.unwrap_or_default(),
        })
    }
}

impl Inbound {
    pub(super) fn check(
        check: &Check<'_>,
        field: Field<RawInbound>,
        claims: &mut Claims,
    ) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let default = [(Ipv6Addr::UNSPECIFIED, INBOUND_PORT).into()];
        Ok(Self { listen: claims.listen(check, "inbound.listen", raw.listen, &default)? })
    }
}

impl Admin {
    pub(super) fn check(
        check: &Check<'_>,
        field: Field<RawAdmin>,
        claims: &mut Claims,
    ) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let default = [(Ipv6Addr::UNSPECIFIED, ADMIN_PORT).into()];
        Ok(Self { listen: claims.listen(check, "admin.listen", raw.listen, &default)? })
    }
}
