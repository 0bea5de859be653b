//! Asking the identity service: gRPC over TLS in which only the service shows a certificate, or over plain HTTP/2 at home. Each
//! question has a connection of its own, because there are few and any replica may answer.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use http::Uri;
use rustls::{ClientConfig, pki_types::ServerName};
use rustls_pki_types::CertificateDer;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::StatusExt as _;

use super::single::{Driver, Single, reason, speak};
use super::{describe, listen::tune};
use crate::identity::issuer::{Certifier, Granted, Refused, Token, Told};
use crate::identity::{Bundles, Clock, Pattern};
use crate::proto::mesh::identity_client::IdentityClient;
use crate::proto::mesh::{self, CertifyRequest, GetBundlesRequest};
use crate::tls::{self, Refusal};

/// How long the name may take, how long connecting to one address, and how long an answer.
const RESOLVE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(20);
/// How many addresses of the service are tried.
const ADDRESSES_MAX: usize = 4;

/// Finds the addresses of a host, or says why there are none.
pub type Resolve = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> + Send + Sync>;

/// The identity service at a URL.
#[derive(Clone)]
pub struct Issuer {
    /// `https`, or `http` without verification.
    pub url: Uri,
    /// Who the service must be.
    pub expected: Pattern,
    /// What certificates are judged by.
    pub clock: Clock,
    /// How its host is found.
    pub resolve: Resolve,
}

impl Certifier for Issuer {
    fn certify<'a>(
        &'a self,
        roots: &'a Bundles,
        request: Vec<u8>,
        token: &'a Token,
    ) -> BoxFuture<'a, Result<Granted, Refused>> {
        async move {
            let mut bearer: MetadataValue<_> = format!("Bearer {}", token.secret())
                .parse()
                .map_err(|_| Refused::Away("the token cannot be sent".to_owned()))?;
            bearer.set_sensitive(true);
            let mut request = tonic::Request::new(CertifyRequest { csr: request });
            request.metadata_mut().insert("authorization", bearer);
            let (mut client, _driver) = self.connect(roots).await?;
            let answer = self.answer(client.certify(request)).await?;
            Ok(Granted {
                chain: answer.chain.into_iter().map(CertificateDer::from).collect(),
                told: told(answer.bundles.unwrap_or_default()),
                renew_in: duration(answer.renew_in),
            })
        }
        .boxed()
    }

    fn bundles<'a>(&'a self, roots: &'a Bundles) -> BoxFuture<'a, Result<Told, Refused>> {
        async move {
            let (mut client, _driver) = self.connect(roots).await?;
            Ok(told(self.answer(client.get_bundles(GetBundlesRequest {})).await?))
        }
        .boxed()
    }
}

impl Issuer {
    /// A connection to the first address that takes one.
    async fn connect(&self, roots: &Bundles) -> Result<(IdentityClient<Single>, Driver), Refused> {
        let tls = match self.url.scheme_str() {
            Some("http") => None,
            _ => Some(self.tls(roots)?),
        };
        let mut reasons = Vec::new();
        for address in self.addresses().await? {
            let connected = timeout(CONNECT, self.connect_to(address, tls.clone()));
            match connected.await.unwrap_or_else(|_| Err("no connection in time".to_owned())) {
                Ok((channel, driver)) => {
                    return Ok((IdentityClient::with_origin(channel, self.url.clone()), driver));
                }
                Err(reason) => reasons.push(format!("{address}: {reason}")),
            }
        }
        Err(self.away(&reasons.join("; ")))
    }

    fn tls(&self, roots: &Bundles) -> Result<Arc<ClientConfig>, Refused> {
        tls::anonymous_client(roots.clone(), self.expected.clone(), self.clock.clone(), &[b"h2"])
            .map_err(|error| self.away(&error.to_string()))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, Refused> {
        let host = self.host();
        let port = match (self.url.port_u16(), self.url.scheme_str()) {
            (Some(port), _) => port,
            (None, Some("http")) => 80,
            (None, _) => 443,
        };
        let found = if let Ok(address) = host.parse::<IpAddr>() {
            Ok(vec![address])
        } else if host.eq_ignore_ascii_case("localhost") {
            Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
        } else {
            let found = timeout(RESOLVE, (self.resolve)(host.to_owned())).await;
            found.unwrap_or_else(|_| Err("no answer from DNS in time".to_owned()))
        };
        let found = found.map_err(|reason| self.away(&reason))?;
        Ok(found.into_iter().take(ADDRESSES_MAX).map(|address| SocketAddr::new(address, port)).collect())
    }

    /// The URL's host, an IPv6 address without brackets.
    fn host(&self) -> &str {
        self.url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    async fn connect_to(
        &self,
        address: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<(Single, Driver), String> {
        let stream = TcpStream::connect(address).await.and_then(|stream| tune(&stream).map(|()| stream));
        let stream = stream.map_err(|error| describe(&error))?;
        let Some(tls) = tls else { return speak(stream).await };
        let name = ServerName::try_from(self.host().to_owned()).map_err(|error| describe(&error))?;
        let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| {
            Refusal::of(&error).map_or_else(
                || describe(&error),
                |refusal| format!("the identity service does not prove itself: {refusal}"),
            )
        })?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err("no HTTP/2 there".to_owned());
        }
        speak(stream).await
    }

    async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Refused> {
        match timeout(ANSWER, asked).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.refused(&status)),
            Err(_) => Err(self.away("no answer in time")),
        }
    }

    /// What a status says to the loop that asks.
    fn refused(&self, status: &Status) -> Refused {
        let said = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated => Refused::Unauthenticated(said),
            Code::ResourceExhausted => {
                let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
                Refused::Busy { reason: said, retry }
            }
            Code::InvalidArgument | Code::PermissionDenied | Code::FailedPrecondition => {
                Refused::Invalid(said)
            }
            code => self.away(&format!("{code:?}: {}", reason(status))),
        }
    }

    fn away(&self, reason: &str) -> Refused {
        Refused::Away(format!("{}: {reason}", self.url))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("url", &self.url)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

fn told(bundles: mesh::Bundles) -> Told {
    let bundle = |bundle: mesh::Bundle| {
        (bundle.trust_domain, bundle.roots.into_iter().map(CertificateDer::from).collect())
    };
    Told {
        bundles: bundles.bundles.into_iter().map(bundle).collect(),
        refresh_in: duration(bundles.refresh_in),
    }
}

/// A duration that makes no sense is none.
fn duration(duration: Option<prost_types::Duration>) -> Option<Duration> {
    duration.and_then(|duration| duration.try_into().ok())
}

#[cfg(test)]
mod tests;
