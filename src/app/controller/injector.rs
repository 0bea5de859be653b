//! The role that puts sidecars into pods, and a Service in front of every agent.

use std::path::Path;
use std::sync::Arc;

use http::Request;
use tokio::sync::watch;
use tonic::body::Body;

use super::{Gate, Ground, services};
use crate::app::StartError;
use crate::app::listeners::Bound;
use crate::config::{self, Config, ConfigErrors, Mesh, Role, WebhookCertificate};
use crate::kube::inject::{
    Configured, InjectConfig, Keeper, Metrics, Published, Reader, Serving, Teller, Templates, Webhook, Wrong,
    tls, watch_dir, watch_roots,
};
use crate::net::crowd::Places;
use crate::net::open::Capacity;
use crate::task;

/// How a sidecar's configuration is read and checked.
pub const READER: &dyn Reader = &Sidecars;

/// Knows the configuration of sidecars.
#[derive(Debug)]
struct Sidecars;

/// How much it may take. API servers are few, and each asks on a few connections side by side; behind a NodePort or a tunnel
/// they are one address. A review of a pod has some 20 KiB, the largest that is read 3 MiB.
const DOOR: Capacity =
    Capacity { places: Places { all: 512, each: 64 }, memory: 64 << 20, memory_each: 32 << 20 };

/// Starts it.
pub(super) fn start(ground: &mut Ground<'_>) -> Result<(), StartError> {
    services::start(ground);
    webhook(ground)
}

/// What answers the API server when a pod is about to be made.
fn webhook(ground: &mut Ground<'_>) -> Result<(), StartError> {
    let templates = templates(ground)?;
    let metrics = Metrics::default();
    metrics.register(&mut ground.registry);
    let certificate = certificate(ground, &metrics);
    gate(ground, "certificate", certificate.clone());
    let config = roots(ground, templates);
    gate(ground, "roots", config.clone());
    let (teller, telling) = Teller::start(ground.kubernetes.clone(), metrics.clone());
    ground.tasks.push(telling);
    let bound = Bound::to(&ground.config.injector.listen)?;
    ground.doors.extend(bound.addresses.first().map(|address| ("injector", *address)));
    let webhook = Webhook { config, teller, metrics };
    let tls =
        tls(certificate).map_err(|error| StartError::Config(format!("TLS cannot be set up: {error}")))?;
    let mut listeners = ground.listeners();
    listeners.open(bound, ("injector", DOOR), tls, move |request: Request<Body>| {
        let webhook = webhook.clone();
        async move { webhook.answer(request).await }
    });
    ground.tasks.extend(listeners.tasks);
    Ok(())
}

/// What sidecars have in common.
fn templates(ground: &Ground<'_>) -> Result<InjectConfig, StartError> {
    let injector = &ground.config.injector;
    let text = |path: &Path| {
        let wrong = |error| StartError::Config(format!("{}: {error}", path.display()));
        std::fs::read_to_string(path).map_err(wrong)
    };
    let (container, sidecar) = (text(&injector.container)?, text(&injector.sidecar)?);
    let file = injector.sidecar.display().to_string();
    let templates = Templates {
        container: (&injector.container.display().to_string(), &container),
        sidecar: (&file, &sidecar),
        audience: &ground.config.issuer.audience,
        reader: READER,
    };
    let config = InjectConfig::parse(&templates).map_err(|error| StartError::Config(error.to_string()))?;
    same_mesh(&file, &config, &ground.config.mesh)?;
    Ok(config)
}

/// Sidecars of another mesh than the controller's would find neither agents nor anybody who believes them.
fn same_mesh(file: &str, config: &InjectConfig, own: &Mesh) -> Result<(), StartError> {
    for (key, told, own) in [
        ("name", config.mesh("name"), &own.name),
        ("trustDomain", config.mesh("trustDomain"), &own.trust_domain),
        ("clusterDomain", config.mesh("clusterDomain").or(Some("cluster.local")), &own.cluster_domain),
    ] {
        let told = told.unwrap_or_default();
        if told != own {
            let what = format!("{file}: mesh.{key}: {told:?} is not {own:?}, which is the controller's");
            return Err(StartError::Config(what));
        }
    }
    Ok(())
}

/// The certificate to show, and who keeps it.
fn certificate(ground: &mut Ground<'_>, metrics: &Metrics) -> watch::Receiver<Serving> {
    let (injector, mesh) = (&ground.config.injector, &ground.config.mesh);
    let (certificate, keeping) = match &injector.certificate {
        WebhookCertificate::Dir(dir) => watch_dir(dir.clone(), metrics.clone()),
        WebhookCertificate::Secret(secret) => {
            let service = format!("{}.{}.svc", injector.webhook, mesh.namespace);
            let keeper = Keeper {
                client: ground.kubernetes.clone(),
                namespace: mesh.namespace.clone(),
                secret: secret.clone(),
                webhook: injector.webhook.clone(),
                names: vec![format!("{service}.{}", mesh.cluster_domain), service],
                clock: ground.clock.clone(),
                seed: ground.seed,
                metrics: metrics.clone(),
            };
            keeper.start()
        }
    };
    ground.tasks.push(keeping);
    certificate
}

/// What sidecars have in common, with the roots of the moment where they need any.
fn roots(ground: &mut Ground<'_>, templates: InjectConfig) -> watch::Receiver<Configured> {
    if !templates.wants_roots() {
        return watch::channel(Ok(Arc::new(templates))).1;
    }
    let config = ground.config;
    let published = Published {
        namespace: &config.mesh.namespace,
        name: &config.issuer.bundle,
        trust_domain: ground.trust_domain.as_str(),
    };
    let (receiver, watching) = watch_roots(ground.kubernetes.clone(), &published, templates);
    ground.tasks.push(watching);
    receiver
}

/// The controller is ready when `state` is.
fn gate<T: Send + Sync + 'static>(
    ground: &mut Ground<'_>,
    name: &'static str,
    mut state: watch::Receiver<Result<T, String>>,
) {
    let outcome = |state: &Result<T, String>| state.as_ref().map(drop).map_err(Clone::clone);
    let ready = watch::Sender::new(outcome(&state.borrow_and_update()));
    ground.gates.push(Gate { role: Role::Injector, name, state: ready.subscribe() });
    ground.tasks.push(task::spawn(async move {
        while state.changed().await.is_ok() {
            drop(ready.send_replace(outcome(&state.borrow_and_update())));
        }
    }));
}

impl Reader for Sidecars {
    fn read(&self, name: &str, text: &str) -> Result<serde_json::Value, String> {
        config::to_json(name, text.as_bytes()).map_err(|error| error.to_string())
    }

    fn check(&self, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<u16>, Vec<Wrong>> {
        let config = Config::parse("sidecar", text.as_bytes(), env).map_err(|errors| match errors {
            ConfigErrors::Unreadable { reason, .. } => vec![Wrong { at: String::new(), message: reason }],
            ConfigErrors::Wrong { problems, .. } => {
                let each = problems.into_iter().map(|problem| Wrong {
                    at: format!("{}:{}", problem.at.line, problem.at.column),
                    message: problem.message,
                });
                each.collect()
            }
        })?;
        let doors = [&config.outbound.listen, &config.admin.listen];
        // Where there is no agent nobody listens for peers.
        let inbound = (!config.agents.is_empty()).then_some(&config.inbound.listen);
        let listens = doors.into_iter().chain(inbound).flat_map(|listen| &listen.addresses);
        Ok(listens.map(std::net::SocketAddr::port).chain(config.outbound.ports.into_values()).collect())
    }
}
