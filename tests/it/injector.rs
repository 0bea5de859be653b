//! The injector: what it makes of pods, the webhook, its certificate, and what it tells.

use serde_json::json;

use crate::harness::kubernetes::Cluster;

/// The webhook's certificate over its whole life.
mod certificate;
/// Pods and what becomes of them, compared with files.
mod golden;
/// The rules of Pod Security, profile "restricted".
mod restricted;
/// What the injector is told, and what is wrong with it.
mod templates;
/// The assembled role, asked over HTTPS as an API server asks.
mod webhook;

/// Where the Secret is.
const SECRET: &str = "/api/v1/namespaces/dragoman-system/secrets/dragoman-injector-tls";
/// Where the webhook's configuration is.
const WEBHOOK: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/dragoman-injector";
/// Where the roots for sidecars are.
const BUNDLE: &str = "/api/v1/namespaces/dragoman-system/configmaps/dragoman-trust-bundle";

/// A cluster with the webhook's configuration as a chart leaves it.
fn installed() -> Cluster {
    let cluster = Cluster::default();
    let webhook = |name: &str| {
        let service = json!({"name": "dragoman-injector", "namespace": "dragoman-system", "path": "/inject"});
        json!({"name": name, "clientConfig": {"service": service}, "sideEffects": "NoneOnDryRun"})
    };
    let webhooks = ["namespace.inject.dragoman.dev", "pod.inject.dragoman.dev"].map(webhook);
    cluster.put_at(WEBHOOK, json!({"metadata": {"name": "dragoman-injector"}, "webhooks": webhooks}));
    cluster
}
