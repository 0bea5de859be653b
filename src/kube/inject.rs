//! The injector: what a pod needs so that a sidecar stands beside its agent, and the webhook that gives it to the pod.
//!
//! ```text
//! AdmissionReview → review → patch(pod, namespace, config) → Decision → AdmissionReview, an Event, a log line, a count
//! ```
//!
//! [`patch`] is a pure function. Its patch only adds, so that what a newer Kubernetes has put into a pod stays as it is.

mod agents;
mod ask;
mod assemble;
mod certificate;
mod config;
mod decision;
mod dir;
mod events;
mod keep;
mod metrics;
mod ports;
mod resources;
mod review;
mod roots;
mod skip;
mod webhook;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use rustls::sign::CertifiedKey;

use self::ask::Wishes;
pub use self::config::{InjectConfig, Reader, TemplateError, Templates, Wrong};
pub use self::decision::{Cause, Decision, Injection, Refusal, Skip};
pub use self::dir::watch_dir;
pub use self::events::Teller;
pub use self::keep::{Keeper, SETTLE};
pub use self::metrics::Metrics;
pub use self::roots::{Published, watch_roots};
pub use self::webhook::{Webhook, tls};
use super::words::{AGENT, AGENTS, DOMAIN, INJECTED, MESH_PORT, MESH_PORT_NAME};

/// The certificate that the webhook shows, else why there is none.
pub type Serving = Result<Arc<CertifiedKey>, String>;

/// What sidecars have in common, else what that still waits for.
pub type Configured = Result<Arc<InjectConfig>, String>;

/// The label that selects: `false` on a pod keeps it out of a namespace that is in.
const INJECT: &str = "dragoman.dev/inject";
/// The annotation with the sidecar's whole configuration.
const CONFIG: &str = "dragoman.dev/config";
/// The sidecar's container, and the volume with its configuration and its token.
const NAME: &str = "dragoman";
/// The volume in the place of a token for the API server.
const NO_TOKEN: &str = "dragoman-no-token";
/// The volume in which the sidecar keeps the latest bundles.
const STATE: &str = "dragoman-state";
/// The port at which the kubelet asks.
const ADMIN_PORT: u16 = 2690;
/// Where the volume with the configuration is.
const CONFIG_DIR: &str = "/var/run/dragoman";
/// Where Kubernetes would give a container a token for the API server, if nothing else is there.
const API_TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Where the volume with the bundles is.
const STATE_DIR: &str = "/var/lib/dragoman";
/// Where the token is.
const TOKEN_FILE: &str = "/var/run/dragoman/token";

/// What a pod that is about to be made in `namespace` needs. Pure: the same pod and configuration give the same decision.
pub fn patch(pod: &Pod, namespace: &str, config: &InjectConfig) -> Decision {
    let Some(spec) = &pod.spec else {
        return Decision::Refuse(Refusal::new(Cause::Pod, "the pod has no spec".to_owned()));
    };
    if let Some(skip) = skip::reason(&pod.metadata, spec) {
        return Decision::Skip(skip);
    }
    let injection = || {
        let wishes = Wishes::read(&pod.metadata)?;
        skip::names_free(spec, config.volumes())?;
        let mut part = agents::of(&pod.metadata, spec, &wishes, config.reader())?;
        let sidecar = config.sidecar(namespace, &part.agents, &wishes)?;
        skip::ports_free(spec, &part, &sidecar.listens)?;
        skip::labels_free(&pod.metadata, &part)?;
        let container = resources::apply(config.container(part.serves()), &wishes)?;
        part.warnings.extend(ports::warning(spec));
        Ok(assemble::injection(pod, spec, config, &sidecar.text, container, part))
    };
    injection().map_or_else(Decision::Refuse, Decision::Patch)
}
