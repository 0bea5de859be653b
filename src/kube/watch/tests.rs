//! Tests of the watch against an API server that the test holds.

use prometheus_client::encoding::text::encode;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    a2a::{Home, Name},
    kube::fake::Cluster,
};

fn place() -> Place {
    Place {
        mesh: "east".to_owned(),
        namespace: "dragoman-system".to_owned(),
        service: "dragoman-directory".to_owned(),
    }
}

fn watching(cluster: &Cluster) -> (Watch, Metrics) {
    let metrics = Metrics::default();
    (start(&cluster.client(), place(), 7, metrics.clone()), metrics)
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "travel", "name": name},
           "spec": {"clusterIP": "None", "ports": [{"name": "a2a", "port": 2643, "protocol": "TCP"}]}})
}

fn slice(service: &str, addresses: &[&str]) -> Value {
    let endpoints: Vec<_> =
        addresses.iter().map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}})).collect();
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
           "metadata": {"namespace": "travel", "name": format!("{service}-x1"), "labels": {"kubernetes.io/service-name": service}},
           "endpoints": endpoints, "ports": [{"name": "a2a", "port": 2643, "protocol": "TCP"}]})
}

fn name(agent: &str) -> Name {
    Name::parse(agent, &Home { namespace: "travel".to_owned(), mesh: "east".to_owned() }).unwrap()
}

fn addresses(watch: &Watch, agent: &str) -> Option<Vec<String>> {
    let found = watch.found.borrow();
    Some(found.agents.get(&name(agent))?.iter().map(|endpoint| endpoint.address.to_string()).collect())
}

fn page(metrics: &Metrics) -> String {
    let (mut registry, mut page) = (Registry::default(), String::new());
    metrics.register(&mut registry);
    encode(&mut page, &registry).unwrap();
    page
}

async fn ready(watch: &mut Watch) {
    timeout(Duration::from_mins(5), watch.state.wait_for(Result::is_ok)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_before_all_is_known_and_then_all_at_once() {
    let cluster = Cluster::default();
    cluster.put(service("currency-a2a"));
    cluster.put(slice("currency-a2a", &["10.0.0.2", "10.0.0.1"]));
    cluster.put(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "dragoman-system", "name": "dragoman-directory"},
                       "spec": {"clusterIP": "10.96.0.53", "clusterIPs": ["10.96.0.53"]}}));
    cluster.fail("GET /apis/discovery.k8s.io/v1/endpointslices", 403, 3);
    let (mut watch, metrics) = watching(&cluster);
    assert_eq!(*watch.state.borrow(), Err("the agents are not known yet".to_owned()));
    sleep(Duration::from_millis(400)).await;
    assert_eq!(*watch.state.borrow(), Err("EndpointSlices: the test says so".to_owned()));
    assert!(watch.found.borrow().agents.is_empty());
    ready(&mut watch).await;
    assert_eq!(addresses(&watch, "currency").unwrap(), ["10.0.0.1:2643", "10.0.0.2:2643"]);
    assert_eq!(watch.found.borrow().addresses, ["10.96.0.53".parse::<std::net::IpAddr>().unwrap()]);
    let page = page(&metrics);
    assert!(
        page.contains("dragoman_directory_watch_failures_total{resource=\"endpointslices\"} 3\n"),
        "{page}"
    );
}

#[tokio::test(start_paused = true)]
async fn agents_come_move_and_go() {
    let cluster = Cluster::default();
    let (mut watch, _metrics) = watching(&cluster);
    ready(&mut watch).await;
    cluster.put(slice("currency", &["10.0.0.1"]));
    sleep(SETTLE * 2).await;
    assert_eq!(addresses(&watch, "currency"), None, "endpoints without a Service are no agent");
    cluster.put(service("currency"));
    sleep(SETTLE * 2).await;
    assert_eq!(addresses(&watch, "currency").unwrap(), ["10.0.0.1:2643"]);
    cluster.put(slice("currency", &["10.0.0.2"]));
    sleep(SETTLE * 2).await;
    assert_eq!(addresses(&watch, "currency").unwrap(), ["10.0.0.2:2643"]);
    cluster.put(service("currency-a2a"));
    cluster.put(slice("currency-a2a", &["10.0.0.3"]));
    sleep(SETTLE * 2).await;
    assert_eq!(addresses(&watch, "currency").unwrap(), ["10.0.0.3:2643"]);
    cluster.remove(&service("currency-a2a"));
    sleep(SETTLE * 2).await;
    assert_eq!(addresses(&watch, "currency").unwrap(), ["10.0.0.2:2643"]);
    cluster.remove(&slice("currency", &[]));
    sleep(SETTLE * 2).await;
    assert!(addresses(&watch, "currency").unwrap().is_empty());
    cluster.remove(&service("currency"));
    sleep(SETTLE * 2).await;
    assert_eq!(addresses(&watch, "currency"), None);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_told_in_few_steps_and_what_does_not_matter_not_at_all() {
    let cluster = Cluster::default();
    cluster.put(service("currency"));
    let (mut watch, _metrics) = watching(&cluster);
    ready(&mut watch).await;
    watch.found.mark_unchanged();
    let mut told = 0;
    for pod in 0..1000 {
        cluster.put(slice("currency", &[&format!("10.0.{}.{}", pod / 250, pod % 250)]));
        sleep(Duration::from_millis(1)).await;
        if watch.found.has_changed().unwrap() {
            watch.found.mark_unchanged();
            told += 1;
        }
    }
    assert!((15..=25).contains(&told), "{told} in 1 s, of 1000 changes");
    sleep(SETTLE * 2).await;
    watch.found.mark_unchanged();
    cluster.put(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "travel", "name": "db"},
                       "spec": {"ports": [{"name": "sql", "port": 5432}]}}),
    );
    cluster.put(slice("currency", &["10.0.3.249"]));
    sleep(SETTLE * 3).await;
    assert!(!watch.found.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_gone_changes_nothing() {
    let cluster = Cluster::default();
    cluster.put(service("currency"));
    cluster.put(slice("currency", &["10.0.0.1"]));
    let (mut watch, _metrics) = watching(&cluster);
    ready(&mut watch).await;
    cluster.fail("GET ", 503, usize::MAX);
    cluster.expire();
    cluster.put(slice("currency", &["10.0.0.2"]));
    sleep(Duration::from_mins(30)).await;
    assert_eq!(addresses(&watch, "currency").unwrap(), ["10.0.0.1:2643"]);
    assert!(watch.state.borrow().is_ok());
    cluster.heal();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(addresses(&watch, "currency").unwrap(), ["10.0.0.2:2643"]);
}

#[tokio::test(start_paused = true)]
async fn services_that_have_only_a_plain_port_are_counted() {
    let cluster = Cluster::default();
    let plain = |name: &str| {
        let mut service = service(name);
        service["spec"]["ports"] =
            json!([{"name": "http", "port": 80, "appProtocol": "agentgateway.dev/a2a"}]);
        service
    };
    cluster.put(plain("currency"));
    cluster.put(plain("weather"));
    let (mut watch, metrics) = watching(&cluster);
    ready(&mut watch).await;
    assert!(watch.found.borrow().agents.is_empty());
    assert!(page(&metrics).contains("dragoman_directory_plain_services 2\n"));
    cluster.put(service("weather"));
    cluster.put(service("currency-a2a"));
    sleep(SETTLE * 2).await;
    assert_eq!(watch.found.borrow().agents.len(), 2);
    assert!(page(&metrics).contains("dragoman_directory_plain_services 1\n"));
    cluster.remove(&plain("currency"));
    sleep(SETTLE * 2).await;
    assert!(page(&metrics).contains("dragoman_directory_plain_services 0\n"));
}

#[tokio::test]
async fn ten_thousand_agents_of_three_endpoints_are_found() {
    const AGENTS: usize = 10_000;
    let cluster = Cluster::default();
    for n in 0..AGENTS {
        let agent = format!("agent-{n}");
        cluster.put(service(&format!("{agent}-a2a")));
        let ips = [1, 2, 3].map(|pod| format!("10.{pod}.{}.{}", n / 250, n % 250));
        cluster.put(slice(&format!("{agent}-a2a"), &ips.each_ref().map(String::as_str)));
    }
    let started = Instant::now();
    let (mut watch, _metrics) = watching(&cluster);
    ready(&mut watch).await;
    let listed = started.elapsed();
    let found = watch.found.borrow_and_update().clone();
    assert_eq!(found.agents.len(), AGENTS);
    assert_eq!(found.agents.values().map(Vec::len).sum::<usize>(), 3 * AGENTS);
    // Two kinds in pages of 500, and one watch each.
    let pages = cluster.calls().iter().filter(|call| call.contains("limit=500")).count();
    assert_eq!(pages, 2 * AGENTS / 500);
    let changed = Instant::now();
    cluster.put(slice("agent-77-a2a", &["10.9.9.9"]));
    watch.found.changed().await.unwrap();
    let told = changed.elapsed();
    assert_eq!(addresses(&watch, "agent-77").unwrap(), ["10.9.9.9:2643"]);
    println!("{AGENTS} agents listed after {listed:?}, one change told after {told:?}");
}
