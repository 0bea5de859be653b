//! The directory as a sidecar asks it: after the cluster's own DNS, and never in its way.

use std::collections::HashMap;

use dragoman::discovery::{self, Bounds, Config, Discovery, Freshness, Remote, Source, Unresolved};
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::harness::{
    self,
    agent::message,
    dns::{self, Mood, host, srv},
    mesh::{Mesh, beside},
};

const CLUSTER_SRV: &str = "_a2a._tcp.currency.travel.svc.cluster.local.";

fn config(cluster: SocketAddr, directory: SocketAddr, bounds: Bounds) -> Config {
    let directory = (directory.ip().to_string(), directory.port());
    let remote =
        |cluster_domain: &str| Remote { cluster_domain: cluster_domain.into(), nameservers: Vec::new() };
    Config {
        home: home(),
        cluster_domain: "cluster.local".into(),
        port: 2643,
        nameservers: Source::Listed(vec![cluster]),
        meshes: HashMap::from([
            ("west".into(), remote("west.local")),
            ("north".into(), remote("cluster.local")),
        ]),
        directory: Some(discovery::Zone { nameservers: vec![directory], name: "a2a.cluster.local".into() }),
        fixed: HashMap::new(),
        bounds,
    }
}

/// The bounds of production, with room for a busy machine.
fn patient() -> Bounds {
    Bounds { first: PATIENCE, hedge: Duration::from_secs(1), directory: PATIENCE, ..Bounds::default() }
}

async fn find(discovery: &Discovery, agent: &str) -> Result<usize, Unresolved> {
    let endpoints = discovery.endpoints(&Name::parse(agent, &home()).unwrap()).await?;
    let count = endpoints.borrow().addresses.len();
    Ok(count)
}

fn by_dns(config: Config) -> Discovery {
    Discovery::by_dns(config, 1, discovery::Metrics::default())
}

fn cluster_knows(cluster: &dns::Dns) {
    cluster.serve([
        srv(CLUSTER_SRV, 0, 2643, "pod-0.cluster.local."),
        host("pod-0.cluster.local.", [10, 1, 1, 1]),
    ]);
}

#[tokio::test]
async fn what_the_cluster_does_not_know_the_directory_may() {
    let cluster = dns::Dns::start().await;
    cluster_knows(&cluster);
    let directory = Directory::start(snapshot(&[
        ("currency", 9),
        ("weather", 2),
        ("asleep", 0),
        ("currency.travel.west", 3),
        ("currency.travel.north", 4),
    ]))
    .await;
    let discovery = by_dns(config(cluster.address, directory.address, patient()));
    assert_eq!(find(&discovery, "currency").await, Ok(1));
    assert!(!directory.metrics().contains("type=\"SRV\""), "nobody asked the directory");
    assert_eq!(find(&discovery, "weather").await, Ok(2));
    assert_eq!(find(&discovery, "currency.travel.west").await, Ok(3));
    assert_eq!(
        find(&discovery, "currency.travel.north").await,
        Ok(4),
        "a mesh in a zone like ours, without nameservers, is not looked for among ours"
    );
    for nobody in ["nobody", "asleep", "nobody.travel.west"] {
        let error = find(&discovery, nobody).await.unwrap_err();
        assert!(matches!(error, Unresolved::Absent { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_cluster_knows_where_the_directory_is() {
    const HOST: &str = "dragoman-directory.dragoman-system.svc.cluster.local";
    let cluster = dns::Dns::start().await;
    let directory = Directory::start(snapshot(&[("weather", 2)])).await;
    let mut config = config(cluster.address, directory.address, patient());
    config.directory.as_mut().unwrap().nameservers = vec![(HOST.into(), directory.address.port())];
    let error = find(&by_dns(config.clone()), "weather").await.unwrap_err();
    assert!(matches!(error, Unresolved::Absent { .. }), "without a directory the cluster is right: {error}");
    let error = find(&by_dns(config.clone()), "weather.travel.north").await.unwrap_err();
    let said = |reason: &str| reason.contains("the directory: ") && reason.contains(HOST);
    assert!(matches!(&error, Unresolved::Failed { reason, .. } if said(reason)), "nobody could say: {error}");
    cluster.serve([host(&format!("{HOST}."), [127, 0, 0, 1])]);
    assert_eq!(find(&by_dns(config.clone()), "weather").await, Ok(2));
    cluster.mood_about(&format!("{HOST}."), Mood::Refuse);
    let error = find(&by_dns(config), "weather").await.unwrap_err();
    assert!(matches!(&error, Unresolved::Failed { reason, .. } if said(reason)), "it may be there: {error}");
}

#[tokio::test]
async fn a_directory_that_is_silent_delays_no_name_that_the_cluster_knows() {
    let cluster = dns::Dns::start().await;
    cluster_knows(&cluster);
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let bounds = Bounds { directory: Duration::from_millis(300), ..patient() };
    let discovery = by_dns(config(cluster.address, address, bounds));
    assert_eq!(find(&discovery, "currency").await, Ok(1));
    let began = Instant::now();
    let error = find(&discovery, "nobody").await.unwrap_err();
    assert!(
        matches!(&error, Unresolved::Failed { reason, .. } if reason.contains("the directory: no answer within 300ms")),
        "{error}"
    );
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_cluster_that_is_silent_is_overtaken_by_the_directory() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let directory = Directory::start(snapshot(&[("currency", 2)])).await;
    let bounds =
        Bounds { hedge: Duration::from_millis(50), query: PATIENCE, lookup: PATIENCE * 2, ..patient() };
    let discovery = by_dns(config(silent.local_addr().unwrap(), directory.address, bounds));
    assert_eq!(timeout(PATIENCE, find(&discovery, "currency")).await.unwrap(), Ok(2));
}

#[tokio::test]
async fn a_directory_that_fails_takes_nothing_away() {
    let cluster = dns::Dns::start().await;
    // The harness's server plays the directory, because it can be in a bad mood.
    let directory = dns::Dns::start().await;
    directory.serve([
        srv("_a2a._tcp.ledger.bank.west.a2a.cluster.local.", 0, 2643, "pod.a2a.cluster.local."),
        host("pod.a2a.cluster.local.", [10, 9, 0, 1]),
    ]);
    let millis = Duration::from_millis;
    let bounds = Bounds {
        shortest: millis(50),
        longest: millis(50),
        backoff: millis(50),
        recheck: millis(50),
        ..patient()
    };
    let discovery = by_dns(config(cluster.address, directory.address, bounds));
    let name = Name::parse("ledger.bank.west", &home()).unwrap();
    let mut endpoints = discovery.endpoints(&name).await.unwrap();
    assert_eq!(endpoints.borrow_and_update().addresses.len(), 1);
    directory.mood(Mood::Refuse);
    let stale = |freshness: &Freshness| matches!(freshness, Freshness::Stale { .. });
    let endpoints =
        timeout(PATIENCE, endpoints.wait_for(|known| stale(&known.freshness))).await.unwrap().unwrap();
    assert_eq!(endpoints.addresses.len(), 1, "the cluster denies it, as it always did");
}

#[tokio::test]
async fn a_call_reaches_an_agent_that_only_the_directory_knows() {
    let mesh = Mesh::new();
    let agent = harness::agent::Agent::start().await;
    let callee = mesh.sidecar("currency", beside("currency", &agent.url())).await;
    let _agent = agent.always(|_| message("reached"));
    let name = Name::parse(&mesh.agent("currency"), &home()).unwrap();
    let endpoints = vec![Endpoint { address: callee.inbound(), ready: true }];
    let agent = Agent { name: name.clone(), endpoints, card: None, card_error: None };
    let directory = Directory::start(Snapshot {
        agents: BTreeMap::from([(name, Arc::new(agent))]),
        complete: true,
        ..Snapshot::default()
    })
    .await;
    let cluster = dns::Dns::start().await;
    let discovery = json!({
        "nameservers": [cluster.address.to_string()],
        "directory": {"nameservers": [directory.address.to_string()]},
    });
    let caller = mesh.sidecar("planner", json!({"discovery": discovery})).await;
    let params = r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"x"}]}}"#;
    let answer = caller.call("currency", "SendMessage", params).await;
    assert!(answer.result().contains("reached"));
}
