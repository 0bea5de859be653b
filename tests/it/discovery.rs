//! Where agents are, according to a DNS server of ours. The sockets are real, so the waits are too: they are made short.

use std::{
    collections::{BTreeSet, HashMap},
    net::{Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use dragoman::{
    a2a::{Home, Name},
    discovery::{Bounds, Config, Discovery, Endpoints, Freshness, Metrics, Remote, Source, Unresolved},
};
use futures_util::future::join_all;
use hickory_server::proto::rr::{Record, RecordType};
use prometheus_client::registry::Registry;
use tokio::{net::UdpSocket, time::timeout};

use crate::harness::dns::{Dns, Mood, alias, host, srv};

/// The service of the agent, and the mesh's own service of the agent.
const SERVICE: &str = "currency.travel.svc.cluster.local.";
const SRV: &str = "_a2a._tcp.currency.travel.svc.cluster.local.";
const MESH_SERVICE: &str = "currency-a2a.travel.svc.cluster.local.";
const MESH_SRV: &str = "_a2a._tcp.currency-a2a.travel.svc.cluster.local.";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

fn home() -> Home {
    Home { namespace: "travel".into(), mesh: "east".into() }
}

fn name(text: &str) -> Name {
    Name::parse(text, &home()).unwrap()
}

fn addresses<const N: usize>(texts: [&str; N]) -> Result<Vec<SocketAddr>, Unresolved> {
    Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The usual bounds, except that time runs faster.
fn hasty() -> Bounds {
    Bounds {
        first: PATIENCE,
        shortest: millis(50),
        longest: millis(50),
        backoff: millis(50),
        recheck: millis(100),
        negative: millis(50),
        ..Bounds::default()
    }
}

fn config(nameservers: Source, bounds: Bounds) -> Config {
    Config {
        home: home(),
        cluster_domain: "cluster.local".into(),
        port: 2643,
        nameservers,
        meshes: HashMap::new(),
        directory: None,
        fixed: HashMap::new(),
        bounds,
    }
}

fn listed(servers: &[SocketAddr], bounds: Bounds) -> Discovery {
    Discovery::by_dns(config(Source::Listed(servers.to_vec()), bounds), 1, Metrics::default())
}

/// Discovery for what needs no more than one lookup: the bounds of production, with room for a busy machine.
fn once(dns: &Dns) -> Discovery {
    listed(&[dns.address], Bounds { first: PATIENCE, hedge: Duration::from_secs(1), ..Bounds::default() })
}

async fn find(discovery: &Discovery, agent: &str) -> Result<Vec<SocketAddr>, Unresolved> {
    let endpoints = discovery.endpoints(&name(agent)).await?;
    let addresses = endpoints.borrow().addresses.to_vec();
    Ok(addresses)
}

/// Waits until the endpoints of `currency` are as wished.
async fn until(discovery: &Discovery, wish: impl Fn(&Endpoints) -> bool) -> Arc<Endpoints> {
    let mut endpoints = discovery.endpoints(&name("currency")).await.unwrap();
    let wished = timeout(PATIENCE, endpoints.wait_for(|now| wish(now))).await;
    let wished =
        wished.unwrap_or_else(|_| panic!("{:?}", discovery.snapshot())).expect("as long as it is kept");
    Arc::clone(&wished)
}

/// `count` replicas behind `service`, each with an SRV record and a host.
fn replicas(count: u8) -> Vec<Record> {
    (1..=count)
        .flat_map(|last| {
            let pod = format!("10-0-0-{last}.{MESH_SERVICE}");
            [srv(MESH_SRV, 0, 2643, &pod), host(&pod, [10, 0, 0, last])]
        })
        .collect()
}

/// What was asked, without doubles.
fn asked(dns: &Dns) -> BTreeSet<(String, RecordType)> {
    dns.questions().into_iter().map(|question| (question.name, question.kind)).collect()
}

fn count(dns: &Dns, name: &str) -> usize {
    dns.questions().iter().filter(|question| question.name == name).count()
}

/// A server that takes questions and never answers.
async fn silent() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn an_srv_answer_that_brings_addresses_along_is_all_that_is_asked_for() {
    let dns = Dns::start().await;
    dns.serve(replicas(3));
    let found = find(&once(&dns), "currency").await;
    assert_eq!(found, addresses(["10.0.0.1:2643", "10.0.0.2:2643", "10.0.0.3:2643"]));
    let expected = [MESH_SRV, SRV].map(|name| (name.to_owned(), RecordType::SRV));
    assert_eq!(asked(&dns), BTreeSet::from(expected));
}

#[tokio::test]
async fn targets_without_addresses_are_asked_for_one_by_one() {
    let dns = Dns::start().await;
    dns.serve(replicas(40));
    dns.glue(false);
    assert_eq!(find(&once(&dns), "currency").await.unwrap().len(), 40);
    let asked = asked(&dns);
    assert!(asked.contains(&("10-0-0-40.currency-a2a.travel.svc.cluster.local.".into(), RecordType::A)));
    assert_eq!(asked.len(), 2 + 2 * 40);
}

#[tokio::test]
async fn a_target_that_cannot_be_looked_up_does_not_hide_the_others() {
    let dns = Dns::start().await;
    dns.serve(replicas(3));
    dns.glue(false);
    dns.mood_about("10-0-0-2.currency-a2a.travel.svc.cluster.local.", Mood::ServFail);
    let found = find(&once(&dns), "currency").await;
    assert_eq!(found, addresses(["10.0.0.1:2643", "10.0.0.3:2643"]));
}

#[tokio::test]
async fn the_mesh_service_wins_over_the_service_of_the_agents_name() {
    let dns = Dns::start().await;
    let plain = [srv(SRV, 0, 7000, "one.local."), host("one.local.", [10, 0, 1, 1])];
    let mesh = [srv(MESH_SRV, 0, 7001, "two.local."), host("two.local.", [10, 0, 1, 2])];
    dns.serve(plain.clone());
    assert_eq!(find(&once(&dns), "currency").await, addresses(["10.0.1.1:7000"]), "either will do");
    dns.serve([plain, mesh].concat());
    assert_eq!(find(&once(&dns), "currency").await, addresses(["10.0.1.2:7001"]));
    dns.mood_about(MESH_SRV, Mood::Slow(millis(50)));
    assert_eq!(find(&once(&dns), "currency").await, addresses(["10.0.1.2:7001"]), "even if it is slower");
    dns.mood_about(MESH_SRV, Mood::Drop);
    assert_eq!(
        find(&once(&dns), "currency").await,
        addresses(["10.0.1.1:7000"]),
        "but it is not awaited for ever"
    );
}

#[tokio::test]
async fn without_srv_the_addresses_of_the_service_are_taken_on_the_meshs_port() {
    let dns = Dns::start().await;
    let v6: Ipv6Addr = "fd00::7".parse().unwrap();
    dns.serve([host(SERVICE, [10, 0, 0, 7])]);
    assert_eq!(find(&once(&dns), "currency").await, addresses(["10.0.0.7:2643"]));
    dns.serve([host(SERVICE, v6)]);
    assert_eq!(find(&once(&dns), "currency").await, addresses(["[fd00::7]:2643"]));
    dns.serve([host(SERVICE, v6), host(SERVICE, [10, 0, 0, 7])]);
    assert_eq!(find(&once(&dns), "currency").await, addresses(["10.0.0.7:2643", "[fd00::7]:2643"]));
}

#[tokio::test]
async fn a_service_that_says_it_is_not_there_is_not_looked_for_elsewhere() {
    let dns = Dns::start().await;
    dns.serve([srv(SRV, 0, 0, "."), host(SERVICE, [10, 0, 0, 7])]);
    let error = find(&once(&dns), "currency").await.unwrap_err();
    assert!(
        matches!(&error, Unresolved::Absent { reason, .. } if reason.contains("not available")),
        "{error}"
    );
}

#[tokio::test]
async fn only_the_targets_of_the_best_priority_are_taken() {
    let dns = Dns::start().await;
    dns.serve([
        srv(SRV, 20, 1, "spare.local."),
        srv(SRV, 10, 2, "one.local."),
        srv(SRV, 10, 3, "one.local."),
        host("one.local.", [10, 0, 0, 1]),
        host("spare.local.", [10, 0, 0, 9]),
    ]);
    assert_eq!(find(&once(&dns), "currency").await, addresses(["10.0.0.1:2", "10.0.0.1:3"]));
}

#[tokio::test]
async fn aliases_are_followed_for_services_and_for_hosts() {
    let dns = Dns::start().await;
    dns.serve([
        alias(SRV, "_a2a._tcp.elsewhere.local."),
        srv("_a2a._tcp.elsewhere.local.", 0, 7000, "one.local."),
        alias("one.local.", "two.local."),
        host("two.local.", [10, 0, 0, 2]),
    ]);
    assert_eq!(find(&once(&dns), "currency").await, addresses(["10.0.0.2:7000"]));
    dns.serve([alias(SERVICE, "three.local."), alias("three.local.", SERVICE)]);
    assert!(find(&once(&dns), "currency").await.is_err(), "a ring leads nowhere");
}

#[tokio::test]
async fn an_answer_too_long_for_udp_comes_over_tcp() {
    let dns = Dns::start().await;
    dns.serve((0..200).map(|last| host(SERVICE, [10, 0, 3, last])));
    assert_eq!(find(&once(&dns), "currency").await.unwrap().len(), 200);
    assert!(dns.questions().iter().any(|question| question.tcp));

    dns.serve(replicas(2));
    dns.mood(Mood::Truncate);
    assert_eq!(find(&once(&dns), "currency").await.unwrap().len(), 2);
}

#[tokio::test]
async fn services_too_many_for_any_answer_are_found_by_their_addresses() {
    let dns = Dns::start().await;
    let pods = (0..200).map(|last| host(MESH_SERVICE, [10, 0, 3, last]));
    dns.serve(replicas(9).into_iter().chain(pods));
    dns.mood_about(MESH_SRV, Mood::TooLong);
    let found = find(&once(&dns), "currency").await.unwrap();
    assert_eq!((found.len(), found[0]), (200, "10.0.3.0:2643".parse().unwrap()));

    dns.serve([
        srv(SRV, 0, 7000, "one.local."),
        host("one.local.", [10, 0, 0, 1]),
        host(SERVICE, [10, 0, 0, 7]),
    ]);
    dns.mood_about(SRV, Mood::TooLong);
    let found = find(&once(&dns), "currency").await;
    assert_eq!(found, addresses(["10.0.0.7:2643"]), "without a mesh service the other one is all there is");

    dns.mood_about(SERVICE, Mood::ServFail);
    let error = find(&once(&dns), "currency").await.unwrap_err();
    assert!(matches!(error, Unresolved::Failed { .. }), "{error}");
}

/// Writes a file as a pod has it: with a search list, and with options that make hickory leave out EDNS.
fn pod_conf(path: &Path, server: SocketAddr) {
    let text = format!(
        "search travel.svc.cluster.local svc.cluster.local cluster.local\nnameserver {}\noptions ndots:5\n",
        server.ip()
    );
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_pods_resolv_conf_costs_neither_long_udp_answers_nor_absolute_names() {
    let dns = Dns::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    pod_conf(file.path(), dns.address);
    let source = Source::File { path: file.path().to_owned(), port: dns.address.port() };
    let discovery = Discovery::by_dns(config(source, Bounds::default()), 1, Metrics::default());

    dns.serve((0..60).map(|last| host(SERVICE, [10, 0, 3, last])));
    assert_eq!(find(&discovery, "currency").await.unwrap().len(), 60);
    let questions = dns.questions();
    assert!(
        questions.iter().all(|question| !question.tcp && question.payload == Some(1232)),
        "{questions:?}"
    );

    find(&discovery, "nobody").await.unwrap_err();
    let service = "nobody.travel.svc.cluster.local.";
    let expected = BTreeSet::from([
        (format!("_a2a._tcp.{service}"), RecordType::SRV),
        ("_a2a._tcp.nobody-a2a.travel.svc.cluster.local.".into(), RecordType::SRV),
        (service.into(), RecordType::A),
        (service.into(), RecordType::AAAA),
    ]);
    assert_eq!(asked(&dns), expected);
}

#[tokio::test]
async fn nameservers_that_moved_are_found_in_the_file_again() {
    let dns = Dns::start().await;
    dns.serve(replicas(1));
    let file = tempfile::NamedTempFile::new().unwrap();
    let (port, dead) = (dns.address.port(), SocketAddr::from(([127, 0, 0, 99], 0)));
    pod_conf(file.path(), dead);
    let bounds = Bounds { query: millis(100), reload: millis(200), ..hasty() };
    let source = Source::File { path: file.path().to_owned(), port };
    let discovery = Discovery::by_dns(config(source, bounds), 1, Metrics::default());
    assert!(matches!(find(&discovery, "currency").await, Err(Unresolved::Failed { .. })));

    pod_conf(file.path(), dns.address);
    let found = timeout(PATIENCE, async {
        loop {
            if let Ok(found) = find(&discovery, "currency").await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(Ok(found.await.expect("in time")), addresses(["10.0.0.1:2643"]));
}

#[tokio::test]
async fn a_hundred_first_callers_make_one_lookup() {
    let dns = Dns::start().await;
    dns.serve(replicas(2));
    dns.mood(Mood::Slow(millis(50)));
    let discovery = once(&dns);
    let found = join_all((0..100).map(|_| find(&discovery, "currency"))).await;
    assert!(found.iter().all(|found| *found == addresses(["10.0.0.1:2643", "10.0.0.2:2643"])));
    assert_eq!(dns.questions().len(), 2, "one question for each of the two SRV names");
}

#[tokio::test]
async fn a_silent_first_nameserver_is_overtaken() {
    let (dead, dns) = (silent().await, Dns::start().await);
    dns.serve([host(SERVICE, [10, 0, 0, 1])]);
    let discovery = listed(&[dead.local_addr().unwrap(), dns.address], Bounds::default());
    assert_eq!(find(&discovery, "currency").await, addresses(["10.0.0.1:2643"]), "within the two seconds");
}

#[tokio::test]
async fn a_nameserver_that_cannot_help_hands_on_and_one_that_denies_does_not() {
    let (first, second) = (Dns::start().await, Dns::start().await);
    second.serve(replicas(1));
    for mood in [Mood::ServFail, Mood::Refuse] {
        first.mood(mood);
        let discovery = listed(&[first.address, second.address], Bounds::default());
        assert_eq!(find(&discovery, "currency").await, addresses(["10.0.0.1:2643"]), "{mood:?}");
    }
    second.questions();
    first.mood(None);
    let discovery = listed(&[first.address, second.address], Bounds::default());
    assert!(matches!(find(&discovery, "currency").await, Err(Unresolved::Absent { .. })));
    assert_eq!(second.questions(), []);
}

#[tokio::test]
async fn what_every_nameserver_says_is_told() {
    let (first, second) = (Dns::start().await, Dns::start().await);
    first.mood(Mood::ServFail);
    second.mood(Mood::Refuse);
    let discovery = listed(&[first.address, second.address], Bounds::default());
    let error = find(&discovery, "currency").await.unwrap_err().to_string();
    for part in ["currency.travel.east", "SRV", &first.address.to_string(), &second.address.to_string()] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn a_change_of_addresses_is_seen_while_all_is_well() {
    let dns = Dns::start().await;
    dns.serve(replicas(1));
    let discovery = listed(&[dns.address], hasty());
    assert_eq!(find(&discovery, "currency").await.unwrap().len(), 1);
    dns.serve(replicas(5));
    let grown = until(&discovery, |now| now.addresses.len() == 5).await;
    assert_eq!(grown.freshness, Freshness::Fresh);
    dns.serve([host(SERVICE, [10, 9, 9, 9])]);
    until(&discovery, |now| now.addresses[..] == ["10.9.9.9:2643".parse().unwrap()]).await;
}

#[tokio::test]
async fn a_name_that_is_denied_once_is_kept_and_denied_twice_is_dropped() {
    let dns = Dns::start().await;
    dns.serve(replicas(2));
    let bounds = Bounds { recheck: millis(300), ..hasty() };
    let discovery = listed(&[dns.address], bounds);
    find(&discovery, "currency").await.unwrap();

    dns.serve([]);
    let kept = until(&discovery, |now| matches!(now.freshness, Freshness::Stale { .. })).await;
    assert_eq!(kept.addresses.len(), 2);
    dns.serve(replicas(1));
    until(&discovery, |now| now.freshness == Freshness::Fresh && now.addresses.len() == 1).await;

    dns.serve([]);
    let gone = until(&discovery, |now| now.addresses.is_empty()).await;
    assert!(
        matches!(&gone.freshness, Freshness::Absent { reason } if reason.contains("NXDOMAIN")),
        "{gone:?}"
    );
    assert!(matches!(find(&discovery, "currency").await, Err(Unresolved::Absent { .. })));
}

#[tokio::test]
async fn a_broken_dns_keeps_the_last_good_set_and_says_so() {
    let dns = Dns::start().await;
    dns.serve(replicas(2));
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let source = Source::Listed(vec![dns.address]);
    let discovery =
        Discovery::by_dns(config(source, Bounds { query: millis(300), ..hasty() }), 1, metrics.clone());
    find(&discovery, "currency").await.unwrap();
    for (mood, word) in [(Mood::ServFail, "Server"), (Mood::Refuse, "Refused"), (Mood::Drop, "timed out")] {
        dns.mood(mood);
        let stale = until(
            &discovery,
            |now| matches!(&now.freshness, Freshness::Stale { reason, .. } if reason.contains(word)),
        )
        .await;
        assert_eq!(stale.addresses.len(), 2, "{mood:?}");
        assert_eq!(find(&discovery, "currency").await.unwrap().len(), 2, "{mood:?}");
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(
        text.contains("dragoman_endpoints{agent=\"currency.travel.east\",state=\"stale\"} 2\n"),
        "{text}"
    );
    assert!(text.contains("dragoman_dns_resolutions_total{result=\"failed\"}"), "{text}");

    dns.mood(None);
    until(&discovery, |now| now.freshness == Freshness::Fresh).await;
}

#[tokio::test]
async fn a_refused_connection_makes_dns_asked_at_once_but_not_for_each() {
    let dns = Dns::start().await;
    dns.serve(replicas(1));
    let discovery = once(&dns);
    find(&discovery, "currency").await.unwrap();
    dns.questions();
    dns.serve(replicas(2));
    for _ in 0..1_000 {
        discovery.refused(&name("currency"));
        tokio::task::yield_now().await;
    }
    until(&discovery, |now| now.addresses.len() == 2).await;
    assert!(count(&dns, MESH_SRV) <= 1, "a thousand refusals, one lookup");
}

#[tokio::test]
async fn agents_in_the_config_are_not_asked_for() {
    let dns = Dns::start().await;
    dns.serve(replicas(2));
    let mut config = config(Source::Listed(vec![dns.address]), Bounds::default());
    config.fixed.insert(name("currency"), vec!["127.0.0.1:9".parse().unwrap()]);
    let discovery = Discovery::by_dns(config, 1, Metrics::default());
    assert_eq!(find(&discovery, "currency").await, addresses(["127.0.0.1:9"]));
    assert_eq!(dns.questions(), []);
}

#[tokio::test]
async fn another_mesh_is_asked_for_in_its_own_zone_on_its_own_nameservers() {
    let (here, there) = (Dns::start().await, Dns::start().await);
    there.serve([host("currency.travel.svc.west.local.", [10, 1, 0, 1])]);
    here.serve([host("currency.travel.svc.north.local.", [10, 2, 0, 1])]);
    let mut config = config(Source::Listed(vec![here.address]), Bounds::default());
    let remote = |zone: &str, nameservers| Remote { cluster_domain: zone.into(), nameservers };
    config.meshes.insert("west".into(), remote("west.local.", vec![there.address]));
    config.meshes.insert("north".into(), remote("north.local", Vec::new()));
    let discovery = Discovery::by_dns(config, 1, Metrics::default());

    assert_eq!(find(&discovery, "currency.travel.west").await, addresses(["10.1.0.1:2643"]));
    assert_eq!(here.questions(), []);
    there.questions();
    assert_eq!(find(&discovery, "currency.travel.north").await, addresses(["10.2.0.1:2643"]));
    assert_eq!(there.questions(), []);
    let error = find(&discovery, "currency.travel.south").await.unwrap_err();
    assert_eq!(error, Unresolved::UnknownMesh { name: name("currency.travel.south") });
}

#[tokio::test]
async fn an_agent_whose_name_leaves_no_room_for_the_suffix_is_found_under_its_own() {
    let dns = Dns::start().await;
    let agent = "a".repeat(62);
    dns.serve([host(&format!("{agent}.travel.svc.cluster.local."), [10, 0, 0, 1])]);
    assert_eq!(find(&once(&dns), &agent).await, addresses(["10.0.0.1:2643"]));
}
