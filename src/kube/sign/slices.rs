//! Which agents' Services lead to which pods, by the EndpointSlices of a namespace: listed once for all pods that ask at the
//! same time, and a few namespaces at a time, so that a rollout of thousands of pods costs the API server a few lists.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, api::ListParams};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::{Instant, timeout},
};

use crate::a2a::is_label;
use crate::kube::why;
use crate::kube::words::{MESH_PORT_NAME, SERVICE, own_agent};

/// How old a list may be. Who is not in it yet comes again anyway.
const FRESH: Duration = Duration::from_secs(2);
/// How many lists may be under way.
const LISTS_MAX: usize = 4;
/// How long a list may take, with the wait for its turn.
const ANSWER: Duration = Duration::from_secs(5);
/// How many namespaces' lists are shared at most; others are listed for one pod alone, in their turn.
const NAMESPACES_MAX: usize = 1024;

/// What is known of pods.
pub(super) struct Slices {
    client: Client,
    turns: Semaphore,
    namespaces: Mutex<HashMap<String, Arc<OnceCell<List>>>>,
}

/// The list of a namespace; an empty one if the API server did not tell.
#[derive(Debug)]
struct List {
    /// When it was asked for.
    at: Instant,
    /// By UID of the pod.
    agents: HashMap<String, BTreeSet<String>>,
}

impl Slices {
    pub(super) fn new(client: Client) -> Self {
        Self { client, turns: Semaphore::new(LISTS_MAX), namespaces: Mutex::default() }
    }

    /// The agents whose Services lead to a pod, ready or not. An API server that does not tell confirms none.
    pub(super) async fn agents(&self, namespace: &str, uid: &str) -> BTreeSet<String> {
        let list = self.shared(namespace, Instant::now());
        let list = list.get_or_init(|| self.list(namespace)).await;
        list.agents.get(uid).cloned().unwrap_or_default()
    }

    /// The list of a namespace that is there, on its way, or to be asked for by the first who waits for it.
    fn shared(&self, namespace: &str, now: Instant) -> Arc<OnceCell<List>> {
        let mut lists = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|_, list| match list.get() {
            Some(list) => now.saturating_duration_since(list.at) < FRESH,
            // Somebody waits for it.
            None => Arc::strong_count(list) > 1,
        });
        if lists.len() >= NAMESPACES_MAX && !lists.contains_key(namespace) {
            return Arc::default();
        }
        Arc::clone(lists.entry(namespace.to_owned()).or_default())
    }

    async fn list(&self, namespace: &str) -> List {
        let asked = async {
            let _turn = self.turns.acquire().await;
            let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), namespace);
            let at = Instant::now();
            // What the API server has at hand will do.
            (at, slices.list(&ListParams::default().match_any()).await)
        };
        let unknown = |reason: &str| {
            tracing::warn!(reason, namespace, "EndpointSlices are not told, so no DNS name is confirmed");
            List { at: Instant::now(), agents: HashMap::new() }
        };
        match timeout(ANSWER, asked).await {
            Ok((at, Ok(slices))) => List { at, agents: agents(&slices.items) },
            Ok((_, Err(error))) => unknown(&why(&error)),
            Err(_) => unknown("the API server does not answer in time"),
        }
    }
}

/// The agents that lead to each pod.
fn agents(slices: &[EndpointSlice]) -> HashMap<String, BTreeSet<String>> {
    let mut agents: HashMap<String, BTreeSet<String>> = HashMap::new();
    for slice in slices {
        let meshed = slice.ports.iter().flatten().any(|port| port.name.as_deref() == Some(MESH_PORT_NAME));
        let Some(agent) = agent(slice).filter(|_| meshed) else { continue };
        let targets = slice.endpoints.iter().filter_map(|endpoint| endpoint.target_ref.as_ref());
        for uid in targets.filter_map(|target| target.uid.as_ref()) {
            agents.entry(uid.clone()).or_default().insert(agent.to_owned());
        }
    }
    agents
}

/// The agent that the Service of a slice stands for.
fn agent(slice: &EndpointSlice) -> Option<&str> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE)?;
    let agent = own_agent(service).unwrap_or(service);
    is_label(agent).then_some(agent)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tokio::time::sleep;

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

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
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
        let agents = agents(&slices);
        assert_eq!(agents["uid"], set(&["currency", "rates"]));
        assert_eq!(agents["another uid"], set(&["other"]));
        assert_eq!(agents.len(), 2);
    }

    /// What was asked, and how much of it at the same time.
    #[derive(Debug, Default)]
    struct Asked {
        total: usize,
        now: usize,
        most: usize,
    }

    /// An API server that takes its time, and tells of one agent whatever it is asked.
    fn slow(takes: Duration) -> (Slices, Arc<Mutex<Asked>>) {
        let asked: Arc<Mutex<Asked>> = Arc::default();
        let count = Arc::clone(&asked);
        let service = tower::service_fn(move |_: Request<Body>| {
            let count = Arc::clone(&count);
            async move {
                {
                    let mut count = count.lock().unwrap();
                    count.total += 1;
                    count.now += 1;
                    count.most = count.most.max(count.now);
                }
                sleep(takes).await;
                count.lock().unwrap().now -= 1;
                let list = json!({"metadata": {}, "items": [slice("currency-a2a", "a2a", "uid")]});
                Ok::<_, Infallible>(Response::new(list.to_string()))
            }
        });
        (Slices::new(Client::new(service, "default")), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollout_costs_one_list() {
        let (slices, asked) = slow(Duration::from_millis(300));
        let all = (0..2000).map(|_| slices.agents("travel", "uid"));
        let told = futures_util::future::join_all(all).await;
        assert!(told.iter().all(|agents| *agents == set(&["currency"])));
        assert_eq!(slices.agents("travel", "another").await, set(&[]));
        assert_eq!(asked.lock().unwrap().total, 1);
        // What is confirmed is never older than that.
        sleep(FRESH).await;
        slices.agents("travel", "uid").await;
        assert_eq!(asked.lock().unwrap().total, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_lists_are_under_way_and_kept() {
        let (slices, asked) = slow(Duration::from_millis(1));
        let names: Vec<String> = (0..NAMESPACES_MAX + 10).map(|number| format!("ns-{number}")).collect();
        let all = names.iter().map(|namespace| slices.agents(namespace, "uid"));
        let told = futures_util::future::join_all(all).await;
        assert!(told.iter().all(|agents| *agents == set(&["currency"])));
        assert_eq!(asked.lock().unwrap().most, LISTS_MAX);
        assert_eq!(slices.namespaces.lock().unwrap().len(), NAMESPACES_MAX);
        sleep(FRESH).await;
        slices.agents("travel", "uid").await;
        assert_eq!(slices.namespaces.lock().unwrap().len(), 1, "what is too old is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_nobody_waits_for_any_more_blocks_nobody() {
        let (slices, asked) = slow(Duration::from_secs(1));
        assert!(timeout(Duration::from_millis(1), slices.agents("travel", "uid")).await.is_err());
        assert_eq!(slices.agents("travel", "uid").await, set(&["currency"]));
        assert_eq!(asked.lock().unwrap().total, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_is_silent_confirms_nothing() {
        let (slices, _) = slow(Duration::from_hours(1));
        let begun = Instant::now();
        assert_eq!(slices.agents("travel", "uid").await, set(&[]));
        assert_eq!(begun.elapsed(), ANSWER);
    }
}
