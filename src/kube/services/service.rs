//! The mesh Service of an agent: what it is called, what it has to be, and what is there under its name.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::pod::{Owner, Owners};
use crate::kube::{
    mirror::Key,
    words::{AGENT, AGENTS, MANAGED_BY, MESH_PORT, MESH_PORT_NAME, US, mesh_service, own_agent},
};

/// The number of a mesh port, as Services have it.
const NUMBER: i32 = MESH_PORT as i32;
/// The most owners that a Service is given: it lives as long as one of them.
const OWNERS_MAX: usize = 64;

/// The agent that a Service of this name would be for: the key of an agent is its namespace and name.
pub(super) fn agent_of(service: &Key) -> Option<Key> {
    own_agent(&service.name).map(|agent| Key::new(&service.namespace, agent))
}

/// What the Service of an agent is called; nothing if no Service can be called so.
pub(super) fn service_of(agent: &Key) -> Option<Key> {
    mesh_service(&agent.name).map(|name| Key { namespace: agent.namespace.clone(), name })
}

/// What is there under the name of a mesh Service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    Ours(Ours),
    /// Somebody else made it, or took it over from us by taking our label off it.
    Theirs {
        uid: String,
        /// Whether it has a mesh port.
        meshed: bool,
    },
}

/// A Service that bears our label.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Ours {
    pub(super) uid: String,
    pub(super) owners: Owners,
    /// Whether it says what it is for, as all that we make do.
    pub(super) marked: bool,
    /// Whether everything that we write is still as we write it.
    pub(super) intact: bool,
}

/// Leaves what matters of a Service; nothing if it has not the name of a mesh Service.
pub(super) fn standing(object: &Service) -> Option<Standing> {
    let meta = &object.metadata;
    let agent = agent_of(&Key::of(meta))?;
    let label = |label| meta.labels.as_ref().and_then(|labels| labels.get(label)).map(String::as_str);
    let uid = meta.uid.clone().unwrap_or_default();
    let spec = object.spec.as_ref();
    if label(MANAGED_BY) != Some(US) {
        let meshed =
            spec.is_some_and(|spec| spec.ports.iter().flatten().any(|port| is(&port.name, MESH_PORT_NAME)));
        return Some(Standing::Theirs { uid, meshed });
    }
    let marked = label(AGENT) == Some(&agent.name);
    let owners = meta.owner_references.iter().flatten().map(|owner| (owner.uid.clone(), Owner::of(owner)));
    let intact = marked && spec.is_some_and(|spec| is_as_written(spec, &agent));
    Some(Standing::Ours(Ours { uid, owners: owners.collect(), marked, intact }))
}

/// Whether everything that we write into a Service is there. What others wrote beside it is theirs.
fn is_as_written(spec: &ServiceSpec, agent: &Key) -> bool {
    let port = |port: &ServicePort| {
        is(&port.name, MESH_PORT_NAME)
            && port.port == NUMBER
            && port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP")
            && port.target_port == Some(IntOrString::Int(NUMBER))
    };
    spec.type_.as_deref().is_none_or(|kind| kind == "ClusterIP")
        && spec.ports.iter().flatten().any(port)
        && spec.selector.as_ref() == Some(&selector(agent))
        && spec.publish_not_ready_addresses != Some(true)
}

fn is(name: &Option<String>, wanted: &str) -> bool {
    name.as_deref() == Some(wanted)
}

fn selector(agent: &Key) -> BTreeMap<String, String> {
    [(format!("{AGENTS}{}", agent.name), "true".to_owned())].into()
}

/// The Service that an agent has to have: everything that we write, and nothing else. If `existing` is there, no other one
/// is meant. There is none for a name that no Service can have, and none without an owner: it would stay for ever.
pub(super) fn desired(agent: &Key, owners: &Owners, existing: Option<&Ours>) -> Option<Service> {
    let key = service_of(agent).filter(|_| !owners.is_empty())?;
    let labels = [(MANAGED_BY, US), (AGENT, &agent.name)];
    let labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned()));
    Some(Service {
        metadata: ObjectMeta {
            name: Some(key.name),
            namespace: Some(key.namespace),
            uid: existing.map(|service| service.uid.clone()),
            labels: Some(labels.into()),
            owner_references: Some(owners.values().map(Owner::reference).collect()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            cluster_ip: Some("None".to_owned()),
            selector: Some(selector(agent)),
            ports: Some(vec![ServicePort {
                name: Some(MESH_PORT_NAME.to_owned()),
                port: NUMBER,
                target_port: Some(IntOrString::Int(NUMBER)),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            // A pod that is not ready is not called.
            publish_not_ready_addresses: Some(false),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}

/// The owners that a Service gets: those of its pods, and those that it has already. Who has no pod right now may be
/// scaled to zero; who is gone is taken off by Kubernetes' garbage collector, which can tell. If they are too many, those
/// stay first that have pods and are there already.
pub(super) fn owners(of_pods: &Owners, existing: &Owners) -> Owners {
    let mut all: Vec<&Owner> = of_pods.values().chain(existing.values()).collect();
    all.sort_unstable();
    all.dedup_by(|one, other| one.uid == other.uid);
    all.sort_by_key(|owner| (!of_pods.contains_key(&owner.uid), !existing.contains_key(&owner.uid)));
    all.into_iter().take(OWNERS_MAX).map(|owner| (owner.uid.clone(), owner.clone())).collect()
}

/// Whether nothing is to be done for a Service that has to have these owners.
pub(super) fn is_in_order(service: &Ours, owners: &Owners) -> bool {
    service.intact && owners.keys().all(|uid| service.owners.contains_key(uid))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    fn agent() -> Key {
        Key::new("travel", "currency")
    }

    fn owner(uid: &str) -> Owner {
        let [api_version, kind, name] = ["apps/v1", "Deployment", "currency"].map(str::to_owned);
        Owner { uid: uid.to_owned(), api_version, kind, name }
    }

    fn these(uids: &[&str]) -> Owners {
        uids.iter().map(|uid| ((*uid).to_owned(), owner(uid))).collect()
    }

    fn uids(owners: &Owners) -> Vec<&str> {
        owners.keys().map(String::as_str).collect()
    }

    #[test]
    fn the_service_is_written_as_a_whole() {
        let service = desired(&agent(), &these(&["d1"]), None).unwrap();
        assert_eq!(
            to_value(service).unwrap(),
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": "currency-a2a",
                    "namespace": "travel",
                    "labels": {"app.kubernetes.io/managed-by": "dragoman", "dragoman.dev/agent": "currency"},
                    "ownerReferences": [
                        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "currency", "uid": "d1", "blockOwnerDeletion": false},
                    ],
                },
                "spec": {
                    "type": "ClusterIP",
                    "clusterIP": "None",
                    "selector": {"agent.dragoman.dev/currency": "true"},
                    "ports": [{"name": "a2a", "port": 2643, "targetPort": 2643, "protocol": "TCP"}],
                    "publishNotReadyAddresses": false,
                },
            })
        );
    }

    #[test]
    fn a_service_without_an_owner_or_with_an_impossible_name_is_not_made() {
        assert_eq!(desired(&agent(), &Owners::new(), None), None);
        for (name, possible) in [
            ("currency", true),
            ("a", true),
            (&*"a".repeat(59), true),
            (&*"a".repeat(60), false),
            ("3d", false),
            ("Currency", false),
            ("a.b", false),
            ("a_b", false),
            ("", false),
        ] {
            let service = desired(&Key::new("travel", name), &these(&["d1"]), None);
            assert_eq!(service.is_some(), possible, "{name}");
        }
    }

    fn as_made() -> Value {
        let mut service = to_value(desired(&agent(), &these(&["d1"]), None).unwrap()).unwrap();
        service["metadata"]["uid"] = json!("s1");
        service
    }

    fn read(object: Value) -> Option<Standing> {
        standing(&from_value(object).unwrap())
    }

    #[test]
    fn what_the_api_server_and_others_add_is_no_drift() {
        let mut service = as_made();
        service["metadata"]["annotations"] = json!({"team": "fx"});
        service["metadata"]["labels"]["team"] = json!("fx");
        service["metadata"]["managedFields"] = json!([]);
        service["spec"]["clusterIPs"] = json!(["None"]);
        service["spec"]["sessionAffinity"] = json!("None");
        service["spec"]["ipFamilies"] = json!(["IPv4"]);
        service["spec"]["ports"].as_array_mut().unwrap().push(json!({"name": "metrics", "port": 9090}));
        service["spec"].as_object_mut().unwrap().remove("publishNotReadyAddresses");
        let Some(Standing::Ours(ours)) = read(service) else { panic!() };
        assert!(ours.intact && ours.marked && ours.uid == "s1" && uids(&ours.owners) == ["d1"]);
        assert!(is_in_order(&ours, &these(&["d1"])));
        assert!(!is_in_order(&ours, &these(&["d2"])));
    }

    #[test]
    fn every_change_of_what_we_wrote_is_drift() {
        for (pointer, value) in [
            ("/spec/type", json!("NodePort")),
            ("/spec/selector", json!({"agent.dragoman.dev/currency": "true", "tier": "x"})),
            ("/spec/selector", json!({})),
            ("/spec/publishNotReadyAddresses", json!(true)),
            ("/spec/ports", json!([])),
            ("/spec/ports/0/name", json!("grpc")),
            ("/spec/ports/0/port", json!(2644)),
            ("/spec/ports/0/protocol", json!("UDP")),
            ("/spec/ports/0/targetPort", json!("a2a")),
            ("/metadata/labels/dragoman.dev~1agent", json!("weather")),
        ] {
            let mut service = as_made();
            *service.pointer_mut(pointer).unwrap() = value.clone();
            let Some(Standing::Ours(ours)) = read(service) else { panic!("{pointer}") };
            assert!(!ours.intact, "{pointer} {value}");
        }
    }

    #[test]
    fn without_our_label_it_is_somebody_elses() {
        let mut service = as_made();
        service["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
        assert_eq!(read(service.clone()), Some(Standing::Theirs { uid: "s1".to_owned(), meshed: true }));
        service["spec"]["ports"][0]["name"] = json!("http");
        assert_eq!(read(service.clone()), Some(Standing::Theirs { uid: "s1".to_owned(), meshed: false }));
        service["metadata"]["name"] = json!("currency");
        assert_eq!(read(service), None);
    }

    #[test]
    fn owners_are_those_of_the_pods_and_those_that_are_there() {
        let (a, ab, none) = (these(&["a"]), these(&["a", "b"]), Owners::new());
        assert_eq!(uids(&owners(&a, &none)), ["a"]);
        assert_eq!(uids(&owners(&a, &these(&["b"]))), ["a", "b"]);
        assert_eq!(uids(&owners(&ab, &ab)), ["a", "b"]);
        let many: Vec<String> = (100..200).map(|n| format!("p{n}")).collect();
        let many = these(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let first = owners(&many, &ab);
        assert_eq!(first.len(), OWNERS_MAX);
        assert!(!first.contains_key("a"), "who has pods comes first");
        assert_eq!(owners(&many, &first), first, "and stays");
    }
}
