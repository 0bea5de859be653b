//! Tests of the mesh Services against an API server that the test holds.

use prometheus_client::encoding::text::encode;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::*;
use crate::kube::fake::Cluster;

mod going;
mod others;

const SERVICE: &str = "/api/v1/namespaces/travel/services/currency-a2a";

fn keeping(cluster: &Cluster, seed: u64) -> (MeshServices, Metrics) {
    let metrics = Metrics::default();
    let clock = Clock::new(|| 1_800_000_000);
    (start(&cluster.client(), clock, seed, metrics.clone()), metrics)
}

fn count(metrics: &Metrics, result: &str) -> u64 {
    let (mut registry, mut page) = (Registry::default(), String::new());
    metrics.register(&mut registry);
    encode(&mut page, &registry).unwrap();
    let series = format!("dragoman_mesh_services_total{{result=\"{result}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
}

fn owner(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true})
}

/// An object of that kind, controlled by `above`.
fn object(api_version: &str, kind: &str, name: &str, uid: &str, above: Option<Value>) -> Value {
    let owners: Vec<Value> = above.into_iter().collect();
    json!({"apiVersion": api_version, "kind": kind,
           "metadata": {"namespace": "travel", "name": name, "uid": uid, "ownerReferences": owners}})
}

fn pod(name: &str, agents: &[&str], above: Option<Value>) -> Value {
    let mut pod = object("v1", "Pod", name, &format!("uid-of-{name}"), above);
    let mut labels = json!({"dragoman.dev/injected": "true"});
    for agent in agents {
        labels[format!("agent.dragoman.dev/{agent}")] = json!("true");
    }
    pod["metadata"]["labels"] = labels;
    pod["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    pod
}

/// A ReplicaSet of the Deployment `currency`, with the UID of its name.
fn replica_set(name: &str) -> Value {
    object("apps/v1", "ReplicaSet", name, name, Some(owner("apps/v1", "Deployment", "currency", "d1")))
}

fn in_set(name: &str, agents: &[&str], set: &str) -> Value {
    pod(name, agents, Some(owner("apps/v1", "ReplicaSet", set, set)))
}

/// A pod of the Deployment `currency`.
fn currency(cluster: &Cluster) {
    cluster.put(replica_set("currency-1"));
    cluster.put(in_set("currency-1-a", &["currency"], "currency-1"));
}

fn owners(service: &Value) -> Vec<&str> {
    let owners = service["metadata"]["ownerReferences"].as_array().unwrap();
    let mut owners: Vec<&str> = owners.iter().map(|owner| owner["uid"].as_str().unwrap()).collect();
    owners.sort_unstable();
    owners
}

fn calls(cluster: &Cluster, begin: &str) -> usize {
    cluster.calls().iter().filter(|call| call.starts_with(begin)).count()
}

async fn moment() {
    sleep(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_plain_deployment_gets_its_service() {
    let cluster = Cluster::default();
    let (_keeping, metrics) = keeping(&cluster, 7);
    moment().await;
    currency(&cluster);
    cluster.put(in_set("currency-1-b", &["currency"], "currency-1"));
    moment().await;
    let service = cluster.get(SERVICE).unwrap();
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert_eq!(service["spec"]["selector"], json!({"agent.dragoman.dev/currency": "true"}));
    assert_eq!(
        service["metadata"]["ownerReferences"],
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "currency", "uid": "d1", "blockOwnerDeletion": false}])
    );
    let patches: Vec<_> = cluster.calls().into_iter().filter(|call| call.starts_with("PATCH")).collect();
    assert_eq!(patches, [format!("PATCH {SERVICE}?&fieldManager=dragoman-services")]);
    assert_eq!(calls(&cluster, "GET /apis/apps/v1/namespaces/travel/replicasets/"), 1);
    assert_eq!(count(&metrics, "created"), 1);
    // More of the same ask for nothing.
    let before = cluster.calls().len();
    for n in 0..1000 {
        cluster.put(in_set(&format!("currency-1-{n}"), &["currency"], "currency-1"));
    }
    moment().await;
    assert_eq!(cluster.calls().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_whole_cluster_gets_its_services_with_one_apply_each() {
    const AGENTS: usize = 1000;
    let cluster = Cluster::default();
    for n in 0..AGENTS {
        let set = format!("set-{n}");
        let above = owner("apps/v1", "Deployment", &format!("agent-{n}"), &format!("d{n}"));
        cluster.put(object("apps/v1", "ReplicaSet", &set, &set, Some(above)));
        for pod in 0..3 {
            cluster.put(in_set(&format!("{set}-{pod}"), &[&format!("agent-{n}")], &set));
        }
    }
    let (_keeping, metrics) = keeping(&cluster, 7);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(count(&metrics, "created"), AGENTS as u64);
    assert_eq!(calls(&cluster, "PATCH"), AGENTS);
    assert_eq!(calls(&cluster, "GET /apis/apps/v1"), AGENTS);
    // A controller that starts afterwards finds all in order.
    let (_late, metrics) = keeping(&cluster, 8);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((calls(&cluster, "PATCH"), count(&metrics, "created")), (AGENTS, 0));
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_owner_is_found() {
    for (what, objects, above, expected) in [
        ("a StatefulSet", vec![], Some(owner("apps/v1", "StatefulSet", "currency", "s1")), "s1"),
        ("a DaemonSet", vec![], Some(owner("apps/v1", "DaemonSet", "currency", "ds1")), "ds1"),
        ("a custom resource", vec![], Some(owner("example.com/v1", "AgentSet", "currency", "a1")), "a1"),
        ("nothing", vec![], None, "uid-of-currency"),
        (
            "a ReplicaSet of nobody",
            vec![object("apps/v1", "ReplicaSet", "r", "r1", None)],
            Some(owner("apps/v1", "ReplicaSet", "r", "r1")),
            "r1",
        ),
        (
            "a ReplicaSet of an Argo Rollout",
            vec![object(
                "apps/v1",
                "ReplicaSet",
                "r",
                "r1",
                Some(owner("argoproj.io/v1alpha1", "Rollout", "c", "ro1")),
            )],
            Some(owner("apps/v1", "ReplicaSet", "r", "r1")),
            "ro1",
        ),
        (
            "a CronJob",
            vec![object("batch/v1", "Job", "j", "j1", Some(owner("batch/v1", "CronJob", "c", "cj1")))],
            Some(owner("batch/v1", "Job", "j", "j1")),
            "cj1",
        ),
        (
            "a Job",
            vec![object("batch/v1", "Job", "j", "j1", None)],
            Some(owner("batch/v1", "Job", "j", "j1")),
            "j1",
        ),
    ] {
        let cluster = Cluster::default();
        objects.into_iter().for_each(|object| cluster.put(object));
        cluster.put(pod("currency", &["currency"], above));
        let (_keeping, _) = keeping(&cluster, 7);
        moment().await;
        let service = cluster.get(SERVICE).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(owners(&service), [expected], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_that_end_or_whose_owner_is_gone_get_no_service() {
    let cluster = Cluster::default();
    let mut leaving = in_set("currency-1-a", &["currency"], "currency-1");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    cluster.put(replica_set("currency-1"));
    cluster.put(leaving);
    cluster.put(in_set("weather-1-a", &["weather"], "weather-1"));
    // Another one of that name has taken the place of the owner.
    cluster.put(object("apps/v1", "ReplicaSet", "map-1", "r9", None));
    cluster.put(pod("map-1-a", &["map"], Some(owner("apps/v1", "ReplicaSet", "map-1", "r1"))));
    cluster.put(pod("caller", &[], None));
    let (keeping, metrics) = keeping(&cluster, 7);
    sleep(Duration::from_hours(1)).await;
    assert!(keeping.state.borrow().is_ok());
    assert_eq!((calls(&cluster, "PATCH"), count(&metrics, "created")), (0, 0));
    assert!((20..100).contains(&calls(&cluster, "GET /apis/apps/v1")), "asked with patience");
}

#[tokio::test(start_paused = true)]
async fn every_agent_of_a_pod_has_a_service_and_a_second_deployment_adopts_it() {
    let cluster = Cluster::default();
    cluster.put(pod("one", &["currency", "rates"], Some(owner("apps/v1", "StatefulSet", "one", "s1"))));
    let (_keeping, metrics) = keeping(&cluster, 7);
    moment().await;
    cluster.put(pod("two", &["rates"], Some(owner("apps/v1", "StatefulSet", "two", "s2"))));
    moment().await;
    assert_eq!(owners(&cluster.get(SERVICE).unwrap()), ["s1"]);
    let rates = SERVICE.replace("currency", "rates");
    assert_eq!(owners(&cluster.get(&rates).unwrap()), ["s1", "s2"]);
    assert_eq!((count(&metrics, "created"), count(&metrics, "adopted")), (2, 1));
    // Scaled to zero the first one stays an owner; what the garbage collector takes off stays off.
    cluster.remove(&pod("one", &[], None));
    moment().await;
    cluster.put(pod("two", &["rates", "x"], Some(owner("apps/v1", "StatefulSet", "two", "s2"))));
    moment().await;
    assert_eq!(owners(&cluster.get(&rates).unwrap()), ["s1", "s2"]);
    let mut collected = cluster.get(&rates).unwrap();
    collected["metadata"]["ownerReferences"].as_array_mut().unwrap().retain(|owner| owner["uid"] == "s2");
    cluster.put(collected);
    moment().await;
    assert_eq!(owners(&cluster.get(&rates).unwrap()), ["s2"]);
    assert_eq!(count(&metrics, "adopted"), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_before_all_pods_and_services_are_known() {
    for (resource, what) in [("pods", "Pods"), ("services", "Services")] {
        let cluster = Cluster::default();
        currency(&cluster);
        cluster.fail(&format!("GET /api/v1/{resource}?"), 403, 40);
        let (mut keeping, metrics) = keeping(&cluster, 7);
        sleep(Duration::from_mins(12)).await;
        assert_eq!(*keeping.state.borrow(), Err(format!("{what}: the test says so")));
        let others = cluster.calls().into_iter().filter(|call| call.contains("/namespaces/"));
        assert_eq!(others.collect::<Vec<_>>(), [""; 0], "{resource}");
        let ready = keeping.state.wait_for(Result::is_ok);
        drop(tokio::time::timeout(Duration::from_mins(20), ready).await.unwrap());
        moment().await;
        assert_eq!(count(&metrics, "created"), 1, "{resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_counted_and_tried_again_with_patience() {
    let cluster = Cluster::default();
    currency(&cluster);
    cluster.fail("PATCH", 403, usize::MAX);
    let (_keeping, metrics) = keeping(&cluster, 7);
    sleep(Duration::from_hours(1)).await;
    let failed = count(&metrics, "failed");
    assert!((12..40).contains(&failed), "{failed}");
    cluster.heal();
    sleep(TROUBLE).await;
    assert!(cluster.get(SERVICE).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_an_impossible_name_is_told_so_on_its_pod() {
    let cluster = Cluster::default();
    let long = "a".repeat(60);
    cluster.put(pod("one", &["3d"], None));
    cluster.put(pod("two", &[&long], None));
    let (_keeping, metrics) = keeping(&cluster, 7);
    sleep(Duration::from_hours(1)).await;
    assert_eq!((count(&metrics, "refused"), calls(&cluster, "POST"), calls(&cluster, "PATCH")), (2, 2, 0));
    let event = cluster.get("/apis/events.k8s.io/v1/namespaces/travel/events/one.uid-of-one").unwrap();
    assert_eq!((&event["type"], &event["regarding"]["kind"]), (&json!("Warning"), &json!("Pod")));
    assert!(event["note"].as_str().unwrap().contains("\"3d\""));
}
