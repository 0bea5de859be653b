//! The role that issues identities.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Service as _;

use super::{Gate, Ground, STREAM_WINDOW};
use crate::app::listeners::Bound;
use crate::app::{StartError, assemble};
use crate::config::ControllerConfig;
use crate::drain::Stage;
use crate::identity::TrustDomain;
use crate::kube::sign::{self, Settings, Signing};
use crate::net::describe;
use crate::net::serve::Http;
use crate::task;
use crate::tls::Tls;

/// How long a sidecar may take for its TLS handshake, and how many may be at it.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HANDSHAKES_MAX: usize = 1000;

/// Starts it.
pub(super) async fn start(ground: &mut Ground<'_>) -> Result<(), StartError> {
    let settings = settings(ground.config, &ground.trust_domain)?;
    let metrics = sign::Metrics::default();
    metrics.register(&mut ground.registry);
    let signing = sign::start(&ground.kubernetes, settings, ground.clock.clone(), ground.seed, metrics);
    let Signing { service, identity, ready, tasks } =
        signing.map_err(|error| StartError::Config(format!("issuer.account, mesh.namespace: {error}")))?;
    let tls = Tls::new(identity, ground.clock.clone())
        .map_err(|error| StartError::Config(format!("TLS 1.3 cannot be set up: {error}")))?;
    // Whoever asks shows a token; a certificate is what it has come for.
    let porch = Porch::new(tls.open_server(&[b"h2"]));
    let Bound { listeners, addresses } = Bound::to(&ground.config.issuer.listen)?;
    ground.doors.extend(addresses.first().map(|address| ("identity", *address)));
    for listener in listeners {
        let (porch, server) = (porch.clone(), service.server());
        let http = Http::new(STREAM_WINDOW);
        let accept = move |stream: TcpStream| {
            let (porch, server) = (porch.clone(), server.clone());
            async move {
                let stream = porch.admit(stream).await?;
                let service = service_fn(move |request: Request<Incoming>| {
                    let mut server = server.clone();
                    async move {
                        Ok::<_, Infallible>(server.call(request).await.unwrap_or_else(|never| match never {}))
                    }
                    .boxed()
                });
                Some((stream, service))
            }
        };
        // Sidecars find the other replicas once this one fades.
        let serve = http.serve(listener, ground.drain.clone(), Some(Stage::Fading), accept);
        ground.tasks.push(task::spawn(serve));
    }
    ground.tasks.extend(tasks);
    ground.gates.push(Gate { name: "identity", state: ready });
    Ok(())
}

fn settings(config: &ControllerConfig, trust_domain: &TrustDomain) -> Result<Settings, StartError> {
    let files = config.meshes.iter().filter_map(|mesh| {
        let path = mesh.bundle.clone()?;
        Some(assemble::trust_domain(&mesh.trust_domain).map(|domain| (domain, path)))
    });
    Ok(Settings {
        trust_domain: trust_domain.clone(),
        cluster_domain: config.mesh.cluster_domain.clone(),
        namespace: config.mesh.namespace.clone(),
        account: config.issuer.account.clone(),
        secret: config.issuer.secret.clone(),
        bundle: config.issuer.bundle.clone(),
        audience: config.issuer.audience.clone(),
        lifetime: config.issuer.lifetime,
        settle: config.issuer.settle,
        names: config.issuer.names.clone(),
        files: files.collect::<Result<_, _>>()?,
    })
}

/// Where TLS is shaken hands over with whoever comes.
#[derive(Clone)]
struct Porch {
    acceptor: TlsAcceptor,
    turns: Arc<Semaphore>,
}

impl Porch {
    fn new(tls: Arc<ServerConfig>) -> Self {
        Self { acceptor: TlsAcceptor::from(tls), turns: Arc::new(Semaphore::new(HANDSHAKES_MAX)) }
    }

    async fn admit(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let address = stream.peer_addr().ok();
        let _turn = self.turns.acquire().await.ok()?;
        let accepted = match timeout(HANDSHAKE, self.acceptor.accept(stream)).await {
            Ok(accepted) => accepted,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")),
        };
        // A sidecar that does not believe us says so in its own log, and what it says is seen here.
        accepted
            .map_err(|error| tracing::info!(?address, error = describe(&error), "A handshake failed"))
            .ok()
    }
}
