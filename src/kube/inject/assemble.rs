//! The patch: a container, its volumes, labels and annotations, all of them added.

use std::collections::BTreeMap;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde_json::{Map, Value, json};

use super::agents::Part;
use super::config::InjectConfig;
use super::decision::Injection;
use super::{
    ADMIN_PORT, AGENT, AGENTS, API_TOKEN_DIR, CONFIG, CONFIG_DIR, INJECTED, MESH_PORT, MESH_PORT_NAME, NAME,
    NO_TOKEN, STATE, STATE_DIR,
};

/// How long a token is valid, in seconds; the kubelet renews it earlier.
const TOKEN_LIFETIME: u32 = 43_200;
/// The user that the sidecar runs as, unless somebody says otherwise.
const USER: u32 = 2602;

/// The sidecar's container: what the injector says, and `partial` over it. `issued` is whether it keeps bundles.
pub(super) fn container(mut partial: Map<String, Value>, issued: bool) -> Map<String, Value> {
    let mounts = partial.remove("volumeMounts");
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": ADMIN_PORT}});
    let mut startup = probe("/startupz");
    startup["periodSeconds"] = 1.into();
    startup["failureThreshold"] = 120.into();
    let mut container = json!({
        "name": NAME,
        "args": ["sidecar", "--config", format!("{CONFIG_DIR}/config.yaml")],
        // Kubernetes then starts it before the other containers, keeps it running, and ends it after them.
        "restartPolicy": "Always",
        "ports": [
            {"name": MESH_PORT_NAME, "containerPort": MESH_PORT},
            {"name": "dragoman-admin", "containerPort": ADMIN_PORT},
        ],
        "startupProbe": startup,
        "readinessProbe": probe("/readyz"),
        "livenessProbe": probe("/livez"),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": NAME, "mountPath": CONFIG_DIR, "readOnly": true},
            // The sidecar has no business with the API server.
            {"name": NO_TOKEN, "mountPath": API_TOKEN_DIR, "readOnly": true},
        ],
    });
    json_patch::merge(&mut container, &Value::Object(partial));
    if let Some(all) = container["volumeMounts"].as_array_mut() {
        all.extend(issued.then(|| json!({"name": STATE, "mountPath": STATE_DIR})));
        all.extend(mounts.and_then(|mounts| mounts.as_array().cloned()).unwrap_or_default());
    }
    match container {
        Value::Object(container) => container,
        _ => Map::new(),
    }
}

/// The sidecar's own volumes: its configuration, nothing in the place of a token for the API server, and with an issuer the
/// token for `audience` and a place for bundles.
pub(super) fn volumes(audience: Option<&str>) -> Vec<Value> {
    let token = audience.map(|audience| {
        json!({"serviceAccountToken": {
            "audience": audience, "expirationSeconds": TOKEN_LIFETIME, "path": "token",
        }})
    });
    let config = json!({"downwardAPI": {"items": [
        {"path": "config.yaml", "fieldRef": {"fieldPath": format!("metadata.annotations['{CONFIG}']")}},
    ]}});
    let sources: Vec<_> = token.into_iter().chain([config]).collect();
    let own = json!({"name": NAME, "projected": {"sources": sources}});
    let nothing = json!({"name": NO_TOKEN, "emptyDir": {}});
    let state =
        audience.map(|_| json!({"name": STATE, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}));
    [own, nothing].into_iter().chain(state).collect()
}

/// Puts everything together.
pub(super) fn injection(
    pod: &Pod,
    spec: &PodSpec,
    config: &InjectConfig,
    sidecar: &str,
    container: Map<String, Value>,
    part: Part,
) -> Injection {
    let agents = part.names();
    let mut patch = Additions::default();
    patch.annotations(pod, spec, sidecar);
    patch.labels(pod, &agents);
    match &spec.init_containers {
        Some(_) => patch.add(["spec", "initContainers", "0"], container.into()),
        None => patch.add(["spec", "initContainers"], json!([container])),
    }
    match &spec.volumes {
        Some(_) => {
            config.volumes().iter().for_each(|volume| patch.add(["spec", "volumes", "-"], volume.clone()))
        }
        None => patch.add(["spec", "volumes"], config.volumes().into()),
    }
    Injection { patch: Patch(patch.0), agents, warnings: part.warnings }
}

#[derive(Default)]
struct Additions(Vec<PatchOperation>);

impl Additions {
    fn add<const N: usize>(&mut self, path: [&str; N], value: Value) {
        // Tokens are escaped on the way: `/` is `~1`.
        let path = PointerBuf::from_tokens(path);
        self.0.push(PatchOperation::Add(AddOperation { path, value }));
    }

    /// Adds to a map that may not be there yet.
    fn entries(&mut self, kind: &str, there: Option<&BTreeMap<String, String>>, entries: &[(String, &str)]) {
        if there.is_some() {
            for (key, value) in entries {
                self.add(["metadata", kind, key], (*value).into());
            }
        } else {
            let map: Map<_, _> = entries.iter().map(|(key, value)| (key.clone(), (*value).into())).collect();
            self.add(["metadata", kind], map.into());
        }
    }

    fn annotations(&mut self, pod: &Pod, spec: &PodSpec, sidecar: &str) {
        let there = pod.metadata.annotations.as_ref();
        let mut entries = vec![(CONFIG.to_owned(), sidecar)];
        // Who asks for logs or a shell means the application.
        if let Some(first) = spec.containers.first() {
            for key in
                ["kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container"]
            {
                if !there.is_some_and(|all| all.contains_key(key)) {
                    entries.push((key.to_owned(), &first.name));
                }
            }
        }
        self.entries("annotations", there, &entries);
    }

    fn labels(&mut self, pod: &Pod, agents: &[String]) {
        let mut entries = vec![(INJECTED.to_owned(), "true")];
        entries.extend(agents.first().map(|name| (AGENT.to_owned(), name.as_str())));
        entries.extend(agents.iter().map(|name| (format!("{AGENTS}{name}"), "true")));
        self.entries("labels", pod.metadata.labels.as_ref(), &entries);
    }
}
