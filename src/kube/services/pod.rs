//! What matters of a pod with a sidecar: which agents it holds, and what it was made by.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::core::{ObjectMeta, metadata::PartialObjectMeta};

use crate::kube::words::AGENTS;

/// An object that others belong to. Two are the same if their UIDs are.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Owner {
    pub(super) uid: String,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
}

/// Owners, by UID.
pub(super) type Owners = BTreeMap<String, Owner>;

impl Owner {
    pub(super) fn of(reference: &OwnerReference) -> Self {
        Self {
            uid: reference.uid.clone(),
            api_version: reference.api_version.clone(),
            kind: reference.kind.clone(),
            name: reference.name.clone(),
        }
    }

    /// The reference that an object belonging to it bears. The owner does not control that object, and may be deleted
    /// before it.
    pub(super) fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            block_owner_deletion: Some(false),
            controller: None,
        }
    }

    /// Whether it is one of those that others make anew with every change, so that what is above it counts.
    pub(super) fn link(&self) -> Option<Link> {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        match (group, self.kind.as_str()) {
            ("apps", "ReplicaSet") => Some(Link::ReplicaSet),
            ("batch", "Job") => Some(Link::Job),
            _ => None,
        }
    }
}

/// What stands between a pod and what people make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Link {
    /// Perhaps of a Deployment, or of something like it.
    ReplicaSet,
    /// Perhaps of a CronJob.
    Job,
}

/// What matters of a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pod {
    pub(super) uid: String,
    /// Their names, sorted.
    pub(super) agents: Vec<String>,
    /// What controls the pod, else the pod itself.
    pub(super) owner: Owner,
    /// Whether it was told to end.
    pub(super) leaving: bool,
}

/// Leaves what matters of a pod.
pub(super) fn pod(object: &ObjectMeta) -> Pod {
    let labels = object.labels.iter().flatten();
    let agents = labels
        .filter(|(_, value)| *value == "true")
        .filter_map(|(label, _)| label.strip_prefix(AGENTS).map(str::to_owned));
    let itself = || Owner {
        uid: object.uid.clone().unwrap_or_default(),
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: object.name.clone().unwrap_or_default(),
    };
    Pod {
        uid: object.uid.clone().unwrap_or_default(),
        agents: agents.collect(),
        owner: controller(object).unwrap_or_else(itself),
        leaving: object.deletion_timestamp.is_some(),
    }
}

/// The same, of an object as a watch brings it.
pub(super) fn trim(object: PartialObjectMeta<v1::Pod>) -> Option<Pod> {
    Some(pod(&object.metadata))
}

/// What controls an object.
pub(super) fn controller(object: &ObjectMeta) -> Option<Owner> {
    let owners = object.owner_references.iter().flatten();
    owners.into_iter().find(|owner| owner.controller == Some(true)).map(Owner::of)
}

/// Whether a pod takes calls.
pub(super) fn is_ready(object: &v1::Pod) -> bool {
    let conditions = object.status.iter().flat_map(|status| status.conditions.iter().flatten());
    object.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_pod_names_its_agents_and_what_controls_it() {
        let meta = from_value(json!({
            "namespace": "travel", "name": "currency-7d9-x2", "uid": "p1",
            "labels": {
                "app": "currency", "dragoman.dev/agent": "currency", "dragoman.dev/injected": "true",
                "agent.dragoman.dev/currency": "true", "agent.dragoman.dev/rates": "true", "agent.dragoman.dev/old": "false",
            },
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "c1"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "currency-7d9", "uid": "r1", "controller": true},
            ],
        }))
        .unwrap();
        let pod = pod(&meta);
        assert_eq!(pod.agents.iter().collect::<Vec<_>>(), ["currency", "rates"]);
        assert_eq!(
            (pod.owner.uid.as_str(), pod.owner.link(), pod.leaving),
            ("r1", Some(Link::ReplicaSet), false)
        );
    }

    #[test]
    fn a_pod_that_nobody_controls_stands_for_itself() {
        let meta = from_value(json!({
            "name": "bare", "uid": "p1", "deletionTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "c1"}],
        }))
        .unwrap();
        let pod = pod(&meta);
        assert_eq!((pod.owner.kind.as_str(), pod.owner.uid.as_str(), pod.leaving), ("Pod", "p1", true));
        assert_eq!(pod.owner.reference().block_owner_deletion, Some(false));
        assert_eq!(pod.owner.reference().controller, None);
    }

    #[test]
    fn only_replica_sets_and_jobs_of_kubernetes_itself_are_looked_behind() {
        let owner = |api_version: &str, kind: &str| Owner {
            uid: "u".to_owned(),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: "n".to_owned(),
        };
        for (api_version, kind, link) in [
            ("apps/v1", "ReplicaSet", Some(Link::ReplicaSet)),
            ("batch/v1", "Job", Some(Link::Job)),
            ("apps/v1", "StatefulSet", None),
            ("apps/v1", "DaemonSet", None),
            ("example.com/v1", "ReplicaSet", None),
            ("batch.volcano.sh/v1alpha1", "Job", None),
            ("v1", "Pod", None),
        ] {
            assert_eq!(owner(api_version, kind).link(), link, "{api_version} {kind}");
        }
    }

    #[test]
    fn only_a_pod_that_is_ready_and_stays_is_ready() {
        for (meta, status, ready) in [
            (json!({}), json!({"conditions": [{"type": "Ready", "status": "True"}]}), true),
            (json!({}), json!({"conditions": [{"type": "Ready", "status": "False"}]}), false),
            (json!({}), json!({"conditions": [{"type": "Initialized", "status": "True"}]}), false),
            (json!({}), json!({}), false),
            (
                json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
                json!({"conditions": [{"type": "Ready", "status": "True"}]}),
                false,
            ),
        ] {
            let pod: v1::Pod = from_value(json!({"metadata": meta, "status": status})).unwrap();
            assert_eq!(is_ready(&pod), ready, "{meta} {status}");
        }
    }
}
