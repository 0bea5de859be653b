//! Which agent a gRPC call means. It has no path to say it, so the port, metadata, the authority and the tenant are asked,
//! and must agree.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Uri};

use super::address::{Hosts, NoAddress, authority};
use super::tenant::{self, Tenant};
use crate::a2a::{DRAGOMAN_AGENT, Fault, Name, Operation, Reason};
use crate::binding::Arrival;
use crate::binding::grpc::{Back, Routed};
use crate::net::budget::keeping;

/// What is known of a gRPC call before its message is there.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Route {
    /// Who is named, and by what.
    named: Option<(Source, Name)>,
    /// The caller's URL of this listener.
    origin: String,
    /// Whether all calls to that URL mean the same agent.
    whole: bool,
}

/// What names an agent, in the order in which it is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    Port,
    Metadata,
    Authority,
    Tenant,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "the port",
            Self::Metadata => "the metadata dragoman-agent",
            Self::Authority => "the authority",
            Self::Tenant => "the tenant",
        })
    }
}

impl Route {
    /// What the head of a request says. On a port of its own, `only` is the agent that all requests mean.
    ///
    /// # Errors
    /// If it was sent to another host, or names an agent wrongly, or two.
    pub(super) fn of(
        hosts: &Hosts,
        uri: &Uri,
        headers: &HeaderMap,
        only: Option<&Name>,
    ) -> Result<Self, NoAddress> {
        let authority = authority(uri, headers)?;
        let by_authority = hosts.agent(authority).transpose()?;
        if by_authority.is_none() && !hosts.is_ours(authority) {
            return Err(NoAddress::Misdirected(authority.to_owned()));
        }
        let whole = by_authority.is_some() || only.is_some();
        let mut named = only.map(|name| (Source::Port, name.clone()));
        for value in headers.get_all(DRAGOMAN_AGENT) {
            let text = String::from_utf8_lossy(value.as_bytes());
            let name = Name::parse(text.trim(), &hosts.home).map_err(NoAddress::Metadata)?;
            named = Some(agree(named, Source::Metadata, name)?);
        }
        if let Some(name) = by_authority {
            named = Some(agree(named, Source::Authority, name)?);
        }
        Ok(Self { named, origin: format!("http://{authority}"), whole })
    }

    /// Who is asked now that the message is there, and the message as it must get there.
    ///
    /// # Errors
    /// If nobody is named, or somebody else than before.
    pub(super) fn to(self, hosts: &Hosts, operation: Operation, body: Bytes) -> Result<Routed, Fault> {
        if operation == Operation::GetAgentCard {
            return Err(Fault::new(Reason::MethodNotFound, "the card is at .well-known/agent-card.json"));
        }
        let sent = tenant::of(operation, &body).map_err(|error| error.of_request())?;
        let tenant = Tenant::read(sent, hosts);
        let wrong = |error: NoAddress| {
            Fault::new(Reason::InvalidParams, error.to_string()).violation("tenant", error.to_string())
        };
        let named = match (&tenant, self.named) {
            (Some(tenant), named) => Some(agree(named, Source::Tenant, tenant.name.clone()).map_err(wrong)?),
            (None, named) => named,
        };
        let Some((_, agent)) = named else { return Err(wrong(NoAddress::Unnamed(sent.to_owned()))) };
        let base: Arc<str> = if self.whole {
            self.origin.into()
        } else {
            format!("{}/agents/{}", self.origin, agent.clear_at(&hosts.home)).into()
        };
        let arrival = Arrival { agent, peer: None, base: Some(base) };
        let Some(tenant) = tenant else { return Ok(Routed { arrival, body, back: None }) };
        let restored = tenant.restore(operation, &body).map_err(|error| error.of_request())?;
        let back = Tenant::comes_back(operation).then(|| {
            let back: Back = Box::new(move |answer| {
                let changed = tenant.put_back(operation, &answer).map_err(|error| error.of_reply())?;
                Ok(keeping(changed, answer))
            });
            back
        });
        // As long as it is under way, so is the memory that it was made of.
        Ok(Routed { arrival, body: keeping(restored, body), back })
    }
}

/// One name that all have given so far.
fn agree(before: Option<(Source, Name)>, source: Source, name: Name) -> Result<(Source, Name), NoAddress> {
    match before {
        Some((first, other)) if other != name => {
            Err(NoAddress::Ambiguous(format!("{first} names {other}, {source} names {name}")))
        }
        Some(before) => Ok(before),
        None => Ok((source, name)),
    }
}
