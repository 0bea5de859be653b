//! Words that injector, Services, watch and certificates must agree on: who changes one in one place only parts them in silence.

use crate::a2a::is_label;

/// The label and annotation domain of this project.
pub(super) const DOMAIN: &str = "dragoman.dev/";
/// The label of every pod that was given a sidecar.
pub(super) const INJECTED: &str = "dragoman.dev/injected";
/// The label with the pod's first agent, and of what is for one agent.
pub(super) const AGENT: &str = "dragoman.dev/agent";
/// What the labels begin with that name every agent of a pod.
pub(super) const AGENTS: &str = "agent.dragoman.dev/";
/// The label that says who keeps an object.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The same for what we keep.
pub(super) const US: &str = "dragoman";
/// The label that says which Service an EndpointSlice belongs to.
pub(super) const SERVICE: &str = "kubernetes.io/service-name";
/// The name of the port at which peers call.
pub(super) const MESH_PORT_NAME: &str = "a2a";
/// Its number in pods with a sidecar.
pub(super) const MESH_PORT: u16 = 2643;

/// What stands behind an agent's name in that of its mesh Service.
const SUFFIX: &str = "-a2a";

/// What the mesh Service of an agent is called; nothing if no Service can be called so (RFC 1035: 63 letters, digits and `-`,
/// a letter first).
pub(super) fn mesh_service(agent: &str) -> Option<String> {
    let name = format!("{agent}{SUFFIX}");
    let possible = is_label(&name) && name.starts_with(|first: char| first.is_ascii_lowercase());
    possible.then_some(name)
}

/// The agent that a Service of this name is the mesh Service of, if it is one's.
pub(super) fn own_agent(service: &str) -> Option<&str> {
    service.strip_suffix(SUFFIX).filter(|agent| !agent.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_and_its_service_lead_to_each_other() {
        assert_eq!(mesh_service("currency").as_deref(), Some("currency-a2a"));
        assert_eq!(own_agent("currency-a2a"), Some("currency"));
        assert_eq!(own_agent("map-a2a-a2a"), Some("map-a2a"));
        assert_eq!((own_agent("currency"), own_agent("-a2a"), own_agent("a2a")), (None, None, None));
        assert_eq!((mesh_service("3d"), mesh_service(&"a".repeat(60))), (None, None));
    }
}
