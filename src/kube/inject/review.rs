//! AdmissionReview in and out.

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use serde_json::Value;

use super::decision::Decision;
use crate::a2a::is_label;
use crate::kube::cut;

/// The only version that is spoken here, and by every API server since 1.16.
const VERSION: &str = "admission.k8s.io/v1";
/// The longest name of an object.
const NAME_MAX: usize = 253;

/// What an API server asks.
#[derive(Debug)]
pub(super) struct Review {
    request: AdmissionRequest<DynamicObject>,
    /// The pod that is about to be made; `None` if it is something else that happens.
    pub(super) pod: Option<Pod>,
    /// Where it happens.
    pub(super) namespace: String,
}

impl Review {
    /// Reads it.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let review: AdmissionReview<DynamicObject> =
            serde_json::from_slice(body).map_err(|error| format!("no AdmissionReview: {error}"))?;
        if review.types.api_version != VERSION || review.types.kind != "AdmissionReview" {
            let (version, kind) = (review.types.api_version, review.types.kind);
            return Err(format!("{kind} of {version}; AdmissionReview of {VERSION} is what is read here"));
        }
        let request: Result<AdmissionRequest<DynamicObject>, _> = review.try_into();
        let mut request = request.map_err(|_| "an AdmissionReview without a request".to_owned())?;
        let namespace = request.namespace.clone().unwrap_or_default();
        let kind = &request.kind;
        let made = (kind.group.as_str(), kind.kind.as_str()) == ("", "Pod")
            && request.operation == Operation::Create
            && request.sub_resource.as_deref().unwrap_or_default().is_empty();
        let pod = match request.object.take().filter(|_| made) {
            Some(object) => Some(object.try_parse::<Pod>().map_err(|error| format!("no Pod: {error}"))?),
            None if made => return Err("the creation of a pod, without the pod".to_owned()),
            None => None,
        };
        // It becomes part of a path at the API server.
        if pod.is_some() && !is_label(&namespace) {
            return Err(format!("a pod in {:?}, which is no namespace", cut(namespace, NAME_MAX)));
        }
        Ok(Self { request, pod, namespace })
    }

    /// Whether nothing of it will be kept.
    pub(super) fn dry_run(&self) -> bool {
        self.request.dry_run
    }

    /// The answer in JSON.
    pub(super) fn answer(&self, decision: Option<&Decision>) -> Result<Vec<u8>, serde_json::Error> {
        let mut response = AdmissionResponse::from(&self.request);
        let mut patch = None;
        let warnings = match decision {
            Some(Decision::Patch(injection)) => {
                patch = Some(serde_json::to_vec(&injection.patch)?);
                injection.warnings.clone()
            }
            Some(Decision::Refuse(refusal)) => {
                response = response.deny(refusal);
                Vec::new()
            }
            Some(Decision::Skip(skip)) => skip.warning().map(str::to_owned).into_iter().collect(),
            None => Vec::new(),
        };
        response.warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
        let mut review = serde_json::to_value(response.into_review())?;
        if let Some(patch) = patch {
            // As the API says it, in base64; the library would write a list of numbers.
            review["response"]["patch"] = base64_simd::STANDARD.encode_to_string(patch).into();
            review["response"]["patchType"] = "JSONPatch".into();
        }
        serde_json::to_vec::<Value>(&review)
    }
}

/// What an Event about a pod is about: whoever makes the pod, which is not there yet itself; else its namespace. Who cannot be
/// there is not believed in: the API server has not checked yet what a pod says.
pub(super) fn owner(pod: &Pod, namespace: &str) -> ObjectReference {
    let owners = || pod.metadata.owner_references.iter().flatten();
    let owner = owners().find(|owner| owner.controller == Some(true)).or_else(|| owners().next());
    let owner = owner.filter(|owner| is_possible(owner));
    let namespace = Some(namespace.to_owned());
    match owner {
        Some(owner) => ObjectReference {
            api_version: Some(owner.api_version.clone()),
            kind: Some(owner.kind.clone()),
            name: Some(owner.name.clone()),
            namespace,
            uid: Some(owner.uid.clone()),
            ..ObjectReference::default()
        },
        None => ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Namespace".to_owned()),
            name: namespace.clone(),
            // An Event must be where what it is about is said to be, and this is where people look.
            namespace,
            ..ObjectReference::default()
        },
    }
}

/// Whether somebody like that may be there.
fn is_possible(owner: &OwnerReference) -> bool {
    let alphanumeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (group, version) = owner.api_version.rsplit_once('/').unwrap_or(("v1", &owner.api_version));
    is_name(&owner.name)
        && is_name(group)
        && is_label(version)
        && is_label(&owner.kind.to_ascii_lowercase())
        && alphanumeric(&owner.kind)
        && is_label(&owner.uid.to_ascii_lowercase())
}

/// Whether an object can be called so.
fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX && name.split('.').all(is_label_of_any_length)
}

/// A label of a name may be as long as the name.
fn is_label_of_any_length(label: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
    let bytes = label.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    bytes.iter().all(inner) && ends(bytes.first()) && ends(bytes.last())
}

/// What a pod is called, or will be called.
pub(super) fn name(pod: &Pod) -> String {
    let known = match (&pod.metadata.name, &pod.metadata.generate_name) {
        (Some(name), _) => Some(name.clone()).filter(|name| is_name(name)),
        // A letter stands for what is added.
        (None, Some(prefix)) => is_name(&format!("{prefix}x")).then(|| format!("{prefix}*")),
        (None, None) => None,
    };
    known.unwrap_or_else(|| "without a name".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn review(version: &str, operation: &str, object: Value) -> Result<Review, String> {
        let review = json!({
            "apiVersion": version, "kind": "AdmissionReview",
            "request": {
                "uid": "1", "operation": operation, "namespace": "travel", "userInfo": {},
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "object": object,
            },
        });
        Review::read(review.to_string().as_bytes())
    }

    #[test]
    fn only_a_pod_that_is_made_is_looked_at() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [], "newer": 1}});
        assert!(review(VERSION, "CREATE", pod.clone()).unwrap().pod.is_some());
        assert!(review(VERSION, "UPDATE", pod).unwrap().pod.is_none());
        assert!(review(VERSION, "DELETE", Value::Null).unwrap().pod.is_none());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let told = |outcome: Result<Review, String>| outcome.map(drop).unwrap_err();
        assert!(told(Review::read(b"")).starts_with("no AdmissionReview: EOF"));
        assert_eq!(told(review(VERSION, "CREATE", Value::Null)), "the creation of a pod, without the pod");
        let older = told(review("admission.k8s.io/v1beta1", "CREATE", Value::Null));
        assert!(older.starts_with("AdmissionReview of admission.k8s.io/v1beta1;"), "{older}");
        let odd = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": {}}});
        assert!(told(review(VERSION, "CREATE", odd)).starts_with("no Pod: "));
    }

    #[test]
    fn an_event_is_about_whoever_makes_the_pod() {
        let owners = json!([
            {"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "planner-1", "uid": "2", "controller": true},
        ]);
        let pod =
            |owners| serde_json::from_value::<Pod>(json!({"metadata": {"ownerReferences": owners}})).unwrap();
        assert_eq!(owner(&pod(owners), "travel").kind.as_deref(), Some("ReplicaSet"));
        let none = owner(&pod(json!([])), "travel");
        assert_eq!((none.kind.as_deref(), none.name.as_deref()), (Some("Namespace"), Some("travel")));
    }

    #[test]
    fn who_cannot_be_there_is_nobody_to_tell_of() {
        let good = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "planner.1-a", "uid": "0b1f4a5e-53F4"});
        let told = |field: &str, value: &str| {
            let mut owner_reference = good.clone();
            owner_reference[field] = value.into();
            let pod = json!({"metadata": {"ownerReferences": [owner_reference]}});
            owner(&serde_json::from_value::<Pod>(pod).unwrap(), "travel").kind.unwrap()
        };
        assert_eq!(told("apiVersion", "batch/v1"), "ReplicaSet");
        assert_eq!(told("apiVersion", "v1"), "ReplicaSet");
        assert_eq!(told("apiVersion", "serving.knative.dev/v1"), "ReplicaSet");
        assert_eq!(told("name", &"x".repeat(253)), "ReplicaSet");
        let long = "x".repeat(254);
        for (field, value) in [
            ("name", "visit example.com"),
            ("name", ""),
            ("name", "a/../b"),
            ("name", &long),
            ("kind", "Visit us"),
            ("kind", "A-B"),
            ("kind", &long),
            ("apiVersion", "a b/v1"),
            ("apiVersion", ""),
            ("uid", "a\nb"),
            ("uid", &long),
        ] {
            assert_eq!(told(field, value), "Namespace", "{field}: {value}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_one_is_not_repeated() {
        let named =
            |metadata: Value| name(&serde_json::from_value::<Pod>(json!({"metadata": metadata})).unwrap());
        assert_eq!(named(json!({"name": "planner-1"})), "planner-1");
        assert_eq!(named(json!({"generateName": "planner-6d4cf56db6-"})), "planner-6d4cf56db6-*");
        for odd in [
            json!({}),
            json!({"name": "visit example.com"}),
            json!({"generateName": "*"}),
            json!({"name": ""}),
        ] {
            assert_eq!(named(odd), "without a name");
        }
    }

    #[test]
    fn a_namespace_that_cannot_be_one_is_refused() {
        let review = |namespace: &str| {
            let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
            let request = json!({
                "uid": "1", "operation": "CREATE", "namespace": namespace, "userInfo": {}, "kind": kind,
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": []}},
            });
            let review = json!({"apiVersion": VERSION, "kind": "AdmissionReview", "request": request});
            Review::read(review.to_string().as_bytes()).map(drop)
        };
        assert_eq!(review("travel"), Ok(()));
        for odd in ["", "kube-system/secrets?", "..", "Travel"] {
            assert_eq!(review(odd), Err(format!("a pod in {odd:?}, which is no namespace")));
        }
    }
}
