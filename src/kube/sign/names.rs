//! Which DNS names a pod may have in its certificate: those of Services that really lead to it, by their EndpointSlices.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, api::ListParams};
use tokio::time::{Instant, timeout};

use super::review::Workload;
use crate::a2a::is_label;
use crate::kube::why;

/// The name of a port that is the mesh's, and what the Service of an injected agent has behind the agent's name.
const PORT: &str = "a2a";
const OWN: &str = "-a2a";
/// Which Service a slice belongs to.
const SERVICE: &str = "kubernetes.io/service-name";
/// How long the API server may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The most names in one certificate.
const NAMES_MAX: usize = 64;
/// When a pod without a name is asked to come again: a Service may not have got to know it yet. Twice as long each time, and
/// then no more, because most pods without a name only call, and will never have one.
const AGAIN: Duration = Duration::from_secs(30);
const AGAIN_TIMES: u32 = 6;
/// How many pods without a name are kept in mind, and for how long.
const PODS_MAX: usize = 10_000;
const PODS_AGE: Duration = Duration::from_hours(1);

/// What is known about names.
#[derive(Clone)]
pub(super) struct Names {
    client: Client,
    cluster_domain: String,
    /// Names by service account, `name.namespace`, that an operator has given.
    given: Arc<BTreeMap<String, Vec<String>>>,
    nameless: Arc<Mutex<HashMap<String, Nameless>>>,
}

/// A pod that no Service leads to yet.
#[derive(Clone, Copy)]
struct Nameless {
    times: u32,
    since: Instant,
}

/// The names of a pod.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Named {
    pub(super) names: Vec<String>,
    /// When there may be more.
    pub(super) again: Option<Duration>,
}

impl Names {
    pub(super) fn new(client: Client, cluster_domain: String, given: BTreeMap<String, Vec<String>>) -> Self {
        Self { client, cluster_domain, given: Arc::new(given), nameless: Arc::default() }
    }

    /// The names of a pod. An API server that does not tell costs names, never the certificate.
    pub(super) async fn of(&self, workload: &Workload) -> Named {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &workload.namespace);
        // What the API server has at hand will do.
        let all = ListParams::default().match_any();
        let confirmed = match timeout(ANSWER, slices.list(&all)).await {
            Ok(Ok(slices)) => agents(&slices.items, &workload.uid),
            Ok(Err(error)) => {
                let (reason, namespace) = (why(&error), &workload.namespace);
                tracing::warn!(reason, namespace, "EndpointSlices are not told, so no DNS name is confirmed");
                BTreeSet::new()
            }
            Err(_) => {
                tracing::warn!(namespace = workload.namespace, "EndpointSlices are not told in time");
                BTreeSet::new()
            }
        };
        let again = if confirmed.is_empty() { self.again(&workload.uid) } else { self.forget(&workload.uid) };
        let (namespace, zone) = (&workload.namespace, &self.cluster_domain);
        let services = confirmed.into_iter().map(|agent| format!("{agent}.{namespace}.svc.{zone}"));
        let given = self.given.get(&format!("{}.{namespace}", workload.account));
        let mut names: Vec<String> = services.chain(given.into_iter().flatten().cloned()).collect();
        names.truncate(NAMES_MAX);
        Named { names, again }
    }

    /// When a pod without a name is to come again, if it is.
    fn again(&self, uid: &str) -> Option<Duration> {
        let now = Instant::now();
        let mut pods = self.nameless.lock().unwrap_or_else(PoisonError::into_inner);
        if pods.len() >= PODS_MAX {
            pods.retain(|_, pod| now.saturating_duration_since(pod.since) < PODS_AGE);
        }
        if pods.len() >= PODS_MAX && !pods.contains_key(uid) {
            return None;
        }
        let pod = pods.entry(uid.to_owned()).or_insert(Nameless { times: 0, since: now });
        let times = pod.times;
        pod.times = times.saturating_add(1);
        (times < AGAIN_TIMES).then(|| AGAIN * 2_u32.saturating_pow(times))
    }

    fn forget(&self, uid: &str) -> Option<Duration> {
        self.nameless.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        None
    }
}

/// The agents whose Services lead to a pod, ready or not.
fn agents(slices: &[EndpointSlice], uid: &str) -> BTreeSet<String> {
    let leads = |slice: &&EndpointSlice| {
        let ours = |port: &Option<String>| port.as_deref() == Some(PORT);
        let named = slice.ports.iter().flatten().any(|port| ours(&port.name));
        let to_it = |target: &Option<String>| target.as_deref() == Some(uid);
        named
            && slice
                .endpoints
                .iter()
                .any(|endpoint| endpoint.target_ref.as_ref().is_some_and(|target| to_it(&target.uid)))
    };
    let agent = |slice: &EndpointSlice| {
        let service = slice.metadata.labels.as_ref()?.get(SERVICE)?;
        let agent = service.strip_suffix(OWN).unwrap_or(service);
        is_label(agent).then(|| agent.to_owned())
    };
    slices.iter().filter(leads).filter_map(agent).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A slice as the endpoint slice controller writes it.
    fn slice(service: &str, port: &str, uid: &str) -> EndpointSlice {
        serde_json::from_value(json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "addressType": "IPv4",
            "metadata": {
                "name": format!("{service}-abcde"),
                "namespace": "travel",
                "labels": {
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    "kubernetes.io/service-name": service,
                },
            },
            "endpoints": [{
                "addresses": ["10.0.0.7"],
                "conditions": {"ready": false, "serving": false, "terminating": false},
                "nodeName": "node-1",
                "targetRef": {"kind": "Pod", "name": "x", "namespace": "travel", "uid": uid},
            }],
            "ports": [{"name": port, "port": 2643, "protocol": "TCP"}],
        }))
        .unwrap()
    }

    #[test]
    fn a_name_is_a_service_with_the_mesh_port_that_leads_to_the_pod() {
        let slices = [
            slice("currency-a2a", "a2a", "uid"),
            slice("rates", "a2a", "uid"),
            slice("web", "http", "uid"),
            slice("other", "a2a", "another uid"),
            slice("-a2a", "a2a", "uid"),
        ];
        assert_eq!(agents(&slices, "uid"), BTreeSet::from(["currency".to_owned(), "rates".to_owned()]));
        assert!(agents(&slices, "").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_without_a_name_comes_again_less_and_less_and_then_no_more() {
        let client = Client::new(
            tower::service_fn(|_| {
                std::future::pending::<Result<http::Response<String>, std::convert::Infallible>>()
            }),
            "default",
        );
        let names = Names::new(client, "cluster.local".to_owned(), BTreeMap::new());
        let pauses: Vec<Option<u64>> =
            (0..8).map(|_| names.again("uid").map(|again| again.as_secs())).collect();
        assert_eq!(pauses, [Some(30), Some(60), Some(120), Some(240), Some(480), Some(960), None, None]);
        assert_eq!(names.forget("uid"), None);
        assert_eq!(names.again("uid"), Some(AGAIN), "it had a name once");
        // Who is one too many is not kept in mind, and so not asked to come again.
        for pod in 0..PODS_MAX {
            names.again(&pod.to_string());
        }
        assert_eq!(names.again("one more"), None);
        tokio::time::advance(PODS_AGE).await;
        assert_eq!(names.again("one more"), Some(AGAIN));
    }
}
