//! What Services and EndpointSlices say about agents. Nothing here asks or waits.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::api::{
    core::v1,
    discovery::v1::{self as discovery, EndpointSlice},
};

use crate::{
    a2a::{Home, Name},
    directory::{Endpoint, Found},
    kube::{
        mirror::Key,
        words::{MESH_PORT_NAME, SERVICE, own_agent},
    },
};

/// What a plain port is said to speak, by those who cannot name it [`MESH_PORT_NAME`].
const PROTOCOLS: [&str; 2] = ["agentgateway.dev/a2a", "kgateway.dev/a2a"];

/// What matters of a Service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Service {
    pub(super) ports: Ports,
    /// The addresses of the directory's own Service, of no other.
    pub(super) addresses: Vec<IpAddr>,
}

/// What can be reached through a Service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ports {
    /// An agent's mesh port.
    Mesh,
    /// An agent, but only in plain text.
    Plain,
    /// No agent.
    Other,
}

/// What matters of an EndpointSlice: the mesh ports in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Slice {
    pub(super) service: String,
    pub(super) endpoints: Vec<Endpoint>,
}

/// Leaves what matters of a Service, if it matters at all.
pub(super) fn service(object: v1::Service, directory: &Key) -> Option<Service> {
    let key = Key::of(&object.metadata);
    let spec = object.spec?;
    // An alias for a name outside: nothing of it is in this cluster.
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    let all = spec.ports.unwrap_or_default();
    let mesh = |port: &v1::ServicePort| {
        port.name.as_deref() == Some(MESH_PORT_NAME) && is_tcp(port.protocol.as_deref())
    };
    let plain =
        |port: &v1::ServicePort| port.app_protocol.as_deref().is_some_and(|says| PROTOCOLS.contains(&says));
    let ports = if all.iter().any(mesh) {
        Ports::Mesh
    } else if all.iter().any(plain) {
        Ports::Plain
    } else {
        Ports::Other
    };
    let mut addresses = Vec::new();
    if key == *directory {
        // "None" is no address: a headless Service has none of its own.
        addresses
            .extend(spec.cluster_ips.unwrap_or_default().iter().filter_map(|ip| ip.parse::<IpAddr>().ok()));
    }
    (ports != Ports::Other || !addresses.is_empty()).then_some(Service { ports, addresses })
}

/// Leaves what matters of a slice, if there is a mesh port in it.
pub(super) fn slice(object: EndpointSlice) -> Option<Slice> {
    let service = object.metadata.labels?.remove(SERVICE)?;
    let mut ports = object.ports.unwrap_or_default().into_iter();
    let port = ports
        .find(|port| port.name.as_deref() == Some(MESH_PORT_NAME) && is_tcp(port.protocol.as_deref()))?;
    let port = u16::try_from(port.port?).ok().filter(|port| *port != 0)?;
    let v6 = match object.address_type.as_str() {
        "IPv4" => false,
        "IPv6" => true,
        _ => return None,
    };
    let endpoints = object.endpoints.iter().filter_map(|endpoint| {
        // Several addresses of one endpoint lead to the same pod: one is enough.
        let ip = endpoint.addresses.iter().find_map(|ip| ip.parse::<IpAddr>().ok())?;
        let ready = is_ready(endpoint.conditions.as_ref());
        (ip.is_ipv6() == v6).then(|| Endpoint { address: SocketAddr::new(ip, port), ready })
    });
    Some(Slice { service, endpoints: endpoints.collect() })
}

fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

/// What is not known counts as ready, as everywhere in Kubernetes. A pod that ends takes no new calls, whatever else is
/// said of it.
fn is_ready(conditions: Option<&discovery::EndpointConditions>) -> bool {
    conditions.is_none_or(|are| are.ready != Some(false) && are.terminating != Some(true))
}

/// All agents of the mesh, with their endpoints, and where the directory is.
///
/// An agent `<x>` has a Service `<x>-a2a` or `<x>` with a port named `a2a`. If it has both, the endpoints of one of them
/// count: those of `<x>-a2a` if any is ready, else those of `<x>` if any is ready, as sidecars find it that ask DNS for both.
pub(super) fn found(services: &BTreeMap<Key, Service>, slices: &BTreeMap<Key, Slice>, mesh: &str) -> Found {
    let mut behind: HashMap<(&str, &str), Vec<&Slice>> = HashMap::with_capacity(slices.len());
    for (key, slice) in slices {
        behind.entry((&key.namespace, &slice.service)).or_default().push(slice);
    }
    let mut found = Found::default();
    for (key, service) in services {
        found.addresses.extend(&service.addresses);
        let Some((name, own)) = agent(key, mesh).filter(|_| service.ports == Ports::Mesh) else {
            continue;
        };
        let slices = behind.get(&(key.namespace.as_str(), key.name.as_str()));
        let endpoints = merged(slices.map_or(&[][..], Vec::as_slice));
        match found.agents.entry(name) {
            Entry::Vacant(vacant) => {
                vacant.insert(endpoints);
            }
            Entry::Occupied(mut other) => {
                let any = |endpoints: &[Endpoint]| endpoints.iter().any(|endpoint| endpoint.ready);
                let wins = match (any(&endpoints), any(other.get())) {
                    (true, false) => true,
                    (false, true) => false,
                    _ => own,
                };
                if wins {
                    other.insert(endpoints);
                }
            }
        }
    }
    found.addresses.sort_unstable();
    found
}

/// The agent that a Service of this name stands for, and whether the Service is the agent's own.
fn agent(key: &Key, mesh: &str) -> Option<(Name, bool)> {
    let own = own_agent(&key.name);
    let agent = own.unwrap_or(&key.name);
    let home = Home { namespace: key.namespace.clone(), mesh: mesh.to_owned() };
    // A Service's name is always a DNS label; what is none cannot be asked for.
    Name::parse(agent, &home).ok().map(|name| (name, own.is_some()))
}

/// The endpoints of one Service, each address once: while it moves from one slice to another it is in both.
fn merged(slices: &[&Slice]) -> Vec<Endpoint> {
    let mut all: Vec<Endpoint> = slices.iter().flat_map(|slice| slice.endpoints.iter().cloned()).collect();
    all.sort_unstable_by_key(|endpoint| (endpoint.address, !endpoint.ready));
    all.dedup_by_key(|endpoint| endpoint.address);
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn directory() -> Key {
        Key::new("dragoman-system", "dragoman-directory")
    }

    fn a_service(name: &str, spec: Value) -> (Key, Option<Service>) {
        let object = json!({"metadata": {"namespace": "travel", "name": name}, "spec": spec});
        (Key::new("travel", name), service(from_value(object).unwrap(), &directory()))
    }

    fn a_slice(name: &str, of: &str, kind: &str, endpoints: Value) -> (Key, Option<Slice>) {
        let object = json!({
            "metadata": {"namespace": "travel", "name": name, "labels": {"kubernetes.io/service-name": of}},
            "addressType": kind, "endpoints": endpoints,
            "ports": [{"name": "http", "port": 80}, {"name": "a2a", "port": 2643, "protocol": "TCP"}],
        });
        (Key::new("travel", name), slice(from_value(object).unwrap()))
    }

    fn headless() -> Value {
        json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"name": "a2a", "port": 2643}]})
    }

    fn ip(ip: &str) -> Value {
        json!([{"addresses": [ip], "conditions": {"ready": true}}])
    }

    /// An agent, and its endpoints with whether they are ready.
    type Agent = (String, Vec<(String, bool)>);

    fn find<const A: usize, const B: usize>(
        services: [(Key, Option<Service>); A],
        slices: [(Key, Option<Slice>); B],
    ) -> Vec<Agent> {
        let services = services.into_iter().filter_map(|(key, one)| Some((key, one?))).collect();
        let slices = slices.into_iter().filter_map(|(key, one)| Some((key, one?))).collect();
        let found = found(&services, &slices, "east");
        let shown = |endpoint: &Endpoint| (endpoint.address.to_string(), endpoint.ready);
        let agents = found.agents.iter();
        agents.map(|(name, all)| (name.to_string(), all.iter().map(shown).collect())).collect()
    }

    #[test]
    fn which_ports_make_a_service_an_agent() {
        for (what, spec, ports) in [
            ("a headless one", headless(), Some(Ports::Mesh)),
            (
                "with a cluster address",
                json!({"clusterIP": "10.96.0.9", "ports": [{"name": "a2a", "port": 1}]}),
                Some(Ports::Mesh),
            ),
            (
                "named like this, whatever it is said to speak",
                json!({"ports": [{"name": "a2a", "port": 1, "appProtocol": "kgateway.dev/a2a"}]}),
                Some(Ports::Mesh),
            ),
            (
                "a plain port beside the mesh port",
                json!({"ports": [{"name": "http", "port": 80, "appProtocol": "agentgateway.dev/a2a"}, {"name": "a2a", "port": 1}]}),
                Some(Ports::Mesh),
            ),
            (
                "only a plain port",
                json!({"ports": [{"name": "http", "port": 80, "appProtocol": "agentgateway.dev/a2a"}]}),
                Some(Ports::Plain),
            ),
            (
                "the other plain one",
                json!({"ports": [{"port": 80, "appProtocol": "kgateway.dev/a2a"}]}),
                Some(Ports::Plain),
            ),
            ("UDP", json!({"ports": [{"name": "a2a", "port": 1, "protocol": "UDP"}]}), None),
            (
                "another port",
                json!({"ports": [{"name": "http", "port": 80, "appProtocol": "kubernetes.io/h2c"}]}),
                None,
            ),
            (
                "an alias",
                json!({"type": "ExternalName", "externalName": "example.com", "ports": [{"name": "a2a", "port": 1}]}),
                None,
            ),
            ("no ports", json!({"clusterIP": "None"}), None),
        ] {
            assert_eq!(a_service("x", spec).1.map(|service| service.ports), ports, "{what}");
        }
    }

    #[test]
    fn the_agent_is_called_like_its_service_without_the_suffix() {
        let found = find(
            [
                a_service("currency", headless()),
                a_service("weather-a2a", headless()),
                a_service("a2a", headless()),
                a_service("map-a2a-a2a", headless()),
                a_service("plain", json!({"ports": [{"port": 80, "appProtocol": "kgateway.dev/a2a"}]})),
            ],
            [],
        );
        let names: Vec<_> = found.iter().map(|(name, endpoints)| (name.as_str(), endpoints.len())).collect();
        let full = ["a2a.travel.east", "currency.travel.east", "map-a2a.travel.east", "weather.travel.east"];
        assert_eq!(names, full.map(|name| (name, 0)));
    }

    #[test]
    fn endpoints_of_both_families_and_all_slices_are_sorted_and_each_there_once() {
        let found = find(
            [a_service("currency", headless())],
            [
                a_slice(
                    "currency-1",
                    "currency",
                    "IPv4",
                    json!([
                        {"addresses": ["10.0.0.9", "10.0.0.10"], "conditions": {"ready": false}},
                        {"addresses": ["10.0.0.2"], "conditions": {}},
                        {"addresses": ["10.0.0.3"]},
                        {"addresses": ["10.0.0.4"], "conditions": {"ready": true, "serving": true, "terminating": true}},
                        {"addresses": ["not an address"]},
                    ]),
                ),
                a_slice("currency-2", "currency", "IPv4", ip("10.0.0.9")),
                a_slice("currency-3", "currency", "IPv6", ip("fd00::1")),
                a_slice("currency-4", "currency", "FQDN", ip("10.0.0.77")),
                a_slice("currency-5", "currency", "IPv6", ip("10.0.0.78")),
                a_slice("somebody-1", "somebody", "IPv4", ip("10.0.0.79")),
            ],
        );
        let expected = [
            ("10.0.0.2:2643", true),
            ("10.0.0.3:2643", true),
            ("10.0.0.4:2643", false),
            ("10.0.0.9:2643", true),
            ("[fd00::1]:2643", true),
        ];
        let expected = expected.map(|(address, ready)| (address.to_owned(), ready)).to_vec();
        assert_eq!(found, [("currency.travel.east".to_owned(), expected)]);
    }

    #[test]
    fn of_two_services_of_an_agent_its_own_wins_unless_only_the_other_is_ready() {
        let unready = |ip: &str| json!([{"addresses": [ip], "conditions": {"ready": false}}]);
        for (own, other, winner) in [
            (ip("10.0.0.1"), ip("10.0.0.2"), "10.0.0.1:2643"),
            (unready("10.0.0.1"), ip("10.0.0.2"), "10.0.0.2:2643"),
            (json!([]), ip("10.0.0.2"), "10.0.0.2:2643"),
            (ip("10.0.0.1"), unready("10.0.0.2"), "10.0.0.1:2643"),
            (unready("10.0.0.1"), unready("10.0.0.2"), "10.0.0.1:2643"),
        ] {
            let found = find(
                [a_service("currency", headless()), a_service("currency-a2a", headless())],
                [
                    a_slice("a", "currency-a2a", "IPv4", own.clone()),
                    a_slice("b", "currency", "IPv4", other.clone()),
                ],
            );
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].1.iter().map(|(ip, _)| ip).collect::<Vec<_>>(), [winner], "{own} {other}");
        }
    }

    #[test]
    fn only_the_directorys_own_service_tells_where_the_directory_is() {
        let object = |namespace: &str| {
            let spec = json!({"clusterIP": "10.96.0.53", "clusterIPs": ["fd00::53", "10.96.0.53"], "ports": [{"name": "dns", "port": 53}]});
            from_value(
                json!({"metadata": {"namespace": namespace, "name": "dragoman-directory"}, "spec": spec}),
            )
            .unwrap()
        };
        assert_eq!(service(object("travel"), &directory()), None);
        let own = service(object("dragoman-system"), &directory()).unwrap();
        let found = found(&[(directory(), own)].into(), &BTreeMap::new(), "east");
        assert!(found.agents.is_empty());
        assert_eq!(
            found.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.96.0.53", "fd00::53"]
        );
    }

    #[test]
    fn slices_without_a_mesh_port_or_a_service_do_not_matter() {
        for object in [
            json!({"metadata": {}, "addressType": "IPv4", "endpoints": [], "ports": [{"name": "a2a", "port": 1}]}),
            json!({"metadata": {"labels": {SERVICE: "x"}}, "addressType": "IPv4", "endpoints": [], "ports": [{"name": "http", "port": 1}]}),
            json!({"metadata": {"labels": {SERVICE: "x"}}, "addressType": "IPv4", "endpoints": [], "ports": [{"name": "a2a"}]}),
            json!({"metadata": {"labels": {SERVICE: "x"}}, "addressType": "IPv4", "endpoints": [], "ports": [{"name": "a2a", "port": 65536}]}),
            json!({"metadata": {"labels": {SERVICE: "x"}}, "addressType": "IPv4", "endpoints": []}),
        ] {
            assert_eq!(slice(from_value(object.clone()).unwrap()), None, "{object}");
        }
    }
}
