//! What a card says about where its agent is: for peers, the mesh address; for the agent's neighbour in this pod, this
//! sidecar.

use super::{ORIGINAL, Result, field, original, security};
use crate::a2a::{Binding, Dialect, Home, Name};
use crate::codec::schema::AGENT_CARD;
use crate::codec::wire::{Edit, Fields, append, edit, last_string};
use crate::codec::{self, CARRIED};

/// What 0.3 says elsewhere than 1.0; cards for both have both.
const LEGACY: [&str; 6] = [
    "url",
    "preferredTransport",
    "protocolVersion",
    "additionalInterfaces",
    "security",
    "supportsAuthenticatedExtendedCard",
];

/// The fields of an `AgentInterface`.
pub(super) mod interface {
    pub(in crate::card) const URL: u32 = 1;
    pub(in crate::card) const BINDING: u32 = 2;
    pub(in crate::card) const TENANT: u32 = 3;
    pub(in crate::card) const VERSION: u32 = 4;
}

/// Where a caller in this pod has reached an agent.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// The base URL, without a slash at its end.
    pub url: &'a str,
    /// `host:port` of the listener, for gRPC, which has no path.
    pub grpc: &'a str,
    /// Which agent it is.
    pub agent: &'a Name,
    /// Where this sidecar is at home: names there are short.
    pub home: &'a Home,
}

/// Where peers reach an agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MeshAddress {
    /// `host:port`, of which the host is the agent's Service name.
    authority: String,
}

impl Base<'_> {
    /// The routing identifier by which gRPC callers name the agent, and its own tenant behind it.
    fn tenant(&self, own: &str) -> String {
        let name = self.agent.clear_at(self.home);
        if own.is_empty() { name.to_owned() } else { format!("{name}/{own}") }
    }
}

impl MeshAddress {
    /// The address of an agent whose cluster has that DNS zone and whose sidecars listen on that port.
    pub fn new(agent: &Name, cluster_domain: &str, port: u16) -> Self {
        Self { authority: format!("{}.{}.svc.{cluster_domain}:{port}", agent.agent(), agent.namespace()) }
    }

    /// The address of an agent that has a name of its own in that DNS zone.
    pub fn in_zone(agent: &Name, zone: &str, port: u16) -> Self {
        Self { authority: format!("{}.{}.{zone}:{port}", agent.agent(), agent.namespace()) }
    }
}

/// The card as the agent's neighbour in this pod gets it: its interfaces are this sidecar's in these bindings, in this
/// order, each once for every tenant of the agent's own; the mesh's mutual TLS is out of the requirements, because the
/// sidecar meets it; signatures and the original are gone.
///
/// # Errors
/// If the card is no protobuf.
pub fn for_caller(card: &[u8], base: &Base<'_>, bindings: &[Binding]) -> Result<Vec<u8>> {
    let mut out = security::remove(&without_interfaces(card, true)?)?;
    for own in own_tenants(card)? {
        for binding in bindings {
            let (url, tenant) = match binding {
                Binding::Grpc => (base.grpc, base.tenant(own)),
                Binding::HttpJson | Binding::Jsonrpc => (base.url, own.to_owned()),
            };
            append(&mut out, field::INTERFACES, &interface(url, *binding, Dialect::V1_0, &tenant));
        }
    }
    // Some clients take the first of a binding, whatever its version. 0.3 knows no tenants, and its gRPC is another one.
    for binding in bindings.iter().filter(|binding| **binding != Binding::Grpc) {
        append(&mut out, field::INTERFACES, &interface(base.url, *binding, Dialect::V0_3, ""));
    }
    Ok(out)
}

/// The card as peers get it: its interfaces are the mesh's in these bindings, mutual TLS is part of every security
/// requirement, and what the agent itself sent lies beside it.
///
/// # Errors
/// If the card is no protobuf of one.
pub fn for_mesh(card: &[u8], address: &MeshAddress, bindings: &[Binding]) -> Result<Vec<u8>> {
    let MeshAddress { authority } = address;
    let mut out = security::add(&without_interfaces(card, false)?)?;
    for own in own_tenants(card)? {
        for binding in bindings {
            let url = match binding {
                Binding::Grpc => authority.clone(),
                Binding::HttpJson | Binding::Jsonrpc => format!("https://{authority}"),
            };
            append(&mut out, field::INTERFACES, &interface(&url, *binding, Dialect::V1_0, own));
        }
    }
    if original(card)?.is_none() {
        let mut json = Vec::with_capacity(card.len() * 2);
        codec::write(&AGENT_CARD, card, &mut json)?;
        append(&mut out, ORIGINAL, &json);
    }
    Ok(out)
}

fn interface(url: &str, binding: Binding, dialect: Dialect, tenant: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(url.len() + tenant.len() + 32);
    append(&mut message, interface::URL, url.as_bytes());
    append(&mut message, interface::BINDING, binding.as_str().as_bytes());
    if !tenant.is_empty() {
        append(&mut message, interface::TENANT, tenant.as_bytes());
    }
    append(&mut message, interface::VERSION, dialect.as_str().as_bytes());
    message
}

/// The tenants that an agent's own interfaces name, in the order of its preference; at least the one without a name.
fn own_tenants(card: &[u8]) -> Result<Vec<&str>> {
    let mut tenants = Vec::new();
    for field in Fields::new(card) {
        let field = field?;
        if field.number == field::INTERFACES {
            let tenant = last_string(field.value.bytes()?, interface::TENANT)?;
            if !tenants.contains(&tenant) {
                tenants.push(tenant);
            }
        }
    }
    if tenants.is_empty() {
        tenants.push("");
    }
    Ok(tenants)
}

/// The card without interfaces, in whichever dialect, and without signatures, which do not hold any more.
fn without_interfaces(card: &[u8], and_original: bool) -> Result<Vec<u8>> {
    edit(card, |field, out| match field.number {
        field::INTERFACES | field::SIGNATURES => Ok(Edit::Done),
        ORIGINAL if and_original => Ok(Edit::Done),
        CARRIED => {
            let members = edit(field.value.bytes()?, |field, _| {
                let legacy = field.number == 1 && LEGACY.contains(&last_string(field.value.bytes()?, 1)?);
                Ok(if legacy { Edit::Done } else { Edit::Keep })
            })?;
            if !members.is_empty() {
                append(out, CARRIED, &members);
            }
            Ok(Edit::Done)
        }
        _ => Ok(Edit::Keep),
    })
}

#[cfg(test)]
mod tests;
