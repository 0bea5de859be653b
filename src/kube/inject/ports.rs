//! Which port of a pod is the agent's.

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};

use super::MESH_PORT_NAME;
use super::decision::{Cause, Refusal};
use super::skip::is_tcp;

/// The name that says that a port speaks HTTP.
const HTTP: &str = "http";

/// The port that the annotation names, as a number or by the name that a container gives it.
pub(super) fn named(spec: &PodSpec, wish: &str) -> Result<u16, Refusal> {
    let wrong = |what: &str| Refusal::annotation("port", what);
    if !wish.is_empty() && wish.bytes().all(|byte| byte.is_ascii_digit()) {
        let port = wish.parse().ok().filter(|port| *port != 0);
        return port
            .ok_or_else(|| wrong(&format!("{wish:?} is no port: write 1 to 65535, or the name of one")));
    }
    if wish == MESH_PORT_NAME {
        return Err(wrong("\"a2a\" is what the sidecar's port is called; give the agent's by its number"));
    }
    let found: Vec<_> = ports(spec).filter(|port| port.name.as_deref() == Some(wish)).collect();
    match numbers(&found)[..] {
        [port] => Ok(port),
        [] => Err(wrong(&format!(
            "no container has a port named {wish:?}; there is {}",
            list(&ports(spec).collect::<Vec<_>>())
        ))),
        _ => Err(wrong(&format!("several ports are named {wish:?}: {}; give the number", list(&found)))),
    }
}

/// The port that can be told without an annotation: the one named `http`, else the only one; `None` if there is no port at
/// all. One named `a2a` is never the agent's: that is the mesh's name for the sidecar's.
pub(super) fn obvious(spec: &PodSpec) -> Result<Option<u16>, Refusal> {
    let all: Vec<_> = ports(spec).collect();
    let (mesh, own): (Vec<&ContainerPort>, Vec<&ContainerPort>) =
        all.iter().partition(|port| port.name.as_deref() == Some(MESH_PORT_NAME));
    let http: Vec<_> = own.iter().copied().filter(|port| port.name.as_deref() == Some(HTTP)).collect();
    let candidates = if http.is_empty() { own } else { http };
    match numbers(&candidates)[..] {
        [port] => Ok(Some(port)),
        [] if mesh.is_empty() => Ok(None),
        [] => {
            let message = format!(
                "the only port of the pod is named \"a2a\" ({}), as the sidecar's is: call it http, or set the annotation dragoman.dev/port to its number",
                list(&mesh)
            );
            Err(Refusal::new(Cause::Port, message))
        }
        _ => {
            let message = format!(
                "which port is the agent's? There is {}. Set the annotation dragoman.dev/port, or call one of them http",
                list(&candidates)
            );
            Err(Refusal::new(Cause::Port, message))
        }
    }
}

/// What is wrong with the names of the ports, though the pod can be made.
pub(super) fn warning(spec: &PodSpec) -> Option<String> {
    let port = ports(spec).find(|port| port.name.as_deref() == Some(MESH_PORT_NAME))?;
    let port = port.container_port;
    Some(format!(
        "containerPort {port} is named a2a, as the sidecar's is: a Service with targetPort a2a may miss the mesh; rename it"
    ))
}

/// The TCP ports of the containers that run as long as the pod does.
fn ports(spec: &PodSpec) -> impl Iterator<Item = &ContainerPort> {
    let native = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(native);
    let all = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    all.filter(|port| is_tcp(port.protocol.as_deref()))
}

/// The numbers of ports, each once.
fn numbers(ports: &[&ContainerPort]) -> Vec<u16> {
    let mut numbers: Vec<u16> =
        ports.iter().filter_map(|port| u16::try_from(port.container_port).ok()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn list(ports: &[&ContainerPort]) -> String {
    let each = ports.iter().map(|port| match port.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => format!("{} ({name})", port.container_port),
        None => port.container_port.to_string(),
    });
    let each: Vec<_> = each.collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(containers: serde_json::Value, init: serde_json::Value) -> PodSpec {
        serde_json::from_value(json!({"containers": containers, "initContainers": init})).unwrap()
    }

    fn one(ports: serde_json::Value) -> PodSpec {
        spec(json!([{"name": "app", "ports": ports}]), json!([]))
    }

    fn told(spec: &PodSpec) -> Result<Option<u16>, String> {
        obvious(spec).map_err(|refusal| refusal.message)
    }

    #[test]
    fn the_port_named_http_is_taken_before_the_only_one() {
        let several =
            json!([{"containerPort": 9090, "name": "metrics"}, {"containerPort": 8080, "name": "http"}]);
        assert_eq!(told(&one(several)), Ok(Some(8080)));
        assert_eq!(told(&one(json!([{"containerPort": 9000}]))), Ok(Some(9000)));
        assert_eq!(told(&one(json!([]))), Ok(None));
        let udp =
            json!([{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 9000, "protocol": "TCP"}]);
        assert_eq!(told(&one(udp)), Ok(Some(9000)));
    }

    #[test]
    fn a_native_sidecar_counts_and_an_init_container_does_not() {
        let init = json!([
            {"name": "setup", "ports": [{"containerPort": 1}]},
            {"name": "agent", "restartPolicy": "Always", "ports": [{"containerPort": 9000}]},
        ]);
        assert_eq!(told(&spec(json!([{"name": "app"}]), init)), Ok(Some(9000)));
    }

    #[test]
    fn what_cannot_be_told_is_asked_for() {
        let two = json!([{"containerPort": 8080, "name": "web"}, {"containerPort": 9000}]);
        assert_eq!(
            told(&one(two)).unwrap_err(),
            "which port is the agent's? There is 8080 (web), 9000. Set the annotation dragoman.dev/port, or call one of them http"
        );
        let mesh = told(&one(json!([{"containerPort": 9000, "name": "a2a"}]))).unwrap_err();
        assert!(mesh.starts_with("the only port of the pod is named \"a2a\" (9000 (a2a))"), "{mesh}");
    }

    #[test]
    fn an_annotation_names_a_number_or_a_name() {
        let spec =
            one(json!([{"containerPort": 8080, "name": "web"}, {"containerPort": 9000, "name": "a2a"}]));
        let named = |wish| named(&spec, wish).map_err(|refusal| refusal.message);
        assert_eq!(named("web"), Ok(8080));
        assert_eq!(named("7000"), Ok(7000));
        for (wish, what) in [
            ("0", "\"0\" is no port: write 1 to 65535, or the name of one"),
            ("65536", "\"65536\" is no port: write 1 to 65535, or the name of one"),
            ("", "no container has a port named \"\"; there is 8080 (web), 9000 (a2a)"),
            ("a2a", "\"a2a\" is what the sidecar's port is called; give the agent's by its number"),
            ("http", "no container has a port named \"http\"; there is 8080 (web), 9000 (a2a)"),
        ] {
            assert_eq!(named(wish), Err(format!("annotation dragoman.dev/port: {what}")), "{wish}");
        }
    }
}
