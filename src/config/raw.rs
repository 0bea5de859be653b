//! The file as it is written: every key of the YAML, still as text. The comments here are the descriptions of the
//! JSON Schema; what the texts mean is decided in `check`, section by section.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    field::{Field, OneOrMany, Pairs, Texts},
    shape,
};

/// The configuration of a Dragoman sidecar. `${VAR}` inside a value is replaced by that environment variable, `$$` is
/// one dollar sign.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Dragoman configuration")]
pub(super) struct Raw {
    /// The mesh that this sidecar belongs to, and its place in it.
    pub(super) mesh: Field<RawMesh>,
    /// The agents in this pod that peers may call. None in a pod that only calls.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub(super) agents: Field<Vec<Field<RawAgent>>>,
    /// Where the own certificate comes from, and which identities other agents must show.
    #[serde(default)]
    pub(super) identity: Field<RawIdentity>,
    /// The side that faces the agent of this pod: what it may call, and how it gets there.
    #[serde(default)]
    pub(super) outbound: Field<RawOutbound>,
    /// The side that faces peers. They come with mutual TLS only.
    #[serde(default)]
    pub(super) inbound: Field<RawInbound>,
    /// Health, metrics and a look inside.
    #[serde(default)]
    pub(super) admin: Field<RawAdmin>,
    /// How the addresses of agents are found.
    #[serde(default)]
    pub(super) discovery: Field<RawDiscovery>,
    /// Who may call the agents of this pod.
    #[serde(default)]
    pub(super) policy: Field<RawPolicy>,
    /// Other meshes, each with a trust domain of its own, whose agents can be called and may call.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub(super) meshes: Field<Vec<Field<RawRemoteMesh>>>,
    /// Bounds on time, size and memory.
    #[serde(default)]
    pub(super) limits: Field<RawLimits>,
    /// Agent cards: how they are trusted and kept.
    #[serde(default)]
    pub(super) cards: Field<RawCards>,
    /// What is written to stderr.
    #[serde(default)]
    pub(super) log: Field<RawLog>,
}

/// The mesh that this sidecar belongs to, and its place in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Mesh")]
pub(super) struct RawMesh {
    /// The name of the mesh: the last label of `agent.namespace.mesh`.
    pub(super) name: Field<String>,
    /// The SPIFFE trust domain of the mesh, such as `east.example`.
    pub(super) trust_domain: Field<String>,
    /// The DNS domain of the Kubernetes cluster.
    #[serde(default)]
    #[schemars(extend("default" = "cluster.local"))]
    pub(super) cluster_domain: Field<String>,
    /// The namespace of this pod, which completes short names.
    #[serde(default)]
    #[schemars(extend("default" = "default"))]
    pub(super) namespace: Field<String>,
}

/// An agent in this pod.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Agent")]
pub(super) struct RawAgent {
    /// The agent's name within its namespace: a DNS label in lower case.
    pub(super) name: Field<String>,
    /// Where the agent listens, over plain HTTP: the base URL of its interface, such as `http://127.0.0.1:9000`.
    pub(super) url: Field<String>,
    /// The base URL below which the agent's card is. It is `url` unless gRPC has a port of its own.
    #[serde(default)]
    pub(super) card: Field<String>,
    /// The binding that the agent speaks. `auto` asks its card.
    #[serde(default)]
    #[schemars(schema_with = "shape::binding")]
    pub(super) binding: Field<String>,
    /// The version of A2A that the agent speaks. `auto` asks its card.
    #[serde(default)]
    #[schemars(schema_with = "shape::dialect")]
    pub(super) dialect: Field<String>,
}

/// Where the own certificate comes from (one of `files`, `issuer` and `workloadApi`), and which identities other agents
/// must show.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Identity")]
pub(super) struct RawIdentity {
    /// Certificate, key and bundles are files, watched for change. This is the default.
    #[serde(default)]
    pub(super) files: Field<RawFiles>,
    /// A certificate issuer is asked, with a service account token.
    #[serde(default)]
    pub(super) issuer: Field<RawIssuer>,
    /// A SPIFFE Workload API, such as SPIRE's agent, is asked.
    #[serde(default)]
    pub(super) workload_api: Field<RawWorkloadApi>,
    /// The SPIFFE ID that an agent must show when it is called. `{trustDomain}`, `{namespace}` and `{agent}` are those of the
    /// agent; `*` is one path segment, `/**` at the end any number of them.
    #[serde(default)]
    #[schemars(extend("default" = "spiffe://{trustDomain}/ns/{namespace}/sa/*"))]
    pub(super) server: Field<String>,
    /// The same for single agents, by name.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub(super) servers: Field<Pairs<String>>,
}

/// Certificate, key and bundles in files.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Files")]
pub(super) struct RawFiles {
    /// The directory with `tls.crt`, `tls.key`, `ca.crt` and a `<trust-domain>.trust-bundle.pem` for each other domain.
    #[serde(default)]
    #[schemars(extend("default" = "/run/secrets/workload-spiffe-credentials"))]
    pub(super) dir: Field<String>,
}

/// A certificate issuer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Issuer")]
pub(super) struct RawIssuer {
    /// The issuer's URL: `https`, or `http` on a loopback address.
    pub(super) url: Field<String>,
    /// The file with the token that is shown to the issuer. It is read anew each time.
    pub(super) token_file: Field<String>,
    /// The SPIFFE ID that the issuer must show, a pattern in which `{trustDomain}` is that of the mesh. By default
    /// `spiffe://{trustDomain}/ns/dragoman-system/sa/*`.
    #[serde(default)]
    pub(super) server: Field<String>,
    /// Root certificates in PEM by which the issuer is believed at first; later it says itself whom to believe. By
    /// default those in `ca.crt`, in the directory of `tokenFile`.
    #[serde(default)]
    pub(super) roots: Field<String>,
    /// A directory in which the latest bundles are kept, so that a restart does not fall back to `roots`.
    #[serde(default)]
    pub(super) state: Field<String>,
}

/// A SPIFFE Workload API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "WorkloadApi")]
pub(super) struct RawWorkloadApi {
    /// Its Unix socket, as an absolute path or as `unix:///path`.
    pub(super) socket: Field<String>,
}

/// The side that faces the agent of this pod.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Outbound")]
pub(super) struct RawOutbound {
    /// The addresses at which the agent finds the mesh.
    #[serde(default)]
    #[schemars(extend("default" = ["127.0.0.1:2602", "[::1]:2602"]))]
    pub(super) listen: Field<OneOrMany>,
    /// A port of their own for single agents, by name, for gRPC clients that can name an agent in no other way.
    /// 0 lets the system choose.
    #[serde(default)]
    #[schemars(schema_with = "shape::ports")]
    pub(super) ports: Field<Pairs<String>>,
    /// The agents that may be called: `agent`, `agent.namespace` or `agent.namespace.mesh`, in which `*` stands for any one
    /// label; `*` alone is every agent.
    #[serde(default)]
    #[schemars(extend("default" = ["*"]))]
    pub(super) allow: Field<Texts>,
    /// Hosts outside the mesh, as `host` or `host:port`, to which proxy requests are passed on.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub(super) forward: Field<Texts>,
    /// Web origins whose pages may call, such as `http://localhost:3000`.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub(super) allowed_origins: Field<Texts>,
}

/// The side that faces peers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Inbound")]
pub(super) struct RawInbound {
    /// The addresses at which peers call. By default every address, over IPv6 and IPv4.
    #[serde(default)]
    #[schemars(extend("default" = ["[::]:2643"]))]
    pub(super) listen: Field<OneOrMany>,
}

/// Health, metrics and a look inside.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Admin")]
pub(super) struct RawAdmin {
    /// The addresses for probes and metrics. By default every address, over IPv6 and IPv4.
    #[serde(default)]
    #[schemars(extend("default" = ["[::]:2690"]))]
    pub(super) listen: Field<OneOrMany>,
}

/// How the addresses of agents are found.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Discovery")]
pub(super) struct RawDiscovery {
    /// The DNS servers to ask, as `IP:port`. By default those of `/etc/resolv.conf`.
    #[serde(default)]
    pub(super) nameservers: Field<Texts>,
    /// The port of an agent for which DNS has addresses but no SRV record.
    #[serde(default)]
    #[schemars(schema_with = "shape::mesh_port")]
    pub(super) port: Field<String>,
    /// Fixed addresses, as `IP:port`, by agent name. They are used instead of DNS.
    #[serde(default, rename = "static")]
    #[schemars(extend("default" = {}))]
    pub(super) r#static: Field<Pairs<Texts>>,
    /// The directory of the mesh, which knows agents that the cluster's DNS does not, and can list them.
    #[serde(default)]
    pub(super) directory: Field<RawDirectory>,
}

/// The directory of the mesh.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Directory")]
pub(super) struct RawDirectory {
    /// Where it lists agents: `https://` and a host, perhaps a port, which is else 2646.
    #[serde(default)]
    pub(super) url: Field<String>,
    /// The SPIFFE ID that it must show, a pattern in which `{trustDomain}` is that of the mesh. By default
    /// `spiffe://{trustDomain}/ns/dragoman-system/sa/*`.
    #[serde(default)]
    pub(super) server: Field<String>,
    /// Where it answers DNS, as `IP:port` or `host:port`: asked about names that the cluster's own DNS does not know. A
    /// host's addresses are asked of the cluster's DNS.
    #[serde(default)]
    pub(super) nameservers: Field<Texts>,
    /// The zone of its DNS. By default `a2a.` and the cluster's domain.
    #[serde(default)]
    pub(super) zone: Field<String>,
}

/// Who may call the agents of this pod.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Policy")]
pub(super) struct RawPolicy {
    /// The rules: a call is allowed if one of them covers it. By default everybody of the own trust domain may call
    /// everything; an empty list lets nobody in.
    #[serde(default)]
    pub(super) allow: Field<Vec<Field<RawRule>>>,
}

/// A rule: who may call what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub(super) struct RawRule {
    /// The SPIFFE IDs of the callers; `*` is one path segment, `/**` at the end any number of them.
    pub(super) from: Field<Texts>,
    /// The agents that they may call, written as in `outbound.allow`.
    #[serde(default)]
    #[schemars(extend("default" = ["*"]))]
    pub(super) agents: Field<Texts>,
    /// The operations that they may call, such as `SendMessage`; `*` is every operation.
    #[serde(default)]
    #[schemars(schema_with = "shape::operations")]
    pub(super) operations: Field<Texts>,
}

/// Another mesh.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RemoteMesh")]
pub(super) struct RawRemoteMesh {
    /// The name of that mesh: the last label of `agent.namespace.mesh`.
    pub(super) name: Field<String>,
    /// The SPIFFE trust domain of that mesh.
    pub(super) trust_domain: Field<String>,
    /// The DNS domain of its cluster.
    #[serde(default)]
    #[schemars(extend("default" = "cluster.local"))]
    pub(super) cluster_domain: Field<String>,
    /// The DNS servers that know its cluster, as `IP:port`. By default those of `discovery`.
    #[serde(default)]
    pub(super) nameservers: Field<Texts>,
    /// Where its directory lists agents: `https://` and a host, perhaps a port, which is else 2646.
    #[serde(default)]
    pub(super) directory: Field<String>,
    /// The SPIFFE ID that its directory must show, a pattern. By default any of its namespace `dragoman-system`.
    #[serde(default)]
    pub(super) server: Field<String>,
}

/// Bounds on time, size and memory.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub(super) struct RawLimits {
    /// The largest message, in either of its forms.
    #[serde(default)]
    #[schemars(schema_with = "shape::message")]
    pub(super) message: Field<String>,
    /// The memory for all messages on their way. At least `message`.
    #[serde(default)]
    #[schemars(schema_with = "shape::buffered")]
    pub(super) buffered: Field<String>,
    /// What a peer may send ahead on one stream before it is read (the HTTP/2 stream window).
    #[serde(default)]
    #[schemars(schema_with = "shape::stream_window")]
    pub(super) stream_window: Field<String>,
    /// The longest that connecting may take.
    #[serde(default)]
    #[schemars(schema_with = "shape::connect")]
    pub(super) connect: Field<String>,
    /// The longest that a call with one answer may take, or `none`.
    #[serde(default)]
    #[schemars(schema_with = "shape::no_time")]
    pub(super) unary: Field<String>,
    /// The longest that a stream may be silent, or `none`.
    #[serde(default)]
    #[schemars(schema_with = "shape::no_time")]
    pub(super) stream_idle: Field<String>,
    /// How long calls in flight may take to end once the sidecar is told to stop.
    #[serde(default)]
    #[schemars(schema_with = "shape::drain")]
    pub(super) drain: Field<String>,
    /// How many threads do the work.
    #[serde(default)]
    #[schemars(schema_with = "shape::threads")]
    pub(super) threads: Field<String>,
}

/// Agent cards.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Cards")]
pub(super) struct RawCards {
    /// Files with the public keys that may sign cards. With none of them signatures are not checked.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub(super) keys: Field<Texts>,
    /// How long a card may be kept before it is asked for again.
    #[serde(default)]
    #[schemars(schema_with = "shape::max_age")]
    pub(super) max_age: Field<String>,
}

/// What is written to stderr.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Log")]
pub(super) struct RawLog {
    /// One JSON object per line, or text for people.
    #[serde(default)]
    #[schemars(schema_with = "shape::log_format")]
    pub(super) format: Field<String>,
    /// The least that is worth a line.
    #[serde(default)]
    #[schemars(schema_with = "shape::log_level")]
    pub(super) level: Field<String>,
}
