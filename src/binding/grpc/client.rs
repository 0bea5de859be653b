//! The gRPC sides that call: peers over the mesh hop, and agents of this pod that serve gRPC themselves.

use std::net::SocketAddr;

use http::Uri;

use super::exchange::{Exchange, Speaker};
use crate::a2a::{Call, Fault, Reason, Reply};
use crate::binding::Edge;
use crate::identity::Pattern;
use crate::net::describe;
use crate::net::h2c::Agents;
use crate::net::http2::{Unanswered, Unreachable};
use crate::net::peers::Peers;
use crate::tls::Refusal;

/// Sends calls to the endpoints of agents.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) peers: Peers,
    exchange: Exchange,
}

impl Client {
    /// Calls go over `peers`.
    pub fn new(peers: Peers, edge: Edge) -> Self {
        Self { peers, exchange: Exchange::new(Speaker::Peer, edge) }
    }

    /// Sends a call to `address`, where an identity that `expected` matches must answer.
    ///
    /// # Errors
    /// If it cannot be reached, breaks off, or answers with a fault.
    pub async fn send(&self, call: &Call, address: SocketAddr, expected: &Pattern) -> Result<Reply, Fault> {
        let connection = self.peers.connection(address, &call.agent, expected).await;
        let connection = connection.map_err(|reason| unreachable(&reason))?;
        let sent = self.exchange.send(call, &connection).await;
        let response = sent.map_err(|error| unanswered(&error, unreachable))?;
        self.exchange.reply(response, call.operation, connection).await
    }
}

/// Sends calls to agents of this pod, which speak gRPC without TLS.
#[derive(Clone, Debug)]
pub struct PlainClient {
    agents: Agents,
    exchange: Exchange,
}

impl PlainClient {
    /// Calls go over `agents`.
    pub fn new(agents: Agents, edge: Edge) -> Self {
        Self { agents, exchange: Exchange::new(Speaker::Agent, edge) }
    }

    /// Sends a call to the host of a URL.
    ///
    /// # Errors
    /// If the agent cannot be reached, breaks off, or answers with a fault.
    pub async fn send(&self, call: &Call, url: &Uri) -> Result<Reply, Fault> {
        let mut again = true;
        loop {
            let connection = self.agents.connection(url).await.map_err(|reason| not_there(&reason))?;
            match self.exchange.send(call, &connection).await {
                Ok(response) => return self.exchange.reply(response, call.operation, connection).await,
                // The agent has closed a connection that was kept; another one may stand.
                Err(Unanswered::NeverSent(_)) if again => again = false,
                Err(error) => return Err(unanswered(&error, not_there)),
            }
        }
    }
}

/// The fault of a call to a peer that could not be sent.
pub(super) fn unreachable(reason: &Unreachable) -> Fault {
    let fault = match reason {
        Unreachable::Refused(Refusal::Mismatch { .. }) => {
            Fault::new(Reason::PeerMismatch, "the peer is not the agent that was asked for")
        }
        Unreachable::Refused(Refusal::NotReady(_)) => {
            Fault::new(Reason::AgentUnreachable, "this sidecar has no identity yet")
        }
        Unreachable::Refused(_) => Fault::new(Reason::PeerUntrusted, "the peer's certificate is not trusted"),
        Unreachable::Rejected(_) => {
            Fault::new(Reason::PeerUntrusted, "the peer does not trust this sidecar's certificate")
        }
        Unreachable::Silent(_) => {
            Fault::new(Reason::AgentUnreachable, "the agent's sidecar cannot be reached")
        }
    };
    fault.because(reason).never_processed()
}

/// The fault of a call to an agent of this pod that could not be sent.
fn not_there(reason: &Unreachable) -> Fault {
    Fault::new(Reason::AgentUnreachable, "the agent cannot be reached").because(reason).never_processed()
}

pub(super) fn unanswered(error: &Unanswered, never_sent: impl FnOnce(&Unreachable) -> Fault) -> Fault {
    match error {
        Unanswered::NeverSent(reason) => never_sent(reason),
        Unanswered::Lost(error) => {
            Fault::new(Reason::AgentUnreachable, "the connection to the agent broke").because(describe(error))
        }
    }
}
