//! The controller's file as it is written, every key still as text; see `config::raw`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{
    field::{Field, OneOrMany, Pairs, Texts},
    raw::{RawAdmin, RawIdentity, RawLog, RawMesh, RawPolicy},
    shape,
};

/// The configuration of the Dragoman controller. `${VAR}` inside a value is replaced by that environment variable, `$$`
/// is one dollar sign.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Dragoman controller configuration")]
pub(super) struct Raw {
    /// The mesh that this controller serves; its namespace is the controller's own.
    pub(super) mesh: Field<RawMesh>,
    /// Which roles this process has: `directory`, `identity`, `injector`. By default all of them.
    #[serde(default)]
    #[schemars(schema_with = "shape::roles")]
    pub(super) roles: Field<Texts>,
    /// The API server.
    #[serde(default)]
    pub(super) kubernetes: Field<RawKubernetes>,
    /// Where the certificate comes from that the directory shows, and whom it reads cards from. Without a source the role
    /// `identity` of the same process issues it; without that role it is files.
    #[serde(default)]
    pub(super) identity: Field<RawIdentity>,
    /// The role that issues identities.
    #[serde(default)]
    pub(super) issuer: Field<RawIssuerRole>,
    /// The role that puts sidecars into pods.
    #[serde(default)]
    pub(super) injector: Field<RawInjector>,
    /// The role that knows all agents.
    #[serde(default)]
    pub(super) directory: Field<RawDirectory>,
    /// Other meshes: whom to believe there, and where their directories are.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub(super) meshes: Field<Vec<Field<RawPeerMesh>>>,
    /// Health and metrics.
    #[serde(default)]
    pub(super) admin: Field<RawAdmin>,
    /// What is written to stderr.
    #[serde(default)]
    pub(super) log: Field<RawLog>,
}

/// The API server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Kubernetes")]
pub(super) struct RawKubernetes {
    /// A kubeconfig file. By default the pod's service account is used.
    #[serde(default)]
    pub(super) config: Field<String>,
}

/// The role that issues identities.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "IssuerRole")]
pub(super) struct RawIssuerRole {
    /// Where sidecars ask, over TLS.
    #[serde(default)]
    #[schemars(extend("default" = ["[::]:2644"]))]
    pub(super) listen: Field<OneOrMany>,
    /// The service account of the identity service, as `name` in its own namespace: whose identity it shows to sidecars.
    #[serde(default)]
    #[schemars(extend("default" = "dragoman-controller"))]
    pub(super) account: Field<String>,
    /// The Secret with `tls.crt`, `tls.key` and `ca.crt` of the issuer. It is made if it is not there.
    #[serde(default)]
    #[schemars(extend("default" = "dragoman-issuer"))]
    pub(super) secret: Field<String>,
    /// The ConfigMap that all bundles are published in.
    #[serde(default)]
    #[schemars(extend("default" = "dragoman-trust-bundle"))]
    pub(super) bundle: Field<String>,
    /// The audience that a service account token must be for.
    #[serde(default)]
    #[schemars(extend("default" = "dragoman-identity"))]
    pub(super) audience: Field<String>,
    /// How long an issued certificate is valid, at least one hour.
    #[serde(default)]
    #[schemars(extend("default" = "24h"))]
    pub(super) lifetime: Field<String>,
    /// How long a new root is published before certificates are signed under it.
    #[serde(default)]
    #[schemars(extend("default" = "15m"))]
    pub(super) settle: Field<String>,
    /// DNS names for certificates of single service accounts (`name.namespace`), beside those that EndpointSlices confirm.
    /// A name may begin with `*.`.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub(super) names: Field<Pairs<Texts>>,
}

/// The role that puts sidecars into pods.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Injector")]
pub(super) struct RawInjector {
    /// Where the API server asks, over TLS.
    #[serde(default)]
    #[schemars(extend("default" = ["[::]:2645"]))]
    pub(super) listen: Field<OneOrMany>,
    /// The name of the MutatingWebhookConfiguration, which is also that of the Service in front of the injector.
    #[serde(default)]
    #[schemars(extend("default" = "dragoman-injector"))]
    pub(super) webhook: Field<String>,
    /// The Secret with the webhook's certificate, made and renewed by the injector. By default `dragoman-injector-tls`.
    #[serde(default)]
    pub(super) secret: Field<String>,
    /// A directory with `tls.crt` and `tls.key` that somebody else keeps; nothing is patched then.
    #[serde(default)]
    pub(super) dir: Field<String>,
    /// A file with what the container of the sidecar is to say: a partial Kubernetes Container with at least its `image`.
    #[serde(default)]
    #[schemars(extend("default" = "/etc/dragoman/container.yaml"))]
    pub(super) container: Field<String>,
    /// A file with what the configuration of each sidecar is to say, but for its agents and its namespace.
    #[serde(default)]
    #[schemars(extend("default" = "/etc/dragoman/sidecar.yaml"))]
    pub(super) sidecar: Field<String>,
}

/// The role that knows all agents.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Directory")]
pub(super) struct RawDirectory {
    /// Where sidecars and other directories ask, gRPC over mutual TLS.
    #[serde(default)]
    #[schemars(extend("default" = ["[::]:2646"]))]
    pub(super) listen: Field<OneOrMany>,
    /// Where catalogues are served, HTTPS.
    #[serde(default)]
    #[schemars(extend("default" = ["[::]:2647"]))]
    pub(super) catalog: Field<OneOrMany>,
    /// Where DNS is served, UDP and TCP.
    #[serde(default)]
    #[schemars(extend("default" = ["[::]:2653"]))]
    pub(super) dns: Field<OneOrMany>,
    /// The zone that DNS is served for. By default `a2a.` and the cluster's domain.
    #[serde(default)]
    pub(super) zone: Field<String>,
    /// The Service in front of the directory, in the controller's namespace: its addresses are those of the catalogues.
    #[serde(default)]
    #[schemars(extend("default" = "dragoman-directory"))]
    pub(super) service: Field<String>,
    /// Who may see which agents: those whose `GetAgentCard` the rules allow.
    #[serde(default)]
    pub(super) policy: Field<RawPolicy>,
}

/// Another mesh.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "PeerMesh")]
pub(super) struct RawPeerMesh {
    /// The name of that mesh: the last label of `agent.namespace.mesh`.
    pub(super) name: Field<String>,
    /// The SPIFFE trust domain of that mesh.
    pub(super) trust_domain: Field<String>,
    /// A PEM file with the roots of its trust domain. It is read anew when it changes.
    #[serde(default)]
    pub(super) bundle: Field<String>,
    /// The URL of its directory: `https://` and a host, perhaps a port, which is else 2646.
    #[serde(default)]
    pub(super) directory: Field<String>,
    /// The SPIFFE ID that its directory must show, a pattern.
    #[serde(default)]
    pub(super) server: Field<String>,
}
