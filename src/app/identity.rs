//! Where the own certificate comes from, as the configuration says it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::StartError;
use super::assemble::pattern;
use crate::config::Source;
use crate::discovery::{self, Bounds, Hosts};
use crate::identity::issuer::{self, Roots, Settings};
use crate::identity::{self, Clock, Metrics, State, TrustDomain, files};
use crate::net::issuer::{Issuer, Resolve};
use crate::net::workload_api;

/// What a source of the own identity is started with.
pub(super) struct Origin {
    pub(super) trust_domain: TrustDomain,
    /// Who knows the addresses of an issuer.
    pub(super) nameservers: discovery::Source,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) seed: u64,
}

/// Starts to keep the own identity up to date. The task ends with the handle.
pub(super) fn source(
    source: &Source,
    origin: Origin,
) -> Result<(watch::Receiver<State>, AbortOnDropHandle<()>), StartError> {
    let Origin { trust_domain, nameservers, clock, metrics, seed } = origin;
    match source {
        Source::Files { dir } => Ok(files::watch(dir.clone(), trust_domain, clock, metrics)),
        Source::Issuer { url, token_file, server, roots, state } => {
            let certifier = Issuer {
                url: url.clone(),
                expected: pattern(&server.replace("{trustDomain}", trust_domain.as_str()))?,
                clock: clock.clone(),
                resolve: resolve(nameservers),
            };
            let roots = match (url.scheme_str(), roots) {
                (Some("http"), _) => Roots::Unneeded,
                (_, Some(text)) => Roots::Given(text.clone()),
                (_, None) => Roots::Beside,
            };
            let (token_file, state) = (token_file.clone(), state.clone());
            let settings = Settings { trust_domain, token_file, roots, state };
            Ok(issuer::watch(Arc::new(certifier), settings, clock, metrics, seed))
        }
        Source::WorkloadApi { socket } => {
            let agent = Arc::new(workload_api::Agent::at(socket));
            Ok(identity::workload_api::watch(agent, trust_domain, clock, metrics, seed))
        }
    }
}

/// Names are looked up at our nameservers, never by libc.
fn resolve(nameservers: discovery::Source) -> Resolve {
    let hosts = Arc::new(Hosts::new(nameservers, Bounds::default()));
    Arc::new(move |host| {
        let hosts = Arc::clone(&hosts);
        async move {
            let found = hosts.addresses(&host, 0).await?;
            Ok(found.into_iter().map(|address| address.ip()).collect())
        }
        .boxed()
    })
}
