//! The role that issues identities.

use std::convert::Infallible;

use http::Request;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::{Gate, Ground};
use crate::app::listeners::Bound;
use crate::app::{StartError, assemble};
use crate::config::{ControllerConfig, Role};
use crate::identity::TrustDomain;
use crate::kube::sign::{self, Settings, Signing};
use crate::net::crowd::Places;
use crate::net::open::Capacity;
use crate::tls::Tls;

/// How much it may take. A sidecar asks on a connection of its own, which it gives up with the answer. All pods of a node may
/// come from the node's address, where the cluster rewrites addresses (masquerading, or a NodePort for another cluster), so one
/// address has as many places as a node has pods; one that takes them all leaves as many to the others. A request has 2 KiB.
const DOOR: Capacity =
    Capacity { places: Places { all: 512, each: 256 }, memory: 32 << 20, memory_each: 16 << 20 };

/// Starts it.
pub(super) fn start(ground: &mut Ground<'_>) -> Result<(), StartError> {
    let settings = settings(ground.config, &ground.trust_domain)?;
    let metrics = sign::Metrics::default();
    metrics.register(&mut ground.registry);
    let signing = sign::start(&ground.kubernetes, settings, ground.clock.clone(), ground.seed, metrics);
    let Signing { service, identity, ready, tasks } =
        signing.map_err(|error| StartError::Config(format!("issuer.account, mesh.namespace: {error}")))?;
    ground.issued = Some(identity.clone());
    let tls = Tls::new(identity, ground.clock.clone())
        .map_err(|error| StartError::Config(format!("TLS 1.3 cannot be set up: {error}")))?;
    let bound = Bound::to(&ground.config.issuer.listen)?;
    ground.doors.extend(bound.addresses.first().map(|address| ("identity", *address)));
    let server = service.server();
    let mut listeners = ground.listeners();
    // Whoever asks shows a token; a certificate is what it has come for.
    listeners.open(bound, ("identity", DOOR), tls.open_server(&[b"h2"]), move |request: Request<Body>| {
        let answer = server.clone().oneshot(request);
        async move {
            let Ok::<_, Infallible>(response) = answer.await;
            response
        }
    });
    ground.tasks.extend(listeners.tasks);
    ground.tasks.extend(tasks);
    ground.gates.push(Gate { role: Role::Identity, name: "issuer", state: ready });
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
