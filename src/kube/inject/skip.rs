//! Which pods get no sidecar, and what must be free in those that get one.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::agents::Part;
use super::ask::labelled;
use super::decision::{Cause, Refusal, Skip};
use super::{AGENT, AGENTS, INJECT, INJECTED, MESH_PORT, NAME};

/// Every container of a pod, with what it is called in the pod's spec.
pub(super) fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten())
}

/// Why a pod is left as it is.
pub(super) fn reason(metadata: &ObjectMeta, spec: &PodSpec) -> Option<Skip> {
    let label = |name: &str| metadata.labels.as_ref()?.get(name).map(String::as_str);
    let mirror =
        metadata.annotations.as_ref().is_some_and(|all| all.contains_key("kubernetes.io/config.mirror"));
    let selected = |name: &str| spec.node_selector.as_ref()?.get(name).map(String::as_str);
    let windows = spec.os.as_ref().is_some_and(|os| os.name == "windows")
        || ["kubernetes.io/os", "beta.kubernetes.io/os"].iter().any(|name| selected(name) == Some("windows"));
    let there = |container: &Container| container.name == NAME && is_sidecar(container);
    if mirror {
        Some(Skip::Mirror)
    } else if label(INJECT) == Some("false") {
        Some(Skip::Off)
    } else if label(INJECTED) == Some("true") || containers(spec).any(there) {
        Some(Skip::AlreadyInjected)
    } else if spec.host_network == Some(true) {
        Some(Skip::HostNetwork)
    } else {
        windows.then_some(Skip::Windows)
    }
}

/// Whether a container is a sidecar that somebody has written into the pod.
fn is_sidecar(container: &Container) -> bool {
    let words = container.command.iter().chain(&container.args).flatten();
    words.into_iter().any(|word| word == "sidecar")
}

/// The names of our container and of the volumes that come with it must be free.
pub(super) fn names_free(spec: &PodSpec, volumes: &[Value]) -> Result<(), Refusal> {
    let taken = |what: &str, name: &str| {
        let message =
            format!("the pod has a {what} named {name:?} of its own; the sidecar needs that name: rename it");
        Err(Refusal::new(Cause::Taken, message))
    };
    if containers(spec).any(|container| container.name == NAME) {
        return taken("container", NAME);
    }
    let ours = |name: &str| volumes.iter().any(|volume| volume["name"] == name);
    match spec.volumes.iter().flatten().find(|volume| ours(&volume.name)) {
        Some(volume) => taken("volume", &volume.name),
        None => Ok(()),
    }
}

/// The ports that the sidecar listens at must be free.
pub(super) fn ports_free(spec: &PodSpec, part: &Part, listens: &[u16]) -> Result<(), Refusal> {
    for container in containers(spec) {
        let tcp = container.ports.iter().flatten().filter(|port| is_tcp(port.protocol.as_deref()));
        let clash =
            tcp.into_iter().find(|port| listens.iter().any(|ours| i32::from(*ours) == port.container_port));
        if let Some(port) = clash {
            let advice = if port.container_port == i32::from(MESH_PORT) {
                "peers of the mesh call there, over mutual TLS: let the agent listen elsewhere"
            } else {
                "let the container listen elsewhere"
            };
            let port = port.container_port;
            let what = format!(
                "container {:?} has containerPort {port}, which is the sidecar's; {advice}",
                container.name
            );
            return Err(Refusal::new(Cause::Taken, what));
        }
    }
    match part.port.filter(|port| listens.contains(port)) {
        Some(port) => {
            Err(Refusal::annotation("port", &format!("{port} is the sidecar's own; name the agent's")))
        }
        None => Ok(()),
    }
}

/// Whether a port is of TCP, which it is unless it says otherwise.
pub(super) fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol.is_empty() || protocol == "TCP")
}

/// Labels that we set may not change: a ReplicaSet that no longer selects its pod would make another, for ever.
pub(super) fn labels_free(metadata: &ObjectMeta, part: &Part) -> Result<(), Refusal> {
    let names = part.names();
    let wrong = |key: &str, value: &str, advice: &str| {
        let message = format!("label {key}: {value:?} {advice}; leave the label to the injector");
        Err(Refusal::new(Cause::Annotation, message))
    };
    if let Some(value) = metadata.labels.as_ref().and_then(|labels| labels.get(AGENT))
        && names.first() != Some(value)
    {
        let called =
            names.first().map_or_else(|| "no agent".to_owned(), |name| format!("the agent {name:?}"));
        return wrong(AGENT, value, &format!("is not right in a pod with {called}"));
    }
    for (name, value) in labelled(metadata) {
        if value != "true" || !names.iter().any(|agent| agent == name) {
            return wrong(&format!("{AGENTS}{name}"), value, "names no agent of this pod");
        }
    }
    Ok(())
}
