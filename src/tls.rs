//! Mutual TLS 1.3 between sidecars: configurations whose key, chain and bundles are those of the moment. Each handshake
//! reads the current [`State`], so nothing is rebuilt when material is replaced; of a connection that stands, a
//! [`Belief`] tells when its end has come.
//!
//! There is no resumption: a resumed session would skip the verifier and outlive the certificate that it began with.
//!
//! In TLS 1.3 a client has finished before the server looked at its certificate. A server's refusal therefore comes with
//! the client's first read, as an [alert], not with `connect`.

use std::sync::Arc;

use rustls::{
    ClientConfig, CommonState, ConfigBuilder, ServerConfig, WantsVerifier,
    client::Resumption,
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs},
    server::NoServerSessionStorage,
    version::TLS13,
};
use tokio::sync::watch;

mod belief;
mod refusal;
mod verify;

pub use belief::Belief;
pub use refusal::{Refusal, alert, is_rejection};
use verify::{OwnKey, Verifier};

use belief::Judge;

use crate::identity::{Clock, Pattern, State, Usage};

/// Makes TLS configurations out of the own identity. A clone stands for the same identity.
#[derive(Clone)]
pub struct Tls {
    states: watch::Receiver<State>,
    clock: Clock,
    clients: ConfigBuilder<ClientConfig, WantsVerifier>,
    servers: ConfigBuilder<ServerConfig, WantsVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Tls {
    /// TLS with the identity that `states` tells, by the time of `clock`.
    ///
    /// # Errors
    ///
    /// When the crypto provider cannot do TLS 1.3, which aws-lc-rs can.
    pub fn new(states: watch::Receiver<State>, clock: Clock) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let time = Arc::new(clock.clone());
        let clients = ClientConfig::builder_with_details(Arc::clone(&provider), time.clone())
            .with_protocol_versions(&[&TLS13])?;
        let servers = ServerConfig::builder_with_details(provider, time).with_protocol_versions(&[&TLS13])?;
        Ok(Self { states, clock, clients, servers, algorithms })
    }

    /// For the end that accepts: a client must show an SVID of a trust domain that there is a bundle for. Who may do what
    /// is for policy to say. `alpn` is what is spoken here, the preferred one first.
    #[must_use]
    pub fn server(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = self
            .servers
            .clone()
            .with_client_cert_verifier(Arc::new(self.verifier(None)))
            .with_cert_resolver(Arc::new(OwnKey(self.states.clone())));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// For the end that accepts anybody: a client shows no certificate, and is nobody. What is served there is public.
    #[must_use]
    pub fn open_server(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let own = Arc::new(OwnKey(self.states.clone()));
        let mut config = self.servers.clone().with_no_client_auth().with_cert_resolver(own);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// For the end that connects: the server must show an SVID with an ID that `expected` matches. The server name goes out as
    /// SNI and counts for nothing else: DNS SANs are not looked at.
    #[must_use]
    pub fn client(&self, expected: Pattern, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = self
            .clients
            .clone()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.verifier(Some(expected))))
            .with_client_cert_resolver(Arc::new(OwnKey(self.states.clone())));
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    fn verifier(&self, expected: Option<Pattern>) -> Verifier {
        Verifier { judge: self.judge(expected), algorithms: self.algorithms }
    }

    fn judge(&self, expected: Option<Pattern>) -> Judge {
        Judge { states: self.states.clone(), expected }
    }

    /// The client that a handshake with [`Self::server`] has verified.
    ///
    /// # Errors
    ///
    /// When there is no certificate, or it is no SVID; after such a handshake neither can be.
    pub fn client_of(&self, connection: &CommonState) -> Result<Belief, Refusal> {
        Belief::of(self.judge(None), self.clock.clone(), Usage::Client, connection)
    }

    /// The server that a handshake with [`Self::client`] has verified, of which `expected` was wanted.
    ///
    /// # Errors
    ///
    /// As [`Self::client_of`].
    pub fn server_of(&self, connection: &CommonState, expected: Pattern) -> Result<Belief, Refusal> {
        Belief::of(self.judge(Some(expected)), self.clock.clone(), Usage::Server, connection)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("state", &*self.states.borrow()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
